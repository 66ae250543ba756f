# The certificate that an application reads now.
data "brownie_client_certificate" "acme_app" {
  store = { mount = "brownie", path = "clients/acme-app" }
}

output "acme_app_expires_at" {
  value = data.brownie_client_certificate.acme_app.not_after
}
