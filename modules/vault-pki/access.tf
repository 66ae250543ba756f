resource "vault_mount" "store" {
  count = var.store.existing ? 0 : 1

  path        = var.store.mount
  type        = "kv"
  options     = { version = "2" }
  description = "Brownie: keys and certificates of clients"
}

# What the provider brownie needs, and nothing else.
resource "vault_policy" "terraform" {
  name = "${var.policy_prefix}-terraform"
  policy = templatefile("${path.module}/templates/terraform.hcl.tftpl", {
    mount  = var.issuing.mount
    roles  = [for name, client in var.clients : name if client.issuance == "terraform"]
    store  = var.store.mount
    prefix = var.store.prefix
  })
}

# What a client needs: its own secret, or its own certificates.
resource "vault_policy" "client" {
  for_each = var.clients

  name = "${var.policy_prefix}-client-${each.key}"
  policy = templatefile("${path.module}/templates/client.hcl.tftpl", {
    mount    = var.issuing.mount
    name     = each.key
    store    = var.store.mount
    prefix   = var.store.prefix
    issuance = each.value.issuance
  })
}

# What a server needs: certificates for its names.
resource "vault_policy" "server" {
  for_each = var.servers

  name = "${var.policy_prefix}-server-${each.key}"
  policy = templatefile("${path.module}/templates/server.hcl.tftpl", {
    mount = var.issuing.mount
    role  = "server-${each.key}"
  })
}

resource "vault_jwt_auth_backend" "hcp_terraform" {
  count = var.jwt == null ? 0 : 1

  path                  = var.jwt.path
  type                  = "jwt"
  description           = "Brownie: runs of HCP Terraform"
  oidc_discovery_url    = var.jwt.jwt_validation_pubkeys == null ? var.jwt.oidc_discovery_url : null
  oidc_discovery_ca_pem = var.jwt.jwt_validation_pubkeys == null ? var.jwt.oidc_discovery_ca_pem : null
  jwt_validation_pubkeys = var.jwt.jwt_validation_pubkeys == null ? null : [
    for key in var.jwt.jwt_validation_pubkeys : trimspace(key) # as Vault returns them
  ]
  jwt_supported_algs = ["RS256", "ES256"]
  bound_issuer       = coalesce(var.jwt.bound_issuer, var.jwt.oidc_discovery_url)
}

resource "vault_jwt_auth_backend_role" "workspace" {
  for_each = var.jwt == null ? {} : var.jwt.workspaces

  backend           = vault_jwt_auth_backend.hcp_terraform[0].path
  role_name         = each.key
  role_type         = "jwt"
  bound_audiences   = [var.jwt.audience]
  bound_claims_type = "glob" # For the phase only: no other part may hold an asterisk.
  bound_claims = {
    sub = join(":", [
      "organization", each.value.organization, "project", each.value.project, "workspace", each.value.workspace,
      "run_phase", each.value.run_phase,
    ])
  }
  user_claim     = "terraform_full_workspace"
  token_policies = [vault_policy.terraform.name]
  token_ttl      = local.seconds[var.jwt.token_ttl]
  token_max_ttl  = local.seconds[var.jwt.token_max_ttl]
}
