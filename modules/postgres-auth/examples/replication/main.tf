# A primary and its standbys, of which each may become the primary: they share one configuration. There is no pooler.
module "auth" {
  source = "../.." # github.com/longyi-brownie/terraform-provider-brownie//modules/postgres-auth

  server = {
    addresses            = ["samenet"]
    replication_roles    = ["standby", "brownie-backup"]
    ssl_crl_file         = "/etc/postgresql/tls/lists.pem" # brownie-crl writes it.
    reserved_connections = 10
  }
}

output "files" {
  value = {
    "pg_hba.conf"         = module.auth.pg_hba_conf
    "pg_ident.conf"       = module.auth.pg_ident_conf
    "conf.d/brownie.conf" = module.auth.postgresql_conf
  }
}
