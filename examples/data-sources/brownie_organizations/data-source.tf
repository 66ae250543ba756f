data "brownie_organizations" "active" {
  is_active = true
}

output "slugs" {
  value = data.brownie_organizations.active.organizations[*].slug
}
