provider "kubernetes" {} # KUBE_CONFIG_PATH
provider "helm" {}

# From whatever makes certificates: another ephemeral resource, or -var.
variable "certificates" {
  type      = map(object({ certificate_pem = string, private_key_pem = string, ca_pem = string }))
  ephemeral = true
  sensitive = true
}

module "postgres" {
  source = "../.." # github.com/longyi-brownie/terraform-provider-brownie//modules/postgres-ha

  storage          = { size = "100Gi" }
  parameters       = { shared_buffers = "1GB", max_connections = "200" }
  resources        = { requests = { cpu = "1", memory = "4Gi" }, limits = { memory = "4Gi" } }
  certificate_pems = var.certificates
}

output "primary" {
  value = module.postgres.hosts.primary
}
