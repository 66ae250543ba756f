terraform {
  required_version = ">= 1.11"
  required_providers {
    brownie = { source = "longyi-brownie/brownie" }
  }
}

# The connection comes from PGHOST, PGPORT, PGDATABASE, PGUSER, PGSSLROOTCERT, PGSSLCERT and PGSSLKEY, that of Vault
# from VAULT_ADDR and VAULT_TOKEN.
provider "brownie" {}
