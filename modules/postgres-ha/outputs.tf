output "hosts" {
  description = "Host names for clients inside the Kubernetes cluster: `primary` writes, `replicas` reads, `any` is one of all."
  value       = { for service in ["primary", "replicas", "any"] : service => "${var.name}-${service}.${var.namespace.name}.svc" }

  depends_on = [helm_release.this]
}

output "port" {
  description = "TCP port of PostgreSQL."
  value       = 5432
}

output "members" {
  description = "Host names of the members, for `host` of the provider, joined by commas."
  value       = [for i in range(var.instances) : "${var.name}-${i}.${var.name}-members.${var.namespace.name}.svc"]

  depends_on = [helm_release.this]
}

output "database" {
  description = "Name of the database that the first start made."
  value       = var.bootstrap.database
}

output "administrator" {
  description = "Role that owns the database, for `username` of the provider: the common name of its certificate."
  value       = var.bootstrap.administrator
}

output "namespace" {
  description = "Name of the namespace."
  value       = var.namespace.name

  depends_on = [kubernetes_namespace_v1.this]
}
