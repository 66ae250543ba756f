resource "brownie_organization" "acme" {
  name = "Acme"
  slug = "acme"
}

resource "brownie_role" "acme_app" {
  name            = "acme-app"
  access          = "writer"
  organization_id = brownie_organization.acme.id
}

# Logs in through PgBouncer after the role was made, and fails the apply if that gives another tenant than it should.
data "brownie_login" "acme_app" {
  role    = brownie_role.acme_app.name
  host    = "pgbouncer.example"
  port    = 6432
  sslcert = "acme-app.crt"
  sslkey  = "acme-app.key"

  lifecycle {
    postcondition {
      condition     = self.logged_in && self.organization_id == brownie_organization.acme.id
      error_message = "acme-app cannot log in as its tenant: ${coalesce(self.error, "it sees another one")}"
    }
  }

  depends_on = [brownie_role.acme_app]
}
