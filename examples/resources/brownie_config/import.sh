# By the slugs of its organization and team (empty for a config of the organization), and its name:
terraform import brownie_config.routing acme//routing

# By its id:
terraform import brownie_config.routing 0b2a6a3c-9f5c-4c8e-8d0e-3f1f6d6a2b11
