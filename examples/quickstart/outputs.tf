# Everything that is shown comes back from the database, through data sources.
data "brownie_organizations" "all" {
  depends_on = [brownie_organization.all]
}

data "brownie_teams" "all" {
  depends_on = [brownie_team.all]
}

data "brownie_users" "all" {
  depends_on = [brownie_user.all]
}

data "brownie_organization_usage" "all" {
  for_each = brownie_organization.all

  organization_id = each.value.id

  depends_on = [brownie_user.all, brownie_agent_config.triage, brownie_config.routing]
}

locals {
  organization_slugs = { for o in data.brownie_organizations.all.organizations : o.id => o.slug }
  team_slugs         = { for t in data.brownie_teams.all.teams : t.id => t.slug }
}

output "schema_version" {
  description = "Version of the database's schema."
  value       = brownie_migration.schema.current_version
}

output "table" {
  description = "What now exists, for people."
  value = join("\n", concat(
    [format("%-14s %-10s %-24s %s", "ORGANIZATION", "TEAM", "USER", "ROLE")],
    sort([for u in data.brownie_users.all.users : format("%-14s %-10s %-24s %s",
      local.organization_slugs[u.organization_id], local.team_slugs[u.team_id], u.email, u.role
    )]),
    ["", format("%-14s %5s %5s %13s %7s", "ORGANIZATION", "TEAMS", "USERS", "AGENT CONFIGS", "CONFIGS")],
    [for slug, usage in data.brownie_organization_usage.all : format("%-14s %5d %5d %13d %7d",
      slug, usage.teams, usage.users, usage.agent_configs, usage.configs
    )],
  ))
}

output "certificates" {
  description = "The applications' certificates, for people."
  value = join("\n", concat(
    [format("%-12s %-20s %s", "COMMON NAME", "EXPIRES", "SERIAL NUMBER")],
    [for certificate in brownie_client_certificate.app : format("%-12s %-20s %s", certificate.common_name, certificate.not_after, certificate.id)],
  ))
}
