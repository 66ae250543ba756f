# What Vault's checks let through was tried name by name (tests/real.tftest.hcl). Two settings decide, and both are easy to get wrong:
# cn_validations = ["disabled"] would allow every common name, also "*"; and Vault's default allows e-mail addresses of a name.
locals {
  least_bits = { ec = 256, rsa = 2048, ed25519 = 0, any = 0 }
}

# One exact common name for each client.
resource "vault_pki_secret_backend_role" "client" {
  for_each = var.clients

  backend    = local.mount
  name       = each.key
  issuer_ref = local.issuer
  ttl        = local.seconds[each.value.ttl]
  max_ttl    = local.seconds[each.value.max_ttl]
  key_type   = each.value.key_type
  key_bits   = coalesce(each.value.key_bits, local.least_bits[each.value.key_type])

  allowed_domains             = [each.key]
  allow_bare_domains          = true
  allow_subdomains            = false
  allow_glob_domains          = false
  allow_any_name              = false
  allow_localhost             = false
  allow_wildcard_certificates = false
  allow_ip_sans               = false
  cn_validations              = ["hostname"]
  enforce_hostnames           = false # Names of roles may have an underscore.
  require_cn                  = true
  use_csr_common_name         = false
  use_csr_sans                = false

  client_flag           = true
  server_flag           = false
  code_signing_flag     = false
  email_protection_flag = false
  key_usage             = ["DigitalSignature"]

  # Others' clocks may be behind Vault's.
  not_before_duration = "10m"
  no_store            = false # What is not stored cannot be revoked.
  generate_lease      = false
}

# Certificates of servers, which open nothing.
resource "vault_pki_secret_backend_role" "server" {
  for_each = var.servers

  backend    = local.mount
  name       = "server-${each.key}"
  issuer_ref = local.issuer
  ttl        = local.seconds[each.value.ttl]
  max_ttl    = local.seconds[each.value.max_ttl]
  key_type   = each.value.key_type
  key_bits   = coalesce(each.value.key_bits, local.least_bits[each.value.key_type])

  allowed_domains             = each.value.domains
  allow_bare_domains          = true
  allow_subdomains            = each.value.allow_subdomains
  allow_glob_domains          = false
  allow_any_name              = false
  allow_localhost             = false
  allow_wildcard_certificates = false
  allow_ip_sans               = each.value.allow_ip_sans
  cn_validations              = ["hostname"]
  enforce_hostnames           = true
  require_cn                  = true
  use_csr_common_name         = false
  use_csr_sans                = false

  client_flag           = false
  server_flag           = true
  code_signing_flag     = false
  email_protection_flag = false
  key_usage             = ["DigitalSignature", "KeyEncipherment"]

  not_before_duration = "10m"
  no_store            = false
  generate_lease      = false
}
