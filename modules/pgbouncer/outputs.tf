output "host" {
  description = "Host name for clients inside the Kubernetes cluster."
  value       = "${var.name}.${local.namespace}.svc"

  depends_on = [helm_release.this]
}

output "port" {
  description = "TCP port of the pooler."
  value       = 6432
}

output "databases" {
  description = "Names of databases at the pooler: `write` leads to the leader, `read` to a replica, or null without one for reading."
  value       = { write = var.database, read = var.read_only.enabled ? "${var.database}_ro" : null }
}
