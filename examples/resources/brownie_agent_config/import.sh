# By the slugs of its organization and team, and its name:
terraform import brownie_agent_config.triage acme/platform/triage

# By its id:
terraform import brownie_agent_config.triage 0b2a6a3c-9f5c-4c8e-8d0e-3f1f6d6a2b11
