output "mount" {
  description = "Path of the PKI secrets engine that issues, for `mount` of `brownie_client_certificate`."
  value       = var.issuing.mount

  depends_on = [vault_pki_secret_backend_config_issuers.issuing]
}

output "issuer" {
  description = "ID of the issuing authority, or the given name of an existing one."
  value       = local.issuer
}

output "root_certificate_pem" {
  description = "Certificates of the module's roots, for PostgreSQL's `ssl_ca_file` and clients' `sslrootcert`; null without one."
  value = length(local.roots) == 0 ? null : join("\n", [
    for root in vault_pki_secret_backend_root_cert.root : trimspace(root.certificate)
  ])
}

output "ca_chain_pem" {
  description = "Certificates of the issuing authority and of those above it; null with `issuing.existing_issuer`."
  value       = local.makes_issuing ? vault_pki_secret_backend_intermediate_set_signed.issuing[0].certificate : null
}

output "client_roles" {
  description = "Name of each client => role of Vault, for `role` of `brownie_client_certificate`."
  value       = { for name, role in vault_pki_secret_backend_role.client : name => role.name }
}

output "server_roles" {
  description = "Key of each server => role of Vault."
  value       = { for name, role in vault_pki_secret_backend_role.server : name => role.name }
}

output "stores" {
  description = "Name of each client => `{ mount, path }`, for `store` of `brownie_client_certificate`."
  value       = { for name in keys(var.clients) : name => { mount = var.store.mount, path = "${var.store.prefix}/${name}" } }

  depends_on = [vault_mount.store]
}

output "policies" {
  description = "Names of the policies: `terraform`, and `clients` and `servers` by their names."
  value = {
    terraform = vault_policy.terraform.name
    clients   = { for name, policy in vault_policy.client : name => policy.name }
    servers   = { for name, policy in vault_policy.server : name => policy.name }
  }
}

output "jwt" {
  description = "For `vault.jwt` of the provider brownie: name of each role => `{ mount, role }`."
  value       = { for name, role in vault_jwt_auth_backend_role.workspace : name => { mount = role.backend, role = role.role_name } }
}

output "mount_paths" {
  description = "Paths, after Vault's address, of the mounts of all authorities, for `brownie-crl -mount`."
  value = [
    for mount in distinct(concat([var.issuing.mount], local.makes_issuing ? [var.root.mount] : [], tolist(local.roots))) : "/v1/${mount}"
  ]
}
