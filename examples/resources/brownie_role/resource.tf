resource "brownie_migration" "schema" {}

resource "brownie_organization" "acme" {
  name = "Acme"
  slug = "acme"

  depends_on = [brownie_migration.schema]
}

# A tenant's application: it sees and writes the rows of its organization, whatever SQL it sends.
resource "brownie_role" "acme_app" {
  name              = "acme-app"
  access            = "writer"
  organization_id   = brownie_organization.acme.id
  connection_limit  = 40
  statement_timeout = "30s"
}

# The platform's own server, which acts for all tenants.
resource "brownie_role" "server" {
  name                = "brownie-fastapi-server"
  access              = "admin"
  deletion_protection = true

  depends_on = [brownie_migration.schema]
}

# The role with which PgBouncer looks up who may log in.
resource "brownie_role" "pooler" {
  name   = "pgbouncer"
  access = "pooler"

  depends_on = [brownie_migration.schema]
}
