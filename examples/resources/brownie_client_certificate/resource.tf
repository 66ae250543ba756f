resource "brownie_role" "acme_app" {
  name            = "acme-app"
  access          = "writer"
  organization_id = "0b1d6a3e-6c0c-4a51-9d0e-1f3ad3c1a0b7"
}

# The provider makes the key; it goes to Vault's KV store and nowhere else.
resource "brownie_client_certificate" "acme_app" {
  role         = "acme-app"
  common_name  = brownie_role.acme_app.name
  ttl          = "720h"
  renew_before = "240h"
  store        = { mount = "brownie", path = "clients/acme-app" }

  # Clients have a day to read the new certificate before the old one is revoked.
  revoke_after = "24h"
}

# Somebody else keeps the key, and gives a signing request.
resource "brownie_client_certificate" "reports" {
  role        = "acme-reports"
  common_name = "acme-reports"
  csr_pem     = var.reports_csr
}

variable "reports_csr" {
  description = "Signing request of the reports application, in PEM."
  type        = string
}
