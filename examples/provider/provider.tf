terraform {
  required_version = ">= 1.11"
  required_providers {
    brownie = { source = "longyi-brownie/brownie" }
  }
}

provider "brownie" {
  host        = "db-0.example,db-1.example" # the one that accepts writes is used
  database    = "brownie_metadata"
  username    = "brownie-terraform"
  sslrootcert = "ca.pem"
  sslcert     = "client.crt"
  sslkey      = "client.key"
}
