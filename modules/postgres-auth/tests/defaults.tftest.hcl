# What the module promises without any variable, and with the smallest pooler.
run "defaults_let_certificates_in_and_nothing_else" {
  command = plan

  assert {
    condition = [for line in split("\n", trimspace(output.pg_hba_conf)) : replace(line, "/ +/", " ") if !startswith(line, "#")] == [
      "hostssl all all all cert map=brownie",
      "local all all reject",
      "local replication all reject",
      "host all all all reject",
      "host replication all all reject",
    ]
    error_message = "Everybody proves a role with a certificate, and the last lines refuse all else."
  }
  assert {
    condition     = [for line in split("\n", trimspace(output.pg_ident_conf)) : line if !startswith(line, "#")] == ["brownie  /^(.*)$  \\1"]
    error_message = "A certificate is for the role of its common name, and without a pooler nobody acts for others."
  }
  assert {
    condition = [for line in split("\n", trimspace(output.postgresql_conf)) : line if !startswith(line, "#")] == [
      "ssl = on",
      "ssl_cert_file = '/etc/postgresql/tls/server.crt'",
      "ssl_key_file = '/etc/postgresql/tls/server.key'",
      "ssl_ca_file = '/etc/postgresql/tls/ca.crt'",
      "ssl_min_protocol_version = 'TLSv1.3'",
      "password_encryption = 'scram-sha-256'",
      "log_connections = on",
      "reserved_connections = 5",
    ]
    error_message = "The server speaks TLS 1.3, with no revocation list, and keeps connections for those who run it."
  }
  assert {
    condition     = output.pgbouncer_ini == null && output.pgbouncer_userlist == null
    error_message = "There is no pooler unless it is asked for."
  }
}

run "smallest_pooler" {
  command = plan
  variables {
    pooler = { databases = { brownie_metadata = { host = "db.example" } } }
  }

  assert {
    condition = [for line in split("\n", trimspace(output.pgbouncer_ini)) : line if !startswith(line, ";") && line != ""] == [
      "[databases]",
      "brownie_metadata = host=db.example port=5432",
      "[pgbouncer]",
      "listen_addr = *",
      "listen_port = 6432",
      "unix_socket_dir =",
      "auth_type = cert",
      "auth_user = pgbouncer",
      "auth_query = SELECT coalesce(max(username), '(refused)'), coalesce(max(password), '') FROM brownie.pooler_lookup($1)",
      "client_tls_sslmode = verify-full",
      "client_tls_protocols = tlsv1.3",
      "client_tls_ca_file = /etc/pgbouncer/tls/ca.crt",
      "client_tls_cert_file = /etc/pgbouncer/tls/server.crt",
      "client_tls_key_file = /etc/pgbouncer/tls/server.key",
      "server_tls_sslmode = verify-full",
      "server_tls_protocols = tlsv1.3",
      "server_tls_ca_file = /etc/pgbouncer/tls/ca.crt",
      "server_tls_cert_file = /etc/pgbouncer/tls/client.crt",
      "server_tls_key_file = /etc/pgbouncer/tls/client.key",
      "pool_mode = transaction",
      "max_client_conn = 1000",
      "default_pool_size = 20",
      "min_pool_size = 0",
      "reserve_pool_size = 0",
      "max_db_connections = 0",
      "ignore_startup_parameters = extra_float_digits",
      "log_connections = 1",
    ]
    error_message = "Both sides of the pooler speak verified TLS 1.3; settings of newer versions are left out."
  }
  assert {
    condition = [for line in split("\n", trimspace(output.pg_ident_conf)) : line if !startswith(line, "#")] == [
      "brownie  \"pgbouncer\"  +brownie_pooled",
      "brownie  /^(.*)$  \\1",
    ]
    error_message = "The pooler logs in as pooled roles and as itself, nobody else."
  }
}

run "older_tls_when_asked_for" {
  command = plan
  variables {
    min_tls_version = "TLSv1.2"
    pooler          = { fallback = { host = "db.example" } }
  }

  assert {
    condition = (
      strcontains(output.postgresql_conf, "ssl_min_protocol_version = 'TLSv1.2'") &&
      strcontains(output.pgbouncer_ini, "client_tls_protocols = tlsv1.2,tlsv1.3") &&
      strcontains(output.pgbouncer_ini, "server_tls_protocols = tlsv1.2,tlsv1.3")
    )
    error_message = "The version holds for the server and for both sides of the pooler."
  }
}
