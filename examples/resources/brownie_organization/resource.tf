resource "brownie_migration" "schema" {}

resource "brownie_organization" "acme" {
  name               = "Acme"
  slug               = "acme"
  description        = "Makes everything"
  settings           = jsonencode({ timezone = "UTC" })
  max_teams          = 20
  max_users_per_team = 100

  depends_on = [brownie_migration.schema]
}
