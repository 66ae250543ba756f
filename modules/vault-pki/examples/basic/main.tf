provider "vault" {} # VAULT_ADDR, VAULT_TOKEN

module "pki" {
  source = "../.." # github.com/longyi-brownie/terraform-provider-brownie//modules/vault-pki

  address = "https://vault.example:8200"
  clients = {
    acme-app          = {}
    pgbouncer         = { issuance = "self" }
    brownie-terraform = { ttl = "15m", max_ttl = "1h" }
  }
  servers = {
    postgres  = { domains = ["db-0.example", "db-1.example"] }
    pgbouncer = { domains = ["pooler.example"] }
  }
}

output "stores" {
  value = module.pki.stores
}
