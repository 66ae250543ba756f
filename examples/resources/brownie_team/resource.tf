resource "brownie_organization" "acme" {
  name = "Acme"
  slug = "acme"
}

resource "brownie_team" "platform" {
  organization_id = brownie_organization.acme.id
  name            = "Platform"
  slug            = "platform"
  permissions     = jsonencode(["incidents:write"])
}
