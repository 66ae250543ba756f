variable "certificates" {
  description = "Client certificates by their common name, which is a role's name: paths of PEM files. Each of them tries to log in as each of the roles."
  type        = map(object({ sslcert = string, sslkey = string }))
  default     = {}
  nullable    = false
}

variable "pooler" {
  description = "Where PgBouncer listens. Without it the logins go to the server itself."
  type        = object({ host = string, port = number })
  default     = null
}

# Attacks the isolation, and undoes everything.
data "brownie_tenant_isolation" "proof" {
  depends_on = [brownie_role.app]
}

check "tenants_are_isolated" {
  assert {
    condition     = data.brownie_tenant_isolation.proof.isolated
    error_message = data.brownie_tenant_isolation.proof.summary
  }
}

# Logs in for real.
data "brownie_login" "all" {
  for_each = { for pair in setproduct(keys(var.certificates), keys(var.certificates)) :
    "${pair[0]} with the certificate of ${pair[1]}" => { role = pair[0], certificate = pair[1] }
  }

  role    = each.value.role
  sslcert = var.certificates[each.value.certificate].sslcert
  sslkey  = var.certificates[each.value.certificate].sslkey
  host    = try(var.pooler.host, null)
  port    = try(var.pooler.port, null)

  depends_on = [brownie_role.app, brownie_role.pooler]
}

output "isolation" {
  description = "What became of the attacks on the isolation of tenants."
  value       = data.brownie_tenant_isolation.proof.summary
}

output "logins" {
  description = "Who gets in with which certificate, and sees what, for people."
  value = join("\n", concat(
    [format("%-12s %-15s %-8s %-8s %s", "ROLE", "CERTIFICATE OF", "LOGIN", "TLS", "SEES ORGANIZATION")],
    [for key, login in data.brownie_login.all : format("%-12s %-15s %-8s %-8s %s",
      login.role, split(" ", key)[5], login.logged_in ? "yes" : "refused", coalesce(login.tls_version, "-"),
      login.organization_id == null ? "-" : local.organization_slugs[login.organization_id],
    )],
  ))
}
