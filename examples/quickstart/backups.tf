variable "backups" {
  description = "Where backups go, a folder, and who can read them, public keys of age. Without it there are none."
  type        = object({ folder = string, recipients = list(string) })
  default     = null
}

# The runner logs in with it. It reads everything and changes nothing.
resource "brownie_role" "backup" {
  count = var.backups == null ? 0 : 1

  name   = "brownie-backup"
  access = "backup"

  depends_on = [brownie_migration.schema]
}

# Each night. Every backup is restored into a scratch server, to prove that it restores.
resource "brownie_backup_schedule" "nightly" {
  count = var.backups == null ? 0 : 1

  name                = "nightly"
  cron                = "15 2 * * *"
  destinations        = [{ type = "file", path = var.backups.folder }]
  retention           = { keep_daily = 7 }
  encryption          = { recipients = var.backups.recipients }
  max_restore_seconds = 600

  depends_on = [brownie_migration.schema]
}

output "backups" {
  description = "What is known of the last backup, for people."
  value = join("\n", flatten([for schedule in brownie_backup_schedule.nightly : [
    "LAST SUCCESS          ${coalesce(schedule.last_success_at, "none yet")}",
    "PROVED TO RESTORE     ${coalesce(schedule.last_verified_at, "not yet")}",
    "SECONDS TO RESTORE    ${coalesce(schedule.last_restore_seconds, "unknown")}",
    "RESTORABLE TO         ${coalesce(schedule.restorable_from, "nothing")} … ${coalesce(schedule.restorable_until, "nothing")}",
  ]]))
}
