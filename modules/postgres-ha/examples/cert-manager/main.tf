provider "kubernetes" {} # KUBE_CONFIG_PATH
provider "helm" {}

# The namespace has three issuers: of servers, of the REST API, and one for the other kinds.
module "postgres" {
  source = "../.." # github.com/longyi-brownie/terraform-provider-brownie//modules/postgres-ha

  namespace = { name = "databases", existing = true }
  certificates = {
    issuer = { name = "vault-clients" }
    server = { issuer = "vault-servers" }
    api    = { issuer = "patroni" }
  }
  revocation = { mounts = ["https://vault.example:8200/v1/pki", "https://vault.example:8200/v1/pki-root"] }
  network = {
    clients = [{ pod_labels = { "app" = "pgbouncer" } }]
    egress  = [{ to = { cidr = "192.0.2.10/32" }, ports = [8200] }]
  }
}

output "hosts" {
  value = module.postgres.hosts
}
