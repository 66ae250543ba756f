# What the database has, and what a newer provider would change in it.
data "brownie_migration_status" "schema" {}

check "schema_is_up_to_date" {
  assert {
    condition     = data.brownie_migration_status.schema.up_to_date
    error_message = "The schema is at version ${data.brownie_migration_status.schema.current_version} of ${data.brownie_migration_status.schema.latest_version}. ${join(" ", data.brownie_migration_status.schema.problems)}"
  }
}
