data "brownie_backups" "verified" {
  schedule = "nightly"
  verified = true
  limit    = 1
}

# Each plan, and each health check of HCP Terraform, says when nobody has proved for 26 hours that there is something to restore.
check "backups" {
  assert {
    condition = try(timecmp(data.brownie_backups.verified.backups[0].snapshot_at, timeadd(plantimestamp(), "-26h")) >= 0, false)
    error_message = format("The last verified backup is older than 26 hours: it is of %s.",
    try(data.brownie_backups.verified.backups[0].snapshot_at, "never"))
  }
}
