output "organization_id" {
  description = "UUID of the organization."
  value       = brownie_organization.this.id
}

output "slug" {
  description = "Its slug."
  value       = brownie_organization.this.slug
}

output "team_ids" {
  description = "UUIDs of its teams, by their slugs."
  value       = { for slug, team in brownie_team.this : slug => team.id }
}

output "user_ids" {
  description = "UUIDs of its users, by their names in the organization."
  value       = { for name, user in brownie_user.this : name => user.id }
}

output "roles" {
  description = "Names of its login roles, by their names in `tenant.roles`."
  value       = { for name, role in brownie_role.this : name => role.name }
}

output "certificates" {
  description = "Of each role with a certificate: its serial number, when it expires (RFC 3339, UTC), the certificate and its issuers in PEM, and where in Vault its key is, if the provider made that."
  value = { for name, certificate in brownie_client_certificate.this : name => {
    serial          = certificate.id
    not_after       = certificate.not_after
    certificate_pem = certificate.certificate_pem
    ca_chain_pem    = certificate.ca_chain_pem
    store           = certificate.store
  } }
}
