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
  clients       = { acme-app = {}, acme_reports = { issues_for_itself = true }, pgbouncer = { managed_by_brownie = false } }
  servers       = { postgres = { domains = ["db.example"], allow_subdomains = true } }
}

run "everything_is_made" {
  assert {
    condition     = length(regexall("BEGIN CERTIFICATE", output.ca_chain_pem)) == 2 && strcontains(output.ca_chain_pem, trimspace(output.root_certificate_pem))
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
    condition     = output.issuer != run.everything_is_made.issuer && output.root_certificate_pem == run.everything_is_made.root_certificate_pem
    error_message = "the authority is the old one, or the root is another"
  }
  assert {
    condition     = alltrue([for role in vault_pki_secret_backend_role.client : role.issuer_ref == output.issuer])
    error_message = "a role uses the old authority"
  }
}
