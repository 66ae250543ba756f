resource "brownie_migration" "schema" {}

# Each night, to two places. Every backup is restored into a scratch server right away, which must not take longer than an hour.
resource "brownie_backup_schedule" "nightly" {
  name     = "nightly"
  cron     = "15 2 * * *"
  timezone = "Europe/Berlin"

  destinations = [
    { type = "s3", bucket = "acme-brownie-backups", path = "production", region = "eu-central-1" },
    { type = "gcs", bucket = "acme-brownie-backups-elsewhere", path = "production" },
  ]
  retention = {
    keep_daily   = 14
    keep_weekly  = 8
    keep_monthly = 12
    keep_yearly  = 3
  }
  # Public keys: that of the runner, which restores to verify, and one whose identity is kept offline.
  encryption = {
    recipients = [
      "age136vh6v52chyqneypd0hxlgsrc3e3lgnw23ajppj56edhyq0xyp5snmuf99",
      "age1gp8egdhvyl764ggffl95v5yu8unmx7pwu20ss45lapjxxdlyd9esk9d5cp",
    ]
  }
  max_restore_seconds = 3600
  timeout             = "2h"

  depends_on = [brownie_migration.schema]
}

# Each hour, onto a disk nearby. What was written is read again once a day.
resource "brownie_backup_schedule" "hourly" {
  name = "hourly"
  cron = "45 * * * *"

  destinations = [{ type = "file", path = "/var/backups/brownie" }]
  retention    = { keep_last = 48 }
  encryption   = { recipients = brownie_backup_schedule.nightly.encryption.recipients }
  verify       = "checksum"
  verify_cron  = "0 6 * * *"
}
