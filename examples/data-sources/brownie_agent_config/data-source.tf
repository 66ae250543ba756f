data "brownie_organization" "acme" {
  slug = "acme"
}

data "brownie_team" "platform" {
  organization_id = data.brownie_organization.acme.id
  slug            = "platform"
}

data "brownie_agent_config" "triage" {
  team_id = data.brownie_team.platform.id
  name    = "triage"
}
