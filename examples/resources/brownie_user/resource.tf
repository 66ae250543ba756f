resource "brownie_organization" "acme" {
  name = "Acme"
  slug = "acme"
}

resource "brownie_team" "platform" {
  organization_id = brownie_organization.acme.id
  name            = "Platform"
  slug            = "platform"
}

resource "brownie_user" "ada" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  email           = "ada@acme.example"
  username        = "ada"
  full_name       = "Ada Example"
  role            = "admin"
  oidc_provider   = "okta"
  oidc_subject    = "00u1a2b3c4"
}
