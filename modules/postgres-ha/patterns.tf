# What Kubernetes and the chart take.
locals {
  name_pattern       = "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$"
  namespace_pattern  = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
  object_pattern     = "^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
  repository_pattern = "^[a-z0-9][a-z0-9._/:-]*$"
  tag_pattern        = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"
  digest_pattern     = "^sha256:[0-9a-f]{64}$"
  quantity_pattern   = "^[0-9]+(\\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"
  step_pattern       = "^[1-9][0-9]*(%|Mi|Gi|Ti)$"
  duration_pattern   = "^([0-9]+(h|m|s))+$"
  url_pattern        = "^https?://[^\\s\"]+$"
  key_pattern        = "^[A-Za-z0-9._-]+$"

  # In PostgreSQL.
  database_pattern = "^[A-Za-z0-9_.-]{1,63}$"
  identity_pattern = "^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}$"
  own_role_pattern = "^(pg_.*|postgres|replicator|rewind|brownie-crl|pgbouncer|public|none)$"
  major_pattern    = "^[1-9][0-9]$"
  setting_pattern  = "^[a-z][a-z0-9_]*(\\.[a-z][a-z0-9_]*)?$"
  # Settings by which the chart keeps its promises. A test compares them with the chart's own schema.
  own_setting_pattern = join("", [
    "^(ssl|ssl_.*|hba_file|ident_file|data_directory|config_file|external_pid_file|listen_addresses|port|unix_socket_.*|",
    "password_encryption|reserved_connections|shared_preload_libraries|pgaudit\\.log|hot_standby|wal_log_hints|primary_conninfo|",
    "primary_slot_name|restore_command|recovery_.*|synchronous_standby_names|cluster_name|fsync|full_page_writes|",
    "default_transaction_read_only)$",
  ])
}
