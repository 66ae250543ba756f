variable "tenants" {
  description = "Path of the YAML file with all tenants."
  type        = string
  default     = "tenants.yaml"
}

locals {
  tenants = yamldecode(file(var.tenants))
  slugs   = { for key, tenant in local.tenants : key => try(tenant.slug, key) }

  # Keys say whose something is, so that two organizations may have a team or a user of the same name.
  teams = merge([for key, tenant in local.tenants : {
    for team, name in tenant.teams : "${key}/${team}" => { organization = key, slug = team, name = name }
  } if can(keys(tenant.teams))]...)
  users = merge([for key, tenant in local.tenants : {
    for username, user in tenant.users : "${key}/${username}" =>
    merge({ role = "member" }, user, { organization = key, username = username }) if can(keys(user))
  } if can(keys(tenant.users))]...)
}

resource "brownie_migration" "schema" {
  lifecycle {
    # Everything waits for the schema, so that a fault in the file stops the whole plan; see faults.tf.
    precondition {
      condition     = length(local.faults) == 0
      error_message = join("\n", concat(["${var.tenants} has faults:"], local.faults))
    }
  }
}

resource "brownie_organization" "tenant" {
  for_each = local.tenants

  name               = each.value.name
  slug               = local.slugs[each.key]
  is_active          = !try(each.value.locked, false)
  max_teams          = try(each.value.max_teams, 10)
  max_users_per_team = try(each.value.max_users_per_team, 50)

  # The first step of offboarding; see the guide.
  deletion_protection = !try(each.value.leaving, false)
  force_destroy       = try(each.value.leaving, false)

  depends_on = [brownie_migration.schema]
}

resource "brownie_team" "tenant" {
  for_each = local.teams

  organization_id = brownie_organization.tenant[each.value.organization].id
  slug            = each.value.slug
  name            = each.value.name
}

resource "brownie_user" "tenant" {
  for_each = local.users

  organization_id = brownie_organization.tenant[each.value.organization].id
  team_id         = brownie_team.tenant["${each.value.organization}/${each.value.team}"].id
  email           = each.value.email
  username        = "${each.value.organization}-${each.value.username}"
  role            = each.value.role
  is_active       = !try(local.tenants[each.value.organization].locked, false)
}

# What the organization's application logs in with. Its certificate comes from Vault or from your own authority.
resource "brownie_role" "tenant" {
  for_each = brownie_organization.tenant

  name            = "${each.key}-app"
  access          = "writer"
  organization_id = each.value.id
  locked          = try(local.tenants[each.key].locked, false)
}
