data "brownie_organization" "acme" {
  slug = "acme"
}

data "brownie_organization_usage" "acme" {
  organization_id = data.brownie_organization.acme.id
}

output "free_teams" {
  value = data.brownie_organization.acme.max_teams - data.brownie_organization_usage.acme.teams
}
