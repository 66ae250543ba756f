data "brownie_organization" "acme" {
  slug = "acme"
}

data "brownie_teams" "acme" {
  organization_id = data.brownie_organization.acme.id
}
