# Who may log in to a member. A test compares the chart's own files with what this renders by default.
module "access" {
  source = "../postgres-auth"

  min_tls_version = var.access.min_tls_version
  server = {
    addresses            = var.access.addresses
    replication_roles    = ["replicator"]
    local_users          = { postgres = ["postgres", "replicator", "brownie-crl"] }
    ssl_cert_file        = "/tls/server/tls.crt"
    ssl_key_file         = "/tls/server/tls.key"
    ssl_ca_file          = "/tls/server/ca.crt"
    log_connections      = var.access.log_connections
    reserved_connections = var.access.reserved_connections
  }
  # Only its name counts here; the module pgbouncer makes the pooler.
  pooler = { common_name = var.access.pooler, fallback = { host = "none" } }
}
