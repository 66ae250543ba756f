data "brownie_role" "acme_app" {
  name = "acme-app"
}

output "acme_app_sees" {
  value = data.brownie_role.acme_app.organization_id
}
