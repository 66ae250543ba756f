variable "vault" {
  description = "Whether Vault issues the applications' certificates. Without it somebody else does."
  type        = bool
  default     = true
  nullable    = false
}

variable "vault_role" {
  description = "Vault's role that issues all applications' names. Without it each application has a role of its own name, as the module vault-pki makes them."
  type        = string
  default     = null
}

locals {
  organizations = {
    acme = {
      name  = "Acme"
      teams = { platform = "Platform", payments = "Payments" }
      users = {
        ada   = { team = "platform", name = "Ada Example", role = "admin" }
        alan  = { team = "platform", name = "Alan Example", role = "member" }
        grace = { team = "payments", name = "Grace Example", role = "member" }
        edith = { team = "payments", name = "Edith Example", role = "viewer" }
      }
    }
    globex = {
      name  = "Globex"
      teams = { core = "Core", edge = "Edge" }
      users = {
        linus  = { team = "core", name = "Linus Example", role = "admin" }
        margo  = { team = "core", name = "Margo Example", role = "member" }
        dennis = { team = "edge", name = "Dennis Example", role = "member" }
        radia  = { team = "edge", name = "Radia Example", role = "viewer" }
      }
    }
  }

  # One element for each team and user, under a key with its organization: another organization changes none of them.
  teams = merge([for slug, organization in local.organizations : {
    for team, name in organization.teams : "${slug}/${team}" => { organization = slug, slug = team, name = name }
  }]...)
  users = merge([for slug, organization in local.organizations : {
    for user, wanted in organization.users : "${slug}/${user}" => merge(wanted, { organization = slug, user = user })
  }]...)
}

resource "brownie_migration" "schema" {}

resource "brownie_organization" "all" {
  for_each = local.organizations

  name                = each.value.name
  slug                = each.key
  max_teams           = 5
  settings            = jsonencode({ timezone = "UTC" })
  deletion_protection = false # so that the demo can be destroyed

  depends_on = [brownie_migration.schema]
}

resource "brownie_team" "all" {
  for_each = local.teams

  organization_id = brownie_organization.all[each.value.organization].id
  name            = each.value.name
  slug            = each.value.slug
}

resource "brownie_user" "all" {
  for_each = local.users

  organization_id = brownie_organization.all[each.value.organization].id
  team_id         = brownie_team.all["${each.value.organization}/${each.value.team}"].id
  email           = "${each.value.user}@${each.value.organization}.example"
  username        = "${each.value.organization}-${each.value.user}" # unique among all organizations
  full_name       = each.value.name
  role            = each.value.role
}

resource "brownie_agent_config" "triage" {
  for_each = brownie_team.all

  organization_id = each.value.organization_id
  team_id         = each.value.id
  name            = "triage"
  description     = "Looks at every new incident first"
  agent_type      = "incident_response"
  config          = jsonencode({ language = "en", max_steps = 20 })
  triggers        = jsonencode(["incident.created"])
  tags            = ["quickstart"]
}

resource "brownie_config" "routing" {
  for_each = brownie_organization.all

  organization_id  = each.value.id
  name             = "routing"
  config_type      = "alert"
  status           = "active"
  severity_pattern = "critical|high"
  config_json      = jsonencode({ channel = "#incidents" })
}

# A login role for each tenant's application: with its certificate it sees the rows of its organization and no others.
resource "brownie_role" "app" {
  for_each = brownie_organization.all

  name              = "${each.key}-app"
  access            = "writer"
  organization_id   = each.value.id
  statement_timeout = "30s"
}

# Its certificate. The provider makes the key, Vault signs and keeps it, and no state or plan ever holds it; the application
# reads it from Vault, for instance with Vault Agent.
resource "brownie_client_certificate" "app" {
  for_each = { for slug, role in brownie_role.app : slug => role if var.vault }

  mount       = "pki"
  role        = coalesce(var.vault_role, each.value.name)
  common_name = each.value.name
  ttl         = "24h"
  store       = { mount = "brownie", path = "clients/${each.value.name}" }
}

# The platform's own server, which acts for all tenants.
resource "brownie_role" "server" {
  name   = "brownie-fastapi-server"
  access = "admin"

  depends_on = [brownie_migration.schema]
}

# With this one PgBouncer looks up who may log in through it.
resource "brownie_role" "pooler" {
  name   = "pgbouncer"
  access = "pooler"

  depends_on = [brownie_migration.schema]
}
