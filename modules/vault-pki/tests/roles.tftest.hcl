# What Vault is asked for, without a Vault.
mock_provider "vault" {
  mock_resource "vault_pki_secret_backend_intermediate_set_signed" {
    defaults = { imported_issuers = ["the-new-issuer", "the-root"] }
  }
  mock_resource "vault_pki_secret_backend_root_sign_intermediate" {
    defaults = { ca_chain = ["the issuing authority", "the root"] }
  }
  mock_resource "vault_pki_secret_backend_root_cert" {
    defaults = { issuer_id = "the-root" }
  }
}

variables {
  clients = {
    acme-app  = {}
    pgbouncer = { issuance = "self", ttl = "24h", max_ttl = "48h" }
    reports   = { issuance = "self", key_type = "rsa" }
  }
  servers = { postgres = { domains = ["db.example"] } }
}

run "keys_of_authorities_stay_in_vault" {
  assert {
    condition = (
      vault_pki_secret_backend_root_cert.root["pki-root"].type == "internal" &&
      vault_pki_secret_backend_intermediate_cert_request.issuing[0].type == "internal"
    )
    error_message = "a key could be exported"
  }
}

run "a_client_role_issues_one_exact_name" {
  assert {
    condition = alltrue([for name, role in vault_pki_secret_backend_role.client :
      role.name == name && role.allowed_domains == tolist([name]) && role.allow_bare_domains && !role.allow_subdomains &&
      !role.allow_glob_domains && !role.allow_any_name && !role.allow_wildcard_certificates && !role.allow_ip_sans &&
      !role.allow_localhost && !role.use_csr_sans &&
      !role.use_csr_common_name && role.require_cn && role.cn_validations == tolist(["hostname"])
    ])
    error_message = "a role issues more than its name"
  }
}

run "clients_are_no_servers_and_servers_no_clients" {
  assert {
    condition = alltrue([for role in vault_pki_secret_backend_role.client :
      role.client_flag && !role.server_flag && !role.code_signing_flag && !role.email_protection_flag
    ])
    error_message = "a client's certificate does for more than a client"
  }
  assert {
    condition = alltrue([for role in vault_pki_secret_backend_role.server :
      role.server_flag && !role.client_flag && !role.code_signing_flag && !role.email_protection_flag
    ])
    error_message = "a server's certificate does for more than a server"
  }
}

run "lifetimes_are_bounded" {
  assert {
    condition = (
      vault_pki_secret_backend_role.client["acme-app"].ttl == "604800" &&
      vault_pki_secret_backend_role.client["acme-app"].max_ttl == "2592000"
    )
    error_message = "the defaults are not 168h and 720h"
  }
  assert {
    condition = (
      vault_pki_secret_backend_role.client["pgbouncer"].ttl == "86400" &&
      vault_pki_secret_backend_role.client["pgbouncer"].max_ttl == "172800"
    )
    error_message = "the given lifetimes are not used"
  }
}

run "certificates_can_be_revoked" {
  assert {
    condition = alltrue([for role in concat(values(vault_pki_secret_backend_role.client), values(vault_pki_secret_backend_role.server)) :
      !role.no_store
    ])
    error_message = "a certificate is not stored, so that it cannot be revoked"
  }
  assert {
    condition = alltrue([for config in vault_pki_secret_backend_crl_config.all :
      config.auto_rebuild && config.expiry == "72h" && config.auto_rebuild_grace_period == "259140s"
    ])
    error_message = "lists are not made anew by themselves"
  }
  assert {
    condition     = toset(keys(vault_pki_secret_backend_crl_config.all)) == toset(["pki", "pki-root"])
    error_message = "a mount's lists are not cared for"
  }
  assert {
    condition = (
      vault_pki_secret_backend_config_auto_tidy.issuing[0].enabled &&
      vault_pki_secret_backend_config_auto_tidy.issuing[0].tidy_revoked_certs
    )
    error_message = "the lists grow for ever"
  }
}

run "only_what_policies_need_is_allowed" {
  assert {
    condition = alltrue([for policy in concat(
      [vault_policy.terraform.policy], values(vault_policy.client)[*].policy, values(vault_policy.server)[*].policy
      ) :
      length(regexall("/(sign|issue)/", policy)) == length(regexall("denied_parameters = \\{ \"not_after\" = \\[\\]", policy))
    ])
    error_message = "a policy allows certificates that hold for longer than the role says"
  }
}

