# The company's authority signs; the module adds roles and policies for the database, and nothing that it could break.
module "pki" {
  source = "../.." # github.com/longyi-brownie/terraform-provider-brownie//modules/vault-pki

  issuing = { mount = "company/pki", existing_issuer = "clients" }
  store   = { mount = "company/kv", prefix = "brownie/clients", existing = true }
  clients = { acme-app = {}, globex-app = {} }
}

output "policies" {
  value = module.pki.policies
}
