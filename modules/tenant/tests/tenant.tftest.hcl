# What is made of an entry, without a database.
mock_provider "brownie" {
  mock_resource "brownie_organization" {
    defaults = { id = "11111111-1111-4111-8111-111111111111" }
  }
  mock_resource "brownie_team" {
    defaults = { id = "22222222-2222-4222-8222-222222222222" }
  }
}

variables {
  key = "acme"
  tenant = {
    name     = "Acme"
    settings = { theme = "dark" }
    teams    = { core = { name = "Core" } }
    users    = { ada = { email = "ada@acme.example", team = "core" } }
    roles    = { app = {}, batch = { certificate = false, locked = true } }
  }
}

run "an_active_tenant" {
  assert {
    condition = (
      brownie_organization.this.slug == "acme" && brownie_organization.this.is_active &&
      brownie_organization.this.deletion_protection && !brownie_organization.this.force_destroy &&
      brownie_organization.this.settings == "{\"theme\":\"dark\"}"
    )
    error_message = "the organization is not what the entry says"
  }
  assert {
    condition     = brownie_user.this["ada"].username == "acme-ada" && brownie_user.this["ada"].is_active
    error_message = "the user is not what the entry says"
  }
  assert {
    condition     = !brownie_role.this["app"].locked && brownie_role.this["batch"].locked && output.roles == { app = "acme-app", batch = "acme-batch" }
    error_message = "the roles are not what the entry says"
  }
  assert {
    condition     = length(output.certificates) == 0
    error_message = "certificates are issued though nothing says how"
  }
}

run "certificates" {
  variables {
    certificates = { store = { mount = "kv" }, ttl = "24h" }
  }
  assert {
    condition = (
      keys(brownie_client_certificate.this) == ["app"] && brownie_client_certificate.this["app"].common_name == "acme-app" &&
      brownie_client_certificate.this["app"].role == "acme-app" &&
      brownie_client_certificate.this["app"].store == { mount = "kv", path = "clients/acme-app" }
    )
    error_message = "the certificate is not the role's"
  }
}

run "one_role_of_vault_for_all" {
  variables {
    certificates = { store = { mount = "kv" }, role = "applications" }
  }
  assert {
    condition     = brownie_client_certificate.this["app"].role == "applications" && brownie_client_certificate.this["app"].common_name == "acme-app"
    error_message = "the certificate is not issued by the role of Vault's that was named"
  }
}

run "requests_of_others" {
  variables {
    certificates = { requests = { app = <<-EOT
      -----BEGIN CERTIFICATE REQUEST-----
      MIHMMHUCAQAwEzERMA8GA1UEAwwIYWNtZS1hcHAwWTATBgcqhkjOPQIBBggqhkjO
      PQMBBwNCAARA1C5krXsvxku6pN703j0C0wNXLlvHh5FSY8e1+jWIGgKrAZBaySqS
      nw53x94X4ltZDGCAYmJSdrpuN94tGcVZoAAwCgYIKoZIzj0EAwIDRwAwRAIgTSww
      QTWBuSexrb2mvNriESJXfKTgfOisp6c788z3Yh4CIHKB7NgXxfAUmgKHTZb4+hHp
      sqhEbZp1pMwn16x4S8cK
      -----END CERTIFICATE REQUEST-----
      EOT
    } }
  }
  assert {
    condition     = brownie_client_certificate.this["app"].csr_pem == var.certificates.requests["app"] && brownie_client_certificate.this["app"].store == null
    error_message = "the request is not what is signed"
  }
}

run "a_suspended_tenant" {
  variables {
    tenant = { name = "Acme", slug = "acme-corp", stage = "suspended", teams = { core = { name = "Core" } }, users = { ada = { email = "ada@acme.example", team = "core" } } }
  }
  assert {
    condition = (
      !brownie_organization.this.is_active && !brownie_user.this["ada"].is_active && brownie_role.this["app"].locked &&
      brownie_organization.this.deletion_protection && output.slug == "acme-corp" && brownie_role.this["app"].name == "acme-app"
    )
    error_message = "somebody of a suspended tenant gets in, or it could be deleted"
  }
}

run "a_tenant_that_leaves" {
  variables {
    tenant = { name = "Acme", stage = "leaving" }
  }
  assert {
    condition     = !brownie_organization.this.deletion_protection && brownie_organization.this.force_destroy && brownie_role.this["app"].locked
    error_message = "a tenant that leaves cannot be removed"
  }
}
