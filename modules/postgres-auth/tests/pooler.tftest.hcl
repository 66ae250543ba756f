# What can be asked of the pooler.
run "databases_and_fallback" {
  command = plan
  variables {
    pooler = {
      databases = { one = { host = "db-1.example" }, two = { host = "::1", port = 5433, dbname = "other" } }
      fallback  = { host = "10.0.0.1", port = 5434 }
    }
  }

  assert {
    condition = slice(split("\n", output.pgbouncer_ini), 0, 6) == tolist([
      "[databases]", "one = host=db-1.example port=5432", "two = host=::1 port=5433 dbname=other", "* = host=10.0.0.1 port=5434", "",
      "[pgbouncer]",
    ])
    error_message = "Each database goes to its server, and every other to the fallback."
  }
}

run "everything_that_can_be_asked_for" {
  command = plan
  variables {
    pooler = {
      common_name             = "pooler.eu-1"
      fallback                = { host = "db.example" }
      listen_addr             = "10.0.0.1,::1"
      listen_port             = 5432
      client_tls_cert_file    = "/a"
      client_tls_key_file     = "/b"
      client_tls_ca_file      = "/c"
      server_tls_cert_file    = "/d"
      server_tls_key_file     = "/e"
      server_tls_ca_file      = "/f"
      pool_mode               = "session"
      max_client_conn         = 1
      default_pool_size       = 2
      min_pool_size           = 3
      reserve_pool_size       = 4
      max_db_connections      = 5
      max_prepared_statements = 6
      auth_dbname             = "brownie_metadata"
      log_connections         = false
    }
  }

  assert {
    condition = alltrue([for line in [
      "auth_user = pooler.eu-1", "listen_addr = 10.0.0.1,::1", "listen_port = 5432",
      "client_tls_cert_file = /a", "client_tls_key_file = /b", "client_tls_ca_file = /c",
      "server_tls_cert_file = /d", "server_tls_key_file = /e", "server_tls_ca_file = /f",
      "pool_mode = session", "max_client_conn = 1", "default_pool_size = 2", "min_pool_size = 3", "reserve_pool_size = 4",
      "max_db_connections = 5", "max_prepared_statements = 6", "auth_dbname = brownie_metadata", "log_connections = 0",
    ] : contains(split("\n", output.pgbouncer_ini), line)])
    error_message = "Every attribute is passed on."
  }
  assert {
    condition     = strcontains(output.pg_ident_conf, "\nbrownie  \"pooler.eu-1\"  +brownie_pooled\n")
    error_message = "The server lets in the pooler of that name."
  }
}

run "console" {
  command = plan
  variables {
    pooler = {
      fallback    = { host = "db.example" }
      admin_users = ["brownie-admin", "ops@example"]
      stats_users = ["brownie-monitor"]
      auth_file   = "/run/users"
    }
  }

  assert {
    condition = strcontains(output.pgbouncer_ini, join("\n", [
      "", "auth_file = /run/users", "admin_users = brownie-admin,ops@example", "stats_users = brownie-monitor", "",
    ]))
    error_message = "The console is open to those who are named."
  }
  assert {
    condition     = endswith(output.pgbouncer_userlist, "\n\"brownie-admin\" \"\"\n\"ops@example\" \"\"\n\"brownie-monitor\" \"\"\n")
    error_message = "The console's users are listed, without a password."
  }
}

run "nobody_uses_the_console_by_default" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" } }
  }

  assert {
    condition     = !can(regex("(?m)^(admin_users|stats_users|auth_file|auth_dbname|max_prepared_statements) ", output.pgbouncer_ini))
    error_message = "What was not asked for is not written."
  }
  assert {
    condition     = !can(regex("(?m)^\"", output.pgbouncer_userlist))
    error_message = "No user is listed."
  }
}
