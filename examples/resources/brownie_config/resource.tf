resource "brownie_organization" "acme" {
  name = "Acme"
  slug = "acme"
}

resource "brownie_config" "routing" {
  organization_id  = brownie_organization.acme.id # of the whole organization, since there is no team_id
  name             = "routing"
  config_type      = "alert"
  status           = "active"
  priority         = 10
  name_pattern     = "^(db|api)-"
  severity_pattern = "critical|high"
  config_json      = jsonencode({ channel = "#incidents" })
}
