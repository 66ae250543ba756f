# What Kubernetes and the chart take.
locals {
  name_pattern       = "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$"
  namespace_pattern  = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
  object_pattern     = "^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
  repository_pattern = "^[a-z0-9][a-z0-9._/:-]*$"
  tag_pattern        = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"
  digest_pattern     = "^sha256:[0-9a-f]{64}$"
  quantity_pattern   = "^[0-9]+(\\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"
  duration_pattern   = "^([0-9]+(h|m|s))+$"
  dns_name_pattern   = "^(\\*\\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"

  # In PgBouncer. The name for reading has three characters more.
  database_pattern = "^[A-Za-z0-9_.-]{1,60}$"
  setting_pattern  = "^[a-z][a-z0-9_]*$"
  # Settings by which the chart keeps its promises. A test compares them with the chart's own schema.
  own_setting_pattern = join("", [
    "^(auth_.*|client_tls_.*|server_tls_.*|unix_socket_.*|listen_.*|admin_users|stats_users|user|logfile|pidfile|conffile|",
    "service_name|resolv_conf|so_reuseport|peer_id|syslog.*)$",
  ])
}
