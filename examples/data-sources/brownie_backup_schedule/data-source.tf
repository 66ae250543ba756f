data "brownie_backup_schedule" "nightly" {
  name = "nightly"
}

output "restorable" {
  value = {
    from  = data.brownie_backup_schedule.nightly.restorable_from
    until = data.brownie_backup_schedule.nightly.restorable_until
  }
}
