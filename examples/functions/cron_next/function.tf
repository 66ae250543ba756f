terraform {
  required_providers {
    brownie = {
      source = "longyi-brownie/brownie"
    }
  }
}

# 01:30 UTC while daylight saving is on, 02:30 UTC otherwise.
output "next_backup" {
  value = provider::brownie::cron_next("30 3 * * *", "Europe/Berlin", plantimestamp())
}
