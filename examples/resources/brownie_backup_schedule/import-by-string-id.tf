import {
  to = brownie_backup_schedule.nightly
  id = "nightly"
}
