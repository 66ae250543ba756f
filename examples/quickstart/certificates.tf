# The certificates of the applications' roles. The provider makes the key, Vault signs and keeps it, and no state or plan ever
# holds it; the application reads it from Vault, for instance with Vault Agent. This file needs a Vault; nothing else does.
resource "brownie_client_certificate" "app" {
  for_each = brownie_role.app

  mount       = "pki"
  role        = each.value.name
  common_name = each.value.name
  ttl         = "24h"
  store       = { mount = "brownie", path = "clients/${each.value.name}" }
}

output "certificates" {
  description = "The applications' certificates, for people."
  value = join("\n", concat(
    [format("%-12s %-20s %s", "COMMON NAME", "EXPIRES", "SERIAL NUMBER")],
    [for certificate in brownie_client_certificate.app : format("%-12s %-20s %s", certificate.common_name, certificate.not_after, certificate.id)],
  ))
}
