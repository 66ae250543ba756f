# A certificate for this run only, in memory: neither the state nor a plan holds it, and it is revoked at the end.
ephemeral "brownie_client_certificate" "server" {
  role        = "brownie-fastapi-server"
  common_name = "brownie-fastapi-server"
  ttl         = "15m"
}

# It configures another provider, or this one under another name. With its chain, it leads to a root that the server trusts.
provider "brownie" {
  alias    = "server"
  host     = "db.example"
  database = "brownie_metadata"
  username = "brownie-fastapi-server"
  sslcert  = "${ephemeral.brownie_client_certificate.server.certificate_pem}${ephemeral.brownie_client_certificate.server.ca_chain_pem}"
  sslkey   = ephemeral.brownie_client_certificate.server.private_key_pem
}
