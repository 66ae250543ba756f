# What compose.yaml runs gets its schema, the pooler's role, and one tenant whose role logs in through the pooler.
variable "port" {
  description = "BROWNIE_PG_PORT of compose.yaml."
  type        = number
  default     = 5432
}

variable "pooler_port" {
  description = "BROWNIE_POOLER_PORT of compose.yaml."
  type        = number
  default     = 6432
}

provider "brownie" {
  host        = "localhost"
  port        = var.port
  database    = "brownie_metadata"
  username    = "brownie-terraform"
  sslrootcert = "${path.module}/tls/ca.crt"
  sslcert     = "${path.module}/tls/clients/brownie-terraform.crt"
  sslkey      = "${path.module}/tls/clients/brownie-terraform.key"
}

resource "brownie_migration" "schema" {}

resource "brownie_role" "pooler" {
  name   = "pgbouncer"
  access = "pooler"

  depends_on = [brownie_migration.schema]
}

resource "brownie_organization" "acme" {
  name                = "Acme"
  slug                = "acme"
  deletion_protection = false # so that it can be destroyed

  depends_on = [brownie_migration.schema]
}

resource "brownie_role" "acme_app" {
  name            = "acme-app"
  access          = "writer"
  organization_id = brownie_organization.acme.id
}

data "brownie_login" "acme_app" {
  role    = brownie_role.acme_app.name
  port    = var.pooler_port
  sslcert = "${path.module}/tls/clients/acme-app.crt"
  sslkey  = "${path.module}/tls/clients/acme-app.key"

  lifecycle {
    postcondition {
      condition     = self.logged_in && self.organization_id == brownie_organization.acme.id
      error_message = "acme-app cannot log in through the pooler: ${coalesce(self.error, "it sees another tenant")}"
    }
  }

  depends_on = [brownie_role.acme_app, brownie_role.pooler]
}
