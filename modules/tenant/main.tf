locals {
  leaving = var.tenant.stage == "leaving"
  away    = var.tenant.stage != "active"

  certificates = var.certificates == null ? {} : { for name, role in var.tenant.roles : name => role if role.certificate }
}

resource "brownie_organization" "this" {
  name               = var.tenant.name
  slug               = coalesce(var.tenant.slug, var.key)
  description        = var.tenant.description
  settings           = var.tenant.settings == null ? null : jsonencode(var.tenant.settings)
  is_active          = !local.away
  max_teams          = var.tenant.max_teams
  max_users_per_team = var.tenant.max_users_per_team

  deletion_protection = !local.leaving
  force_destroy       = local.leaving
}

resource "brownie_team" "this" {
  for_each = var.tenant.teams

  organization_id = brownie_organization.this.id
  slug            = each.key
  name            = each.value.name
  description     = each.value.description
  is_active       = each.value.is_active
}

resource "brownie_user" "this" {
  for_each = var.tenant.users

  organization_id = brownie_organization.this.id
  team_id         = brownie_team.this[each.value.team].id
  username        = coalesce(each.value.username, "${var.key}-${each.key}")
  email           = each.value.email
  full_name       = each.value.full_name
  role            = each.value.role
  is_active       = each.value.is_active && !local.away
  is_verified     = each.value.is_verified
  oidc_provider   = each.value.oidc_provider
  oidc_subject    = each.value.oidc_subject
}

resource "brownie_role" "this" {
  for_each = var.tenant.roles

  name              = "${var.key}-${each.key}"
  organization_id   = brownie_organization.this.id
  access            = each.value.access
  pooled            = each.value.pooled
  connection_limit  = each.value.connection_limit
  statement_timeout = each.value.statement_timeout
  valid_until       = each.value.valid_until
  locked            = each.value.locked || local.away
}

resource "brownie_client_certificate" "this" {
  for_each = local.certificates

  mount        = var.certificates.mount
  role         = coalesce(var.certificates.role, brownie_role.this[each.key].name)
  common_name  = brownie_role.this[each.key].name
  ttl          = var.certificates.ttl
  renew_before = var.certificates.renew_before
  csr_pem      = try(var.certificates.requests[each.key], null)
  store = can(var.certificates.requests[each.key]) ? null : {
    mount = var.certificates.store.mount
    path  = "${var.certificates.store.path}/${brownie_role.this[each.key].name}"
  }
}
