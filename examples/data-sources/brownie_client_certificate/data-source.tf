# The certificate that an application reads now.
data "brownie_client_certificate" "acme_app" {
  store = { mount = "secret", path = "brownie/acme-app" }
}

output "acme_app_expires_at" {
  value = data.brownie_client_certificate.acme_app.not_after
}
