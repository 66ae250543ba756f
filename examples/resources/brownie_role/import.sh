# By its name, which is its id:
terraform import brownie_role.acme_app acme-app
