data "brownie_organization" "acme" {
  slug = "acme"
}

data "brownie_config" "routing" {
  organization_id = data.brownie_organization.acme.id
  name            = "routing"
}
