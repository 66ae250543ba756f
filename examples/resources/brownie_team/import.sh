# By the slugs of its organization and of the team:
terraform import brownie_team.platform acme/platform

# By its id:
terraform import brownie_team.platform 0b2a6a3c-9f5c-4c8e-8d0e-3f1f6d6a2b11
