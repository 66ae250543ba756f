provider "kubernetes" {} # KUBE_CONFIG_PATH
provider "helm" {}

# From whatever makes certificates: another ephemeral resource, or -var.
variable "certificates" {
  type      = map(object({ certificate_pem = string, private_key_pem = string, ca_pem = string }))
  ephemeral = true
  sensitive = true
}

# In front of the cluster that the module postgres-ha makes by default.
module "pgbouncer" {
  source = "../.." # github.com/longyi-brownie/terraform-provider-brownie//modules/pgbouncer

  settings         = { default_pool_size = "40" }
  certificate_pems = var.certificates
}

output "host" {
  value = "${module.pgbouncer.host}:${module.pgbouncer.port}"
}
