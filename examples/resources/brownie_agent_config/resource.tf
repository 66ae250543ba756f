resource "brownie_organization" "acme" {
  name = "Acme"
  slug = "acme"
}

resource "brownie_team" "platform" {
  organization_id = brownie_organization.acme.id
  name            = "Platform"
  slug            = "platform"
}

resource "brownie_agent_config" "triage" {
  organization_id           = brownie_organization.acme.id
  team_id                   = brownie_team.platform.id
  name                      = "triage"
  agent_type                = "incident_response"
  config                    = jsonencode({ language = "en", max_steps = 20 })
  triggers                  = jsonencode(["incident.created"])
  conditions                = jsonencode({ priority = ["high", "critical"] })
  tags                      = ["on-call"]
  execution_timeout_seconds = 120
}
