terraform {
  required_version = ">= 1.11"
  required_providers {
    brownie = {
      source  = "longyi-brownie/brownie"
      version = ">= 0.0.1"
    }
  }
}