run "the_issuing_authority_signs_no_authority" {
  assert {
    condition     = vault_pki_secret_backend_root_sign_intermediate.issuing[0].max_path_length == 0
    error_message = "the issuing authority could make others"
  }
}

run "roles_use_the_new_authority" {
  assert {
    condition = alltrue([for role in concat(values(vault_pki_secret_backend_role.client), values(vault_pki_secret_backend_role.server)) :
      role.issuer_ref == "the-new-issuer"
    ])
    error_message = "a role uses another issuer"
  }
}

run "with_an_existing_issuer_only_roles_are_made" {
  variables {
    issuing = { mount = "company/pki", existing_issuer = "clients" }
  }
  assert {
    condition = (
      length(vault_mount.root) + length(vault_mount.issuing) + length(vault_pki_secret_backend_root_cert.root) +
      length(vault_pki_secret_backend_root_sign_intermediate.issuing) == 0
    )
    error_message = "an authority is made beside the existing one"
  }
  assert {
    condition     = length(vault_pki_secret_backend_crl_config.all) + length(vault_pki_secret_backend_config_auto_tidy.issuing) == 0
    error_message = "the lists of somebody else's mount are changed"
  }
  assert {
    condition = alltrue([for role in vault_pki_secret_backend_role.client :
      role.issuer_ref == "clients" && role.backend == "company/pki"
    ])
    error_message = "the roles do not use the existing issuer"
  }
}

run "an_existing_root_signs_the_issuing_authority" {
  variables {
    root = { mount = "company/root", existing_issuer = "root-2026" }
  }
  assert {
    condition     = length(vault_mount.root) + length(vault_pki_secret_backend_root_cert.root) == 0
    error_message = "a root is made beside the existing one"
  }
  assert {
    condition = (
      vault_pki_secret_backend_root_sign_intermediate.issuing[0].backend == "company/root" &&
      vault_pki_secret_backend_root_sign_intermediate.issuing[0].issuer_ref == "root-2026"
    )
    error_message = "the existing root does not sign"
  }
}

run "the_policy_of_terraform_names_its_clients_only" {
  assert {
    condition = (
      strcontains(vault_policy.terraform.policy, "path \"pki/sign/acme-app\"") &&
      !strcontains(vault_policy.terraform.policy, "pgbouncer") && !strcontains(vault_policy.terraform.policy, "server-postgres")
    )
    error_message = "Terraform may have other certificates signed than those of its clients:\n${vault_policy.terraform.policy}"
  }
}

run "the_policy_of_a_client_names_its_own_only" {
  assert {
    condition = (
      strcontains(vault_policy.client["acme-app"].policy, "path \"brownie/data/clients/acme-app\"") &&
      !strcontains(vault_policy.client["acme-app"].policy, "pki/")
    )
    error_message = vault_policy.client["acme-app"].policy
  }
  assert {
    condition = (
      strcontains(vault_policy.client["reports"].policy, "path \"pki/issue/reports\"") &&
      !strcontains(vault_policy.client["reports"].policy, "brownie/")
    )
    error_message = vault_policy.client["reports"].policy
  }
}

run "no_login_without_workspaces" {
  assert {
    condition     = length(vault_jwt_auth_backend.hcp_terraform) + length(vault_jwt_auth_backend_role.workspace) == 0
    error_message = "a login was made that nobody asked for"
  }
}

run "a_workspace_logs_in_by_its_exact_name" {
  variables {
    jwt = { workspaces = { prod = { organization = "acme", project = "platform", workspace = "db-prod", run_phase = "apply" } } }
  }
  assert {
    condition = vault_jwt_auth_backend_role.workspace["prod"].bound_claims == tomap({
      sub = "organization:acme:project:platform:workspace:db-prod:run_phase:apply"
    })
    error_message = "another workspace could log in"
  }
  assert {
    condition = (
      vault_jwt_auth_backend_role.workspace["prod"].bound_audiences == toset(["vault.workload.identity"]) &&
      vault_jwt_auth_backend_role.workspace["prod"].token_policies == toset(["brownie-terraform"])
    )
    error_message = "the audience or the policy is another one"
  }
  assert {
    condition = (
      vault_jwt_auth_backend.hcp_terraform[0].bound_issuer == "https://app.terraform.io" &&
      vault_jwt_auth_backend.hcp_terraform[0].oidc_discovery_url == "https://app.terraform.io"
    )
    error_message = "the issuer is another one"
  }
}
