terraform {
  required_version = ">= 1.11"
  required_providers {
    brownie = {
      source = "longyi-brownie/brownie"
    }
  }
}

provider "brownie" {} # PGHOST, PGUSER, …, VAULT_ADDR, VAULT_TOKEN

resource "brownie_migration" "schema" {}

module "tenant" {
  source   = "../.." # github.com/longyi-brownie/terraform-provider-brownie//modules/tenant
  for_each = yamldecode(file("${path.module}/tenants.yaml"))

  key          = each.key
  tenant       = each.value
  certificates = { store = { mount = "brownie" } }

  depends_on = [brownie_migration.schema]
}
