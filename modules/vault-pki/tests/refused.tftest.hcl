# Values that would let too much in, or that Vault would refuse late.
mock_provider "vault" {}

run "mount_with_a_slash" {
  command = plan
  variables {
    root = { mount = "/pki" }
  }
  expect_failures = [var.root]
}

run "ttl_without_a_unit" {
  command = plan
  variables {
    root = { ttl = "100" }
  }
  expect_failures = [var.root]
}

run "key_of_another_type" {
  command = plan
  variables {
    root = { key_type = "dsa" }
  }
  expect_failures = [var.root]
}

run "key_that_is_too_small" {
  command = plan
  variables {
    root = { key_type = "rsa", key_bits = 1024 }
  }
  expect_failures = [var.root]
}

run "the_same_mount_for_both_authorities" {
  command = plan
  variables {
    issuing = { mount = "pki-root" }
  }
  expect_failures = [var.issuing]
}

run "issuing_ttl_with_two_units" {
  command = plan
  variables {
    issuing = { ttl = "1h30m" }
  }
  expect_failures = [var.issuing]
}

run "issuing_key_of_a_wrong_size" {
  command = plan
  variables {
    issuing = { key_bits = 128 }
  }
  expect_failures = [var.issuing]
}

run "grace_period_as_long_as_the_list_holds" {
  command = plan
  variables {
    crl = { expiry = "24h", auto_rebuild_grace_period = "24h" }
  }
  expect_failures = [var.crl]
}

run "expiry_without_a_unit" {
  command = plan
  variables {
    crl = { expiry = "72" }
  }
  expect_failures = [var.crl]
}

run "address_with_a_path" {
  command = plan
  variables {
    address = "https://vault.example:8200/v1"
  }
  expect_failures = [var.address]
}

run "client_with_a_wildcard" {
  command = plan
  variables {
    clients = { "*" = {} }
  }
  expect_failures = [var.clients]
}

run "client_in_upper_case" {
  command = plan
  variables {
    clients = { Acme = {} }
  }
  expect_failures = [var.clients]
}

run "client_that_is_an_address" {
  command = plan
  variables {
    clients = { "ops@acme" = {} }
  }
  expect_failures = [var.clients]
}

run "client_with_a_path" {
  command = plan
  variables {
    clients = { "a/b" = {} }
  }
  expect_failures = [var.clients]
}

run "client_named_as_a_server" {
  command = plan
  variables {
    clients = { server-x = {} }
  }
  expect_failures = [var.clients]
}

run "client_that_lives_longer_than_it_may" {
  command = plan
  variables {
    clients = { acme-app = { ttl = "721h" } }
  }
  expect_failures = [var.clients]
}

run "client_with_an_unknown_key" {
  command = plan
  variables {
    clients = { acme-app = { key_type = "dsa" } }
  }
  expect_failures = [var.clients]
}

run "server_without_domains" {
  command = plan
  variables {
    servers = { postgres = { domains = [] } }
  }
  expect_failures = [var.servers]
}

run "server_with_a_wildcard" {
  command = plan
  variables {
    servers = { postgres = { domains = ["*.example"] } }
  }
  expect_failures = [var.servers]
}

run "server_that_lives_longer_than_it_may" {
  command = plan
  variables {
    servers = { postgres = { domains = ["db.example"], ttl = "3000h" } }
  }
  expect_failures = [var.servers]
}

run "store_that_is_everything" {
  command = plan
  variables {
    store = { prefix = "*" }
  }
  expect_failures = [var.store]
}

run "policy_with_a_path" {
  command = plan
  variables {
    policy_prefix = "a/b"
  }
  expect_failures = [var.policy_prefix]
}

run "workspace_with_an_asterisk" {
  command = plan
  variables {
    jwt = { workspaces = { prod = { organization = "acme", project = "*", workspace = "prod" } } }
  }
  expect_failures = [var.jwt]
}

run "workspace_with_a_colon" {
  command = plan
  variables {
    jwt = { workspaces = { prod = { organization = "acme", project = "p", workspace = "prod:run_phase" } } }
  }
  expect_failures = [var.jwt]
}

run "unknown_phase" {
  command = plan
  variables {
    jwt = { workspaces = { prod = { organization = "acme", project = "p", workspace = "prod", run_phase = "destroy" } } }
  }
  expect_failures = [var.jwt]
}

run "nobody_to_log_in" {
  command = plan
  variables {
    jwt = { workspaces = {} }
  }
  expect_failures = [var.jwt]
}
