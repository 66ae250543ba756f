# Who may log in. A test compares the chart's own file with what this renders by default.
module "access" {
  source = "../postgres-auth"

  min_tls_version = var.access.min_tls_version
  pooler = {
    common_name = var.access.common_name
    # brownie-leader puts the members' names in place of these two.
    databases = merge(
      { (var.database) = { host = "leader" } },
      var.read_only.enabled ? { "${var.database}_ro" = { host = "replica", dbname = var.database } } : {},
    )
    client_tls_cert_file = "/tls/server/tls.crt"
    client_tls_key_file  = "/tls/server/tls.key"
    client_tls_ca_file   = "/tls/server/ca.crt"
    server_tls_cert_file = "/tls/client/tls.crt"
    server_tls_key_file  = "/tls/client/tls.key"
    server_tls_ca_file   = "/tls/client/ca.crt"
    log_connections      = var.access.log_connections
  }
}
