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

run "list_that_is_made_anew_late" {
  command = plan
  variables {
    crl = { expiry = "24h", rebuild_after = "13h" }
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

run "list_that_expires_at_once" {
  command = plan
  variables {
    crl = { expiry = "1s", rebuild_after = "1s" }
  }
  expect_failures = [var.crl]
}

run "mount_with_an_asterisk" {
  command = plan
  variables {
    issuing = { mount = "p*ki" }
  }
  expect_failures = [var.issuing]
}

run "issuer_without_a_name" {
  command = plan
  variables {
    issuing = { existing_issuer = "" }
  }
  expect_failures = [var.issuing]
}

run "root_that_ends_before_its_issuing_authority" {
  command = plan
  variables {
    root = { ttl = "1h" }
  }
  expect_failures = [var.issuing]
}

run "another_root_at_the_same_place" {
  command = plan
  variables {
    root = { also = ["pki-root"] }
  }
  expect_failures = [var.root]
}

run "ttl_of_centuries" {
  command = plan
  variables {
    issuing = { ttl = "9999999h" }
  }
  expect_failures = [var.issuing]
}

run "client_with_two_dots" {
  command = plan
  variables {
    clients = { "a..b" = {} }
  }
  expect_failures = [var.clients]
}

run "client_that_is_null" {
  command = plan
  variables {
    clients = { acme-app = null }
  }
  expect_failures = [var.clients]
}

run "client_with_a_key_of_17_bits" {
  command = plan
  variables {
    clients = { acme-app = { key_bits = 17 } }
  }
  expect_failures = [var.clients]
}

run "client_that_outlives_its_authority" {
  command = plan
  variables {
    clients = { acme-app = { max_ttl = "87600h" } }
  }
  expect_failures = [var.clients]
}

run "server_that_is_null" {
  command = plan
  variables {
    servers = { postgres = null }
  }
  expect_failures = [var.servers]
}

run "server_with_a_key_of_1024_bits" {
  command = plan
  variables {
    servers = { postgres = { domains = ["db.example"], key_type = "rsa", key_bits = 1024 } }
  }
  expect_failures = [var.servers]
}

run "login_that_is_longer_than_it_may_be" {
  command = plan
  variables {
    jwt = { token_ttl = "3h", workspaces = { prod = { organization = "acme", project = "p", workspace = "prod" } } }
  }
  expect_failures = [var.jwt]
}

run "role_with_a_slash" {
  command = plan
  variables {
    jwt = { workspaces = { "a/b" = { organization = "acme", project = "p", workspace = "prod" } } }
  }
  expect_failures = [var.jwt]
}

run "workspaces_that_are_null" {
  command = plan
  variables {
    jwt = { workspaces = null }
  }
  expect_failures = [var.jwt]
}

run "workspace_that_is_null" {
  command = plan
  variables {
    jwt = { workspaces = { prod = null } }
  }
  expect_failures = [var.jwt]
}

run "project_that_is_null" {
  command = plan
  variables {
    jwt = { workspaces = { prod = { organization = "acme", project = null, workspace = "prod" } } }
  }
  expect_failures = [var.jwt]
}

run "no_key_to_check_identities_with" {
  command = plan
  variables {
    jwt = { jwt_validation_pubkeys = [], workspaces = { prod = { organization = "acme", project = "p", workspace = "prod" } } }
  }
  expect_failures = [var.jwt]
}
