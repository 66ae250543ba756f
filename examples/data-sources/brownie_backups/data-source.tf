# Each plan, and each health check of HCP Terraform, says when nobody has proved for 26 hours that there is something to restore.
check "backups" {
  data "brownie_backups" "verified" {
    schedule = "nightly"
    verified = true
    limit    = 1
  }
  assert {
    condition     = try(timecmp(data.brownie_backups.verified.backups[0].snapshot_at, timeadd(plantimestamp(), "-26h")) >= 0, false)
    error_message = "The last verified backup is older than 26 hours, or there is none."
  }
}

# Why runs of the last two weeks failed.
data "brownie_backups" "failed" {
  status        = "failed"
  started_after = timeadd(plantimestamp(), "-336h")
}

output "failures" {
  value = { for backup in data.brownie_backups.failed.backups : backup.started_at => "${backup.schedule}: ${backup.error}" }
}
