terraform {
  required_providers {
    brownie = { source = "longyi-brownie/brownie" }
  }
}
