# By its id:
terraform import brownie_backup_schedule.nightly 0190d1a4-7c5e-7a11-9c3f-2f4b8d6e0a51

# By its name:
terraform import brownie_backup_schedule.nightly nightly
