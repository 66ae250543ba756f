# By its slug:
terraform import brownie_organization.acme acme

# By its id:
terraform import brownie_organization.acme 0b2a6a3c-9f5c-4c8e-8d0e-3f1f6d6a2b11
