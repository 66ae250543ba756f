locals {
  makes_issuing = var.issuing.existing_issuer == null
  # A mount that is only kept has no existing issuer of its own.
  roots = toset(local.makes_issuing ? concat(var.root.existing_issuer == null ? [var.root.mount] : [], var.root.additional_mounts) : [])
  signs = local.makes_issuing && var.root.existing_issuer == null

  unit_seconds = { h = 3600, m = 60, s = 1 }
  # Vault's provider takes these in seconds. Each is one number with one unit.
  seconds = { for duration in distinct(concat(
    [var.root.ttl, var.issuing.ttl, var.crl.expiry, var.crl.rebuild_after], values(var.clients)[*].ttl, values(var.clients)[*].max_ttl,
    values(var.servers)[*].ttl, values(var.servers)[*].max_ttl, var.jwt == null ? [] : [var.jwt.token_ttl, var.jwt.token_max_ttl],
  )) : duration => tonumber(regex("^[0-9]+", duration)) * local.unit_seconds[regex("[hms]$", duration)] }

  issuer = (
    local.makes_issuing ? vault_pki_secret_backend_intermediate_set_signed.issuing[0].imported_issuers[0] : var.issuing.existing_issuer
  )
  mount = local.makes_issuing ? vault_mount.issuing[0].path : var.issuing.mount
}

resource "vault_mount" "root" {
  for_each = local.roots

  path                  = each.value
  type                  = "pki"
  description           = "Brownie: an authority that everybody trusts"
  max_lease_ttl_seconds = local.seconds[var.root.ttl]
}

# "internal": the key never leaves Vault, so that it is in no state.
resource "vault_pki_secret_backend_root_cert" "root" {
  for_each = local.roots

  backend              = vault_mount.root[each.value].path
  type                 = "internal"
  common_name          = var.root.common_name
  ttl                  = var.root.ttl
  key_type             = var.root.key_type
  key_bits             = var.root.key_bits
  not_before_duration  = "3600s" # No certificate may begin before its issuer's, and those of clients begin ten minutes early.
  exclude_cn_from_sans = true

  lifecycle {
    # Another root in its place would end the trust in everything that it has signed. A new one gets a mount of its own.
    ignore_changes = [common_name, ttl, key_type, key_bits, not_before_duration]
  }
}

check "root_is_as_configured" {
  assert {
    condition = length(var.root.additional_mounts) > 0 || alltrue([for root in vault_pki_secret_backend_root_cert.root :
      root.common_name == var.root.common_name && root.ttl == var.root.ttl &&
      root.key_type == var.root.key_type && root.key_bits == var.root.key_bits
    ])
    error_message = <<-EOT
      A root that exists is not changed: common_name, ttl and key are still those that it was made with. For a new one, follow
      "Rotation" in the module's README.
    EOT
  }
}

resource "vault_mount" "issuing" {
  count = local.makes_issuing ? 1 : 0

  path                  = var.issuing.mount
  type                  = "pki"
  description           = "Brownie: certificates of servers and clients"
  max_lease_ttl_seconds = local.seconds[var.issuing.ttl]
}

resource "vault_pki_secret_backend_intermediate_cert_request" "issuing" {
  count = local.makes_issuing ? 1 : 0

  backend              = vault_mount.issuing[0].path
  type                 = "internal"
  common_name          = var.issuing.common_name
  key_type             = var.issuing.key_type
  key_bits             = var.issuing.key_bits
  exclude_cn_from_sans = true

  lifecycle {
    # The old authority goes on until the new one is there.
    create_before_destroy = true
  }
}

resource "vault_pki_secret_backend_root_sign_intermediate" "issuing" {
  count = local.makes_issuing ? 1 : 0

  backend              = local.signs ? vault_mount.root[var.root.mount].path : var.root.mount
  issuer_ref           = local.signs ? vault_pki_secret_backend_root_cert.root[var.root.mount].issuer_id : var.root.existing_issuer
  csr                  = vault_pki_secret_backend_intermediate_cert_request.issuing[0].csr
  common_name          = var.issuing.common_name
  ttl                  = var.issuing.ttl
  not_before_duration  = "1800s"
  max_path_length      = 0 # It signs servers and clients, and no other authority.
  exclude_cn_from_sans = true

  lifecycle {
    # Vault's provider takes another ttl for a change that needs nothing.
    replace_triggered_by = [terraform_data.issuing_ttl]
  }
}

resource "terraform_data" "issuing_ttl" {
  input = var.issuing.ttl
}

# With the whole chain, so that certificates come with what others need to check them.
resource "vault_pki_secret_backend_intermediate_set_signed" "issuing" {
  count = local.makes_issuing ? 1 : 0

  backend     = vault_mount.issuing[0].path
  certificate = join("\n", vault_pki_secret_backend_root_sign_intermediate.issuing[0].ca_chain)
}

resource "vault_pki_secret_backend_config_issuers" "issuing" {
  count = local.makes_issuing ? 1 : 0

  backend                       = vault_mount.issuing[0].path
  default                       = local.issuer
  default_follows_latest_issuer = false
}

resource "vault_pki_secret_backend_crl_config" "all" {
  for_each = toset(concat(tolist(local.roots), local.makes_issuing ? [var.issuing.mount] : []))

  backend                   = each.value
  expiry                    = var.crl.expiry
  auto_rebuild              = true
  auto_rebuild_grace_period = "${local.seconds[var.crl.expiry] - local.seconds[var.crl.rebuild_after]}s"

  # It makes the lists, which takes authorities.
  depends_on = [vault_pki_secret_backend_root_cert.root, vault_pki_secret_backend_config_issuers.issuing]
}

# Without it the lists would only grow, up to a size at which Vault makes no more.
resource "vault_pki_secret_backend_config_auto_tidy" "issuing" {
  count = local.makes_issuing ? 1 : 0

  backend            = vault_mount.issuing[0].path
  enabled            = true
  tidy_cert_store    = true
  tidy_revoked_certs = true
  safety_buffer      = var.crl.safety_buffer
}

resource "vault_pki_secret_backend_config_urls" "issuing" {
  count = local.makes_issuing && var.address != null ? 1 : 0

  backend                 = vault_mount.issuing[0].path
  issuing_certificates    = ["${var.address}/v1/${var.issuing.mount}/ca"]
  crl_distribution_points = ["${var.address}/v1/${var.issuing.mount}/crl"]
  ocsp_servers            = ["${var.address}/v1/${var.issuing.mount}/ocsp"]
}
