# Values that the server's files cannot hold, or that would be read as something else.
run "no_addresses" {
  command = plan
  variables {
    server = { addresses = [] }
  }
  expect_failures = [var.server]
}

run "address_that_is_a_keyword_of_its_own" {
  command = plan
  variables {
    server = { addresses = ["trust"] }
  }
  expect_failures = [var.server]
}

run "address_with_more_than_an_address" {
  command = plan
  variables {
    server = { addresses = ["all trust #"] }
  }
  expect_failures = [var.server]
}

run "address_with_a_new_line" {
  command = plan
  variables {
    server = { addresses = ["all\n"] }
  }
  expect_failures = [var.server]
}

run "address_without_a_prefix" {
  command = plan
  variables {
    server = { addresses = ["10.0.0.1"] }
  }
  expect_failures = [var.server]
}

run "address_with_bits_after_the_prefix" {
  command = plan
  variables {
    server = { addresses = ["10.0.0.1/8"] }
  }
  expect_failures = [var.server]
}

run "address_that_could_be_octal" {
  command = plan
  variables {
    server = { addresses = ["010.0.0.0/8"] }
  }
  expect_failures = [var.server]
}

run "address_that_is_null" {
  command = plan
  variables {
    server = { addresses = [null] }
  }
  expect_failures = [var.server]
}

run "replication_role_that_is_a_regular_expression" {
  command = plan
  variables {
    server = { replication_roles = ["/^.*$"] }
  }
  expect_failures = [var.server]
}

run "replication_role_on_two_lines" {
  command = plan
  variables {
    server = { replication_roles = ["standby\nhost all all all trust"] }
  }
  expect_failures = [var.server]
}

run "replication_role_without_a_name" {
  command = plan
  variables {
    server = { replication_roles = [""] }
  }
  expect_failures = [var.server]
}

run "replication_role_that_is_null" {
  command = plan
  variables {
    server = { replication_roles = [null] }
  }
  expect_failures = [var.server]
}

run "replication_role_that_is_too_long" {
  command = plan
  variables {
    server = { replication_roles = ["ééééééééééééééééééééééééééééééé1é"] }
  }
  expect_failures = [var.server]
}

run "local_role_that_is_a_regular_expression" {
  command = plan
  variables {
    server = { local_users = { postgres = ["/^.*$"] } }
  }
  expect_failures = [var.server]
}

run "local_user_that_is_a_regular_expression" {
  command = plan
  variables {
    server = { local_users = { "/^.*$" = ["postgres"] } }
  }
  expect_failures = [var.server]
}

run "local_user_on_two_lines" {
  command = plan
  variables {
    server = { local_users = { "a\nb" = ["postgres"] } }
  }
  expect_failures = [var.server]
}

run "local_user_without_a_name" {
  command = plan
  variables {
    server = { local_users = { "" = ["postgres"] } }
  }
  expect_failures = [var.server]
}

run "path_on_two_lines" {
  command = plan
  variables {
    server = { ssl_key_file = "/a\nssl = off" }
  }
  expect_failures = [var.server]
}

run "path_that_is_relative" {
  command = plan
  variables {
    server = { ssl_cert_file = "server.crt" }
  }
  expect_failures = [var.server]
}

run "path_that_is_empty" {
  command = plan
  variables {
    server = { ssl_ca_file = "" }
  }
  expect_failures = [var.server]
}

run "revocation_list_that_is_empty" {
  command = plan
  variables {
    server = { ssl_crl_file = "" }
  }
  expect_failures = [var.server]
}

run "reserved_connections_that_are_negative" {
  command = plan
  variables {
    server = { reserved_connections = -1 }
  }
  expect_failures = [var.server]
}

run "reserved_connections_that_are_broken" {
  command = plan
  variables {
    server = { reserved_connections = 1.5 }
  }
  expect_failures = [var.server]
}

run "reserved_connections_that_are_too_many" {
  command = plan
  variables {
    server = { reserved_connections = 1001 }
  }
  expect_failures = [var.server]
}
