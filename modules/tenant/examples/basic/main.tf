terraform {
  required_version = ">= 1.11"
  required_providers {
    brownie = {
      source = "longyi-brownie/brownie"
    }
  }
}

provider "brownie" {} # PGHOST, PGUSER, …, VAULT_ADDR, VAULT_TOKEN

locals {
  tenants = yamldecode(file("${path.module}/tenants.yaml"))

  # Terraform drops keys that the module does not know: without this check a misspelt "users" would delete people.
  allowed = {
    tenant = ["name", "slug", "description", "settings", "stage", "max_teams", "max_users_per_team", "teams", "users", "roles"]
    teams  = ["name", "description", "is_active"]
    users  = ["email", "team", "username", "full_name", "role", "is_active", "is_verified", "oidc_provider", "oidc_subject"]
    roles  = ["access", "pooled", "connection_limit", "statement_timeout", "valid_until", "locked", "certificate"]
  }
  unknown = flatten([for key, tenant in local.tenants : [
    [for word in try(keys(tenant), []) : "${key}: unknown key \"${word}\"; allowed are ${join(", ", local.allowed.tenant)}."
    if !contains(local.allowed.tenant, word)],
    [for kind in ["teams", "users", "roles"] : [for name, entry in try(merge(tenant[kind], {}), {}) : [
      for word in try(keys(entry), []) : "${key}, ${kind}.${name}: unknown key \"${word}\"; allowed are ${join(", ", local.allowed[kind])}."
      if !contains(local.allowed[kind], word)
    ]]],
  ]])
}

resource "brownie_migration" "schema" {
  lifecycle {
    precondition {
      condition     = length(local.unknown) == 0
      error_message = join("\n", concat(["tenants.yaml has faults:"], local.unknown))
    }
  }
}

module "tenant" {
  source   = "../.." # github.com/longyi-brownie/terraform-provider-brownie//modules/tenant
  for_each = local.tenants

  key          = each.key
  tenant       = each.value
  certificates = { store = { mount = "brownie" } } # and role = "applications" in the demo, see above

  depends_on = [brownie_migration.schema]
}
