provider "kubernetes" {} # KUBE_CONFIG_PATH
provider "helm" {}

# Two doors, more poolers under load, and certificates from cert-manager.
module "pgbouncer" {
  source = "../.." # github.com/longyi-brownie/terraform-provider-brownie//modules/pgbouncer

  cluster     = { name = "postgres", namespace = "databases" }
  autoscaling = { maximum = 6 }
  outside     = { cidrs = ["192.0.2.0/24"], dns_names = ["pooler.example"] }
  certificates = {
    issuer = { name = "vault-clients" }
    server = { issuer = "vault-servers" }
  }
  network = { clients = [{ namespace_labels = { "kubernetes.io/metadata.name" = "platform" } }] }
}
