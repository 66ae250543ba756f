# A workspace of HCP Terraform logs in with its run's identity, so that it stores no secret.
module "pki" {
  source = "../.." # github.com/longyi-brownie/terraform-provider-brownie//modules/vault-pki

  clients = { acme-app = {} }
  jwt = {
    workspaces = {
      prod = { organization = "acme", project = "platform", workspace = "db-prod", run_phase = "apply" }
    }
  }
}

output "jwt" {
  description = "For `vault.jwt` of the provider brownie in that workspace."
  value       = module.pki.jwt
}
