# The platform's schema, at the latest version that the provider knows. Everything else depends on it. Tables of more than
# a gigabyte are never locked against writes while they are scanned or rewritten.
resource "brownie_migration" "schema" {
  max_locked_bytes = "1GB"
}

# An application's own tables in the same database, with a history of their own.
resource "brownie_migration" "reports" {
  name       = "reports"
  source_dir = "${path.module}/migrations"
  depends_on = [brownie_migration.schema]
}
