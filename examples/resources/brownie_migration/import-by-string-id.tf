import {
  to = brownie_migration.schema
  id = "brownie"
}
