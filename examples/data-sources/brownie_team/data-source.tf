data "brownie_organization" "acme" {
  slug = "acme"
}

data "brownie_team" "platform" {
  organization_id = data.brownie_organization.acme.id
  slug            = "platform"
}
