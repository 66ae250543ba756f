# What can be asked of the server.
run "nothing_but_certificates_whatever_is_asked_for" {
  command = plan
  variables {
    min_tls_version = "TLSv1.2"
    server = {
      addresses         = ["all", "samenet", "samehost", "10.0.0.0/8", "127.0.0.1/32", "0.0.0.0/0", "::1/128", "2001:DB8::/32"]
      replication_roles = ["standby", "trust", "host all all all trust", "all\" all trust #"]
      local_users       = { postgres = ["postgres", "trust\"", "md5"], "all" = ["all"] }
      log_connections   = false

      reserved_connections = 0
    }
    pooler = { fallback = { host = "db.example" }, admin_users = ["trust"] }
  }

  assert {
    condition = alltrue([for line in split("\n", trimspace(output.pg_hba_conf)) : can(regex(join("|", [
      "^#",
      "^local +all +\"([^\"]|\"\")+\" +peer map=brownie_local$",
      "^hostssl +replication +\"([^\"]|\"\")+\" +[^ \"]+ +cert$",
      "^hostssl +all +all +[^ \"]+ +cert map=brownie$",
      "^local +(all|replication) +all +reject$",
      "^host +(all|replication) +all +all +reject$",
    ]), line))])
    error_message = "Every line is TLS with a certificate, an operating system's user that was named, or a refusal."
  }
  assert {
    condition = endswith(replace(trimspace(output.pg_hba_conf), "/ +/", " "), join("\n", [
      "local all all reject", "local replication all reject", "host all all all reject", "host replication all all reject",
    ]))
    error_message = "The last lines refuse everything that no other line took."
  }
  assert {
    condition = (
      strcontains(output.postgresql_conf, "log_connections = off") && strcontains(output.postgresql_conf, "\nreserved_connections = 0\n")
    )
    error_message = "log_connections and reserved_connections are passed on."
  }
}

run "addresses" {
  command = plan
  variables {
    server = { addresses = ["10.0.0.0/8", "2001:db8::/32"] }
  }

  assert {
    condition = [for line in split("\n", output.pg_hba_conf) : replace(line, "/ +/", " ") if startswith(line, "hostssl")] == [
      "hostssl all all 10.0.0.0/8 cert map=brownie",
      "hostssl all all 2001:db8::/32 cert map=brownie",
    ]
    error_message = "Certificates are accepted from the networks that are named, and from no other."
  }
}

run "replication" {
  command = plan
  variables {
    server = { addresses = ["10.0.0.0/8", "::1/128"], replication_roles = ["standby", "a \"b\", c"] }
    pooler = { fallback = { host = "db.example" } }
  }

  assert {
    condition = [for line in split("\n", output.pg_hba_conf) : replace(line, "/ +/", " ") if startswith(line, "hostssl  replication")] == [
      "hostssl replication \"standby\" 10.0.0.0/8 cert",
      "hostssl replication \"a \"\"b\"\", c\" 10.0.0.0/8 cert",
      "hostssl replication \"standby\" ::1/128 cert",
      "hostssl replication \"a \"\"b\"\", c\" ::1/128 cert",
    ]
    error_message = "Each role replicates with a certificate of exactly its name; no map lets the pooler replicate."
  }
}

run "local_users_are_peers" {
  command = plan
  variables {
    server = { local_users = { postgres = ["postgres", "brownie-backup"], "o'x \"y\"" = ["z"] } }
  }

  assert {
    condition = [for line in split("\n", output.pg_hba_conf) : replace(line, "/ +/", " ") if startswith(line, "local")] == [
      "local all \"z\" peer map=brownie_local",
      "local all \"postgres\" peer map=brownie_local",
      "local all \"brownie-backup\" peer map=brownie_local",
      "local all all reject",
      "local replication all reject",
    ]
    error_message = "The unix socket is open to the roles that are named and refuses all others."
  }
  assert {
    condition = [for line in split("\n", output.pg_ident_conf) : line if startswith(line, "brownie_local")] == [
      "brownie_local  \"o'x \"\"y\"\"\"  \"z\"",
      "brownie_local  \"postgres\"  \"postgres\"",
      "brownie_local  \"postgres\"  \"brownie-backup\"",
    ]
    error_message = "Each operating system's user logs in as its own roles only."
  }
}

run "local_replication" {
  command = plan
  variables {
    server = { replication_roles = ["standby", "remote"], local_users = { postgres = ["postgres", "standby"] } }
  }

  assert {
    condition = [for line in split("\n", output.pg_hba_conf) : replace(line, "/ +/", " ") if startswith(line, "local")] == [
      "local all \"postgres\" peer map=brownie_local",
      "local all \"standby\" peer map=brownie_local",
      "local replication \"standby\" peer map=brownie_local",
      "local all all reject",
      "local replication all reject",
    ]
    error_message = "A local user's replication role streams over the unix socket; no other does."
  }
}

run "revocation_list_and_odd_paths" {
  command = plan
  variables {
    server = { ssl_crl_file = "/etc/it's/a \\ list", ssl_ca_file = "/ca", ssl_cert_file = "/cert", ssl_key_file = "/key" }
  }

  assert {
    condition = (
      strcontains(output.postgresql_conf, "\nssl_crl_file = '/etc/it''s/a \\\\ list'\n") &&
      strcontains(output.postgresql_conf, "\nssl_cert_file = '/cert'\nssl_key_file = '/key'\nssl_ca_file = '/ca'\n")
    )
    error_message = "Quotes and backslashes are written as the server reads them."
  }
}
