locals {
  makes_issuing = var.issuing.existing_issuer == null
  makes_root    = local.makes_issuing && var.root.existing_issuer == null

  unit_seconds = { h = 3600, m = 60, s = 1 }
  # Vault's provider takes these in seconds. Each is one number with one unit.
  seconds = { for duration in distinct(concat(
    [var.root.ttl, var.issuing.ttl], values(var.clients)[*].ttl, values(var.clients)[*].max_ttl, values(var.servers)[*].ttl,
    values(var.servers)[*].max_ttl, var.jwt == null ? [] : [var.jwt.token_ttl, var.jwt.token_max_ttl],
  )) : duration => tonumber(regex("^[0-9]+", duration)) * local.unit_seconds[regex("[hms]$", duration)] }

  issuer = local.makes_issuing ? vault_pki_secret_backend_intermediate_set_signed.issuing[0].imported_issuers[0] : var.issuing.existing_issuer
  mount  = local.makes_issuing ? vault_mount.issuing[0].path : var.issuing.mount
}

resource "vault_mount" "root" {
  count = local.makes_root ? 1 : 0

  path                  = var.root.mount
  type                  = "pki"
  description           = "Brownie: the authority that everybody trusts"
  max_lease_ttl_seconds = local.seconds[var.root.ttl]
}

# "internal": the key never leaves Vault, so that it is in no state.
resource "vault_pki_secret_backend_root_cert" "root" {
  count = local.makes_root ? 1 : 0

  backend              = vault_mount.root[0].path
  type                 = "internal"
  common_name          = var.root.common_name
  ttl                  = var.root.ttl
  key_type             = var.root.key_type
  key_bits             = var.root.key_bits
  not_before_duration  = "3600s" # No certificate may begin before its issuer's, and those of clients begin ten minutes early.
  exclude_cn_from_sans = true
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

  backend              = local.makes_root ? vault_mount.root[0].path : var.root.mount
  issuer_ref           = local.makes_root ? vault_pki_secret_backend_root_cert.root[0].issuer_id : var.root.existing_issuer
  csr                  = vault_pki_secret_backend_intermediate_cert_request.issuing[0].csr
  common_name          = var.issuing.common_name
  ttl                  = var.issuing.ttl
  not_before_duration  = "1800s"
  max_path_length      = 0 # It signs servers and clients, and no other authority.
  exclude_cn_from_sans = true
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
  for_each = var.crl == null ? toset([]) : toset(concat(local.makes_root ? [var.root.mount] : [], [var.issuing.mount]))

  backend                   = each.value
  expiry                    = var.crl.expiry
  auto_rebuild              = true
  auto_rebuild_grace_period = var.crl.auto_rebuild_grace_period

  # It makes the lists, which takes authorities.
  depends_on = [vault_pki_secret_backend_root_cert.root, vault_pki_secret_backend_config_issuers.issuing]
}

resource "vault_pki_secret_backend_config_urls" "issuing" {
  count = local.makes_issuing && var.address != null ? 1 : 0

  backend                 = vault_mount.issuing[0].path
  issuing_certificates    = ["${var.address}/v1/${var.issuing.mount}/ca"]
  crl_distribution_points = ["${var.address}/v1/${var.issuing.mount}/crl"]
  ocsp_servers            = ["${var.address}/v1/${var.issuing.mount}/ocsp"]
}
