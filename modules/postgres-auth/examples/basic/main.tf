module "auth" {
  source = "../.." # github.com/longyi-brownie/terraform-provider-brownie//modules/postgres-auth

  server = {
    addresses   = ["10.0.0.0/8"]
    local_users = { postgres = ["postgres"] }
  }
  pooler = {
    databases   = { brownie_metadata = { host = "db.example" } }
    admin_users = ["ops"]
  }
}

output "pg_hba_conf" {
  value = module.auth.pg_hba_conf
}
