# Values that the pooler's files cannot hold, since they have no quotes, or that make no sense.
run "no_server" {
  command = plan
  variables {
    pooler = {}
  }
  expect_failures = [var.pooler]
}

run "common_name_with_a_space" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, common_name = "a b" }
  }
  expect_failures = [var.pooler]
}

run "common_name_on_two_lines" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, common_name = "a\nauth_type = trust" }
  }
  expect_failures = [var.pooler]
}

run "common_name_that_is_a_regular_expression" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, common_name = "/^.*$" }
  }
  expect_failures = [var.pooler]
}

run "common_name_that_is_a_wildcard" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, common_name = "*.example.com" }
  }
  expect_failures = [var.pooler]
}

run "common_name_that_is_a_keyword" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, common_name = "Current_User" }
  }
  expect_failures = [var.pooler]
}

run "common_name_of_the_superuser" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, common_name = "postgres" }
  }
  expect_failures = [var.pooler]
}

run "common_name_that_postgresql_reserves" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, common_name = "pg_bouncer" }
  }
  expect_failures = [var.pooler]
}

run "common_name_of_a_group_role" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, common_name = "brownie_pooled" }
  }
  expect_failures = [var.pooler]
}

run "admin_with_a_quote" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, admin_users = ["a\"b"] }
  }
  expect_failures = [var.pooler]
}

run "admin_that_is_two" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, admin_users = ["a,b"] }
  }
  expect_failures = [var.pooler]
}

run "admin_that_is_null" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, admin_users = [null] }
  }
  expect_failures = [var.pooler]
}

run "stats_user_with_a_new_line" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, stats_users = ["a\n"] }
  }
  expect_failures = [var.pooler]
}

run "database_with_a_space" {
  command = plan
  variables {
    pooler = { databases = { "a b" = { host = "db.example" } } }
  }
  expect_failures = [var.pooler]
}

run "database_that_is_the_fallback" {
  command = plan
  variables {
    pooler = { databases = { "*" = { host = "db.example" } } }
  }
  expect_failures = [var.pooler]
}

run "database_that_is_the_console" {
  command = plan
  variables {
    pooler = { databases = { pgbouncer = { host = "db.example" } } }
  }
  expect_failures = [var.pooler]
}

run "database_of_the_server_with_a_quote" {
  command = plan
  variables {
    pooler = { databases = { a = { host = "db.example", dbname = "b'" } } }
  }
  expect_failures = [var.pooler]
}

run "database_of_the_server_without_a_name" {
  command = plan
  variables {
    pooler = { databases = { a = { host = "db.example", dbname = "" } } }
  }
  expect_failures = [var.pooler]
}

run "auth_dbname_with_a_new_line" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, auth_dbname = "a\n" }
  }
  expect_failures = [var.pooler]
}

run "host_with_settings_of_its_own" {
  command = plan
  variables {
    pooler = { databases = { a = { host = "db.example user=postgres" } } }
  }
  expect_failures = [var.pooler]
}

run "host_that_is_a_unix_socket" {
  command = plan
  variables {
    pooler = { fallback = { host = "/run/postgresql" } }
  }
  expect_failures = [var.pooler]
}

run "host_that_is_a_list" {
  command = plan
  variables {
    pooler = { fallback = { host = "a,b" } }
  }
  expect_failures = [var.pooler]
}

run "host_that_is_empty" {
  command = plan
  variables {
    pooler = { databases = { a = { host = "" } } }
  }
  expect_failures = [var.pooler]
}

run "port_that_is_none" {
  command = plan
  variables {
    pooler = { databases = { a = { host = "db.example", port = 0 } } }
  }
  expect_failures = [var.pooler]
}

run "port_that_is_broken" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example", port = 1.5 } }
  }
  expect_failures = [var.pooler]
}

run "listen_addr_with_a_new_line" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, listen_addr = "*\nauth_type = trust" }
  }
  expect_failures = [var.pooler]
}

run "listen_port_that_is_too_high" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, listen_port = 65536 }
  }
  expect_failures = [var.pooler]
}

run "path_with_a_new_line" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, client_tls_key_file = "/a\nauth_type = trust" }
  }
  expect_failures = [var.pooler]
}

run "path_with_a_space" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, server_tls_ca_file = "/a b" }
  }
  expect_failures = [var.pooler]
}

run "path_that_is_relative" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, auth_file = "users" }
  }
  expect_failures = [var.pooler]
}

run "pool_mode_that_does_not_exist" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, pool_mode = "query" }
  }
  expect_failures = [var.pooler]
}

run "pool_without_connections" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, default_pool_size = 0 }
  }
  expect_failures = [var.pooler]
}

run "pool_size_that_is_negative" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, reserve_pool_size = -1 }
  }
  expect_failures = [var.pooler]
}

run "pool_size_that_is_broken" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, max_db_connections = 0.5 }
  }
  expect_failures = [var.pooler]
}

run "user_of_the_console_twice" {
  command = plan
  variables {
    pooler = { fallback = { host = "db.example" }, admin_users = ["a"], stats_users = ["a"] }
  }
  expect_failures = [var.pooler]
}
