# On a real Vault, which VAULT_ADDR and VAULT_TOKEN name.
provider "vault" {
  skip_child_token = true
}

variables {
  root          = { mount = "real-root" }
  issuing       = { mount = "real-pki" }
  store         = { mount = "real-kv" }
  policy_prefix = "real"
  address       = "http://127.0.0.1:8200"
  clients       = { acme-app = {}, acme_reports = { issuance = "self" }, pgbouncer = { issuance = "self" } }
  servers       = { postgres = { domains = ["db.example"], allow_subdomains = true } }
}

run "everything_is_made" {
  assert {
    condition = (
      length(regexall("BEGIN CERTIFICATE", output.ca_chain_pem)) == 2 &&
      strcontains(output.ca_chain_pem, trimspace(output.root_certificate_pem))
    )
    error_message = "the chain is not the issuing authority and its root:\n${output.ca_chain_pem}"
  }
  assert {
    condition     = output.issuer == vault_pki_secret_backend_config_issuers.issuing[0].default
    error_message = "the mount's default issuer is not the one of the roles"
  }
}

run "nothing_changes_without_a_reason" {
  command = plan
  assert {
    condition     = output.issuer == run.everything_is_made.issuer && output.ca_chain_pem == run.everything_is_made.ca_chain_pem
    error_message = "a second plan makes another authority"
  }
}

run "another_common_name_rotates_the_authority" {
  variables {
    issuing = { mount = "real-pki", common_name = "Brownie issuing, next" }
  }
  assert {
    condition = (
      output.issuer != run.everything_is_made.issuer &&
      output.root_certificate_pem == run.everything_is_made.root_certificate_pem
    )
    error_message = "the authority is the old one, or the root is another"
  }
  assert {
    condition     = alltrue([for role in vault_pki_secret_backend_role.client : role.issuer_ref == output.issuer])
    error_message = "a role uses the old authority"
  }
}

run "another_root_is_made_before_it_signs" {
  variables {
    root    = { mount = "real-root", additional_mounts = ["real-root-next"], common_name = "Brownie root, next" }
    issuing = { mount = "real-pki", common_name = "Brownie issuing, next" }
  }
  assert {
    condition = (
      output.issuer == run.another_common_name_rotates_the_authority.issuer &&
      strcontains(output.root_certificate_pem, run.everything_is_made.root_certificate_pem)
    )
    error_message = "the authority changes before its new root can be trusted, or the old root is gone"
  }
  assert {
    condition     = length(regexall("BEGIN CERTIFICATE", output.root_certificate_pem)) == 2
    error_message = "there is no second root to trust"
  }
}

run "then_it_signs_and_the_old_one_stays" {
  variables {
    root    = { mount = "real-root-next", additional_mounts = ["real-root"], common_name = "Brownie root, next" }
    issuing = { mount = "real-pki", common_name = "Brownie issuing, next" }
  }
  assert {
    condition = (
      output.issuer != run.another_common_name_rotates_the_authority.issuer &&
      output.root_certificate_pem == run.another_root_is_made_before_it_signs.root_certificate_pem
    )
    error_message = "the authority was not signed anew, or a root has changed"
  }
  assert {
    condition     = strcontains(output.ca_chain_pem, trimspace(vault_pki_secret_backend_root_cert.root["real-root-next"].certificate))
    error_message = "the new root does not sign"
  }
}

run "another_ttl_prolongs_the_authority" {
  variables {
    root    = { mount = "real-root-next", additional_mounts = ["real-root"], common_name = "Brownie root, next" }
    issuing = { mount = "real-pki", common_name = "Brownie issuing, next", ttl = "50000h" }
  }
  assert {
    condition     = output.issuer != run.then_it_signs_and_the_old_one_stays.issuer
    error_message = "the authority holds as long as before"
  }
}

run "a_root_that_exists_is_not_changed_silently" {
  command = plan
  variables {
    root    = { mount = "real-root-next", common_name = "Another root" }
    issuing = { mount = "real-pki", common_name = "Brownie issuing, next", ttl = "50000h" }
  }
  expect_failures = [check.root_is_as_configured]
}
