output "pg_hba_conf" {
  description = "Text of pg_hba.conf: who may log in, from where. The server reads it again upon a reload."
  value       = templatefile("${path.module}/templates/pg_hba.conf.tftpl", local.variables)
}

output "pg_ident_conf" {
  description = <<-EOT
    Text of pg_ident.conf: which roles a certificate's common name, or a user of the operating system, may log in as. The server
    reads it again upon a reload.
  EOT
  value       = templatefile("${path.module}/templates/pg_ident.conf.tftpl", local.variables)
}

output "postgresql_conf" {
  description = <<-EOT
    Text of a file to include from postgresql.conf: the settings for TLS and the reserved connections. The server reads it again
    upon a reload; reserved_connections takes a restart.
  EOT
  value       = templatefile("${path.module}/templates/postgresql.conf.tftpl", local.variables)
}

output "pgbouncer_ini" {
  description = "Text of pgbouncer.ini, or null without a pooler."
  value       = var.pooler == null ? null : templatefile("${path.module}/templates/pgbouncer.ini.tftpl", local.variables)
}

output "pgbouncer_userlist" {
  description = <<-EOT
    Text of the file that `pooler.auth_file` names, or null without a pooler. It lists the users of the console and holds no
    password. PgBouncer needs it when there are such users.
  EOT
  value       = var.pooler == null ? null : templatefile("${path.module}/templates/userlist.txt.tftpl", local.variables)
}
