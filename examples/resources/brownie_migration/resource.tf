# The latest version that the provider knows. Everything else depends on it.
resource "brownie_migration" "schema" {}
