variable "root" {
  type = object({
    mount             = optional(string, "pki-root")
    additional_mounts = optional(list(string), [])
    existing_issuer   = optional(string)
    common_name       = optional(string, "Brownie root")
    ttl               = optional(string, "87600h")
    key_type          = optional(string, "ec")
    key_bits          = optional(number, 384)
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    The authority that signs the issuing one, and that servers and clients trust. It is not used when
    `issuing.existing_issuer` is set.

    - `mount`: path of its PKI secrets engine. Default: `pki-root`.
    - `additional_mounts`: paths of further mounts with a root each, which signs nothing: the next one, before it is trusted
      everywhere, or the previous one, as long as something that it signed is in use. Default: none.
    - `existing_issuer`: ID or name of an issuer that this mount has; the module then makes no root there. Default: none.
    - `common_name`: subject of roots that are made. One that exists is never changed. Default: `Brownie root`.
    - `ttl`: how long such a root holds. Default: `87600h`, ten years.
    - `key_type`, `key_bits`: kind of its key: `ec` (default) with 256, 384 (default) or 521, or `rsa` with 2048, 3072 or 4096.
  EOT

  validation {
    condition     = can(regex(local.path_pattern, var.root.mount))
    error_message = "root.mount must be a path without a slash at its ends, without empty parts, and without spaces, quotes, * and +."
  }
  validation {
    condition     = var.root.existing_issuer != ""
    error_message = "root.existing_issuer must be null, or the ID or name of an issuer."
  }
  validation {
    condition = alltrue([for path in var.root.additional_mounts :
      try(can(regex(local.path_pattern, path)) && path != var.root.mount, false)
    ])
    error_message = <<-EOT
      root.additional_mounts: each must be a path other than root.mount, without a slash at its ends, spaces, quotes, * and +.
    EOT
  }
  validation {
    condition     = can(regex(local.duration_pattern, var.root.ttl))
    error_message = "root.ttl must be a whole number of hours, minutes or seconds with its unit, such as \"87600h\"."
  }
  validation {
    condition     = try(contains(local.key_sizes[var.root.key_type], var.root.key_bits), false)
    error_message = "root.key_type must be \"ec\" with key_bits 256, 384 or 521, or \"rsa\" with 2048, 3072 or 4096."
  }
}

variable "issuing" {
  type = object({
    mount           = optional(string, "pki")
    existing_issuer = optional(string)
    common_name     = optional(string, "Brownie issuing")
    ttl             = optional(string, "43800h")
    key_type        = optional(string, "ec")
    key_bits        = optional(number, 256)
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    The authority that signs servers and clients.

    - `mount`: path of its PKI secrets engine. Default: `pki`.
    - `existing_issuer`: ID or name of an issuer that this mount has; the module then makes roles and policies only. Default: none.
    - `common_name`: subject of the authority. Another one makes a new authority with a new key beside the old one, which the
      roles use from then on: that is how to rotate it. Default: `Brownie issuing`.
    - `ttl`: how long the authority holds; no certificate outlives it. Another one has the same key signed anew, also beside the
      old one. Default: `43800h`, five years.
    - `key_type`, `key_bits`: as those of the root. Defaults: `ec` and 256.
  EOT

  validation {
    condition     = can(regex(local.path_pattern, var.issuing.mount))
    error_message = "issuing.mount must be a path without a slash at its ends, without empty parts, and without spaces, quotes, * and +."
  }
  validation {
    condition     = var.issuing.existing_issuer != ""
    error_message = "issuing.existing_issuer must be null, or the ID or name of an issuer."
  }
  validation {
    condition = (
      var.issuing.existing_issuer != null || !contains(concat([var.root.mount], var.root.additional_mounts), var.issuing.mount)
    )
    error_message = "issuing.mount and root.mount must differ: who may use the one must not get at the other."
  }
  validation {
    condition = var.issuing.existing_issuer != null || try(
      timecmp(timeadd(local.epoch, var.issuing.ttl), timeadd(local.epoch, var.root.ttl)) <= 0, true
    )
    error_message = "issuing.ttl must not be longer than root.ttl."
  }
  validation {
    condition     = can(regex(local.duration_pattern, var.issuing.ttl))
    error_message = "issuing.ttl must be a whole number of hours, minutes or seconds with its unit, such as \"43800h\"."
  }
  validation {
    condition     = try(contains(local.key_sizes[var.issuing.key_type], var.issuing.key_bits), false)
    error_message = "issuing.key_type must be \"ec\" with key_bits 256, 384 or 521, or \"rsa\" with 2048, 3072 or 4096."
  }
}

variable "crl" {
  type = object({
    expiry        = optional(string, "72h")
    rebuild_after = optional(string, "1m")
    safety_buffer = optional(string, "72h")
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    The revocation lists of the mounts that the module makes.

    - `expiry`: how long a list holds. From then on PostgreSQL refuses all certificates of the authority. Default: `72h`.
    - `rebuild_after`: how old a list gets until it is made anew, with what was revoked meanwhile; Vault looks once a minute. More spares
      Vault the work when there are many thousands of revoked certificates, and lets revocations wait longer. Default: `1m`.
    - `safety_buffer`: how long certificates are remembered after they expired, when they leave the lists and the mount. Default: `72h`.
  EOT

  validation {
    condition = alltrue([for duration in [var.crl.expiry, var.crl.rebuild_after, var.crl.safety_buffer] :
      can(regex(local.duration_pattern, duration))
    ])
    error_message = "crl: each must be a whole number of hours, minutes or seconds with its unit, such as \"72h\"."
  }
  validation {
    condition     = try(timecmp(timeadd(local.epoch, "1h"), timeadd(local.epoch, var.crl.expiry)) <= 0, true)
    error_message = "crl.expiry must be at least \"1h\": a list that expires before it is fetched shuts everybody out."
  }
  validation {
    condition = try(timecmp(
      timeadd(timeadd(local.epoch, var.crl.rebuild_after), var.crl.rebuild_after), timeadd(local.epoch, var.crl.expiry)
    ) <= 0, true)
    error_message = "crl.rebuild_after must be at most half of crl.expiry."
  }
}

variable "address" {
  type        = string
  default     = null
  description = <<-EOT
    URL of Vault as clients and servers reach it, such as `https://vault.example:8200`. Certificates of the issuing authority
    then name where its certificate, list and OCSP responder are. Default: none, they name nothing.
  EOT

  validation {
    condition     = var.address == null ? true : can(regex(local.address_pattern, var.address))
    error_message = "address must be a URL without a path, such as \"https://vault.example:8200\"."
  }
}

variable "clients" {
  type = map(object({
    ttl      = optional(string, "168h")
    max_ttl  = optional(string, "720h")
    key_type = optional(string, "ec")
    key_bits = optional(number)
    issuance = optional(string, "terraform")
  }))
  default     = {}
  nullable    = false
  description = <<-EOT
    Who logs in to PostgreSQL: the key is the common name, which is the PostgreSQL role, and the name of the role of Vault that
    can issue this name and no other. The pooler's own certificate for the server is one of them, by default `pgbouncer`.

    - `ttl`, `max_ttl`: how long a certificate holds, and at the most. Defaults: `168h` and `720h`.
    - `key_type`, `key_bits`: kind of keys that are signed: `ec` (default), `rsa`, `ed25519` or `any`, and their size. Defaults: 256
      for `ec`, at least 2048 for `rsa`. With `any` a client cannot have a key made for it, only have one signed.
    - `issuance`: who has its certificates issued. `terraform` (default): Terraform's policy allows to have them signed, and the
      client's to read its own from the store. `self`: the client's policy allows to issue its own, as Vault Agent and
      cert-manager do, and Terraform's does not.
  EOT

  validation {
    condition     = alltrue([for name in keys(var.clients) : can(regex(local.identity_pattern, name)) && !strcontains(name, "..")])
    error_message = <<-EOT
      clients: a name has 1 to 63 lower-case letters, digits, and _ . - (not at its ends, but for _). Vault issues a name in any
      case, so that names in upper case would not be exact, and PgBouncer takes an asterisk for a wildcard.
    EOT
  }
  validation {
    condition     = alltrue([for name in keys(var.clients) : !startswith(name, "server-")])
    error_message = "clients: a name must not begin with \"server-\", as the roles for servers do."
  }
  validation {
    condition     = alltrue([for client in values(var.clients) : try(contains(["terraform", "self"], client.issuance), true)])
    error_message = "clients: issuance must be \"terraform\" or \"self\"."
  }
  validation {
    condition     = alltrue([for client in values(var.clients) : try(contains(["ec", "rsa", "ed25519", "any"], client.key_type), false)])
    error_message = "clients: each must be an object, and key_type \"ec\", \"rsa\", \"ed25519\" or \"any\"."
  }
  validation {
    condition = alltrue([for client in values(var.clients) :
      try(client.key_bits, null) == null ? true : try(contains(local.key_sizes[client.key_type], client.key_bits), false)
    ])
    error_message = <<-EOT
      clients: key_bits must be 256, 384 or 521 with key_type "ec", 2048, 3072 or 4096 with "rsa", and left out with others.
    EOT
  }
  validation {
    condition = alltrue([for client in values(var.clients) : try(
      timecmp(timeadd(local.epoch, client.ttl), timeadd(local.epoch, client.max_ttl)) <= 0, true
    )])
    error_message = "clients: ttl must not be longer than max_ttl."
  }
  validation {
    condition = var.issuing.existing_issuer != null || alltrue([for client in values(var.clients) : try(
      timecmp(timeadd(local.epoch, client.max_ttl), timeadd(local.epoch, var.issuing.ttl)) < 0, true
    )])
    error_message = "clients: max_ttl must be shorter than issuing.ttl."
  }
  validation {
    condition = alltrue([for duration in flatten([for client in values(var.clients) : try([client.ttl, client.max_ttl], [])]) :
      can(regex(local.duration_pattern, duration))
    ])
    error_message = "clients: ttl and max_ttl must each be a whole number of hours, minutes or seconds with its unit, such as \"168h\"."
  }
}

variable "servers" {
  type = map(object({
    domains          = list(string)
    allow_subdomains = optional(bool, false)
    allow_ip_sans    = optional(bool, false)
    ttl              = optional(string, "720h")
    max_ttl          = optional(string, "2160h")
    key_type         = optional(string, "ec")
    key_bits         = optional(number)
  }))
  default     = {}
  nullable    = false
  description = <<-EOT
    Certificates that clients check a server by, for PostgreSQL and PgBouncer: each key `x` makes a role `server-x`.

    - `domains`: host names that clients connect to.
    - `allow_subdomains`: also names below those, never a wildcard. Default: `false`.
    - `allow_ip_sans`: also any IP address. Default: `false`.
    - `ttl`, `max_ttl`, `key_type`, `key_bits`: as for clients. Defaults: `720h`, `2160h` and `ec`.
  EOT

  validation {
    condition     = alltrue([for name in keys(var.servers) : can(regex(local.server_pattern, name))])
    error_message = "servers: a key has 1 to 52 lower-case letters, digits, and - (not at its ends)."
  }
  validation {
    condition = alltrue([for domains in [for server in values(var.servers) : server.domains if server != null] : try(
      length(domains) > 0 && alltrue([for domain in domains : can(regex(local.domain_pattern, domain))]), false
    )])
    error_message = "servers: domains must name at least one host, each in lower case and without a wildcard."
  }
  validation {
    condition     = alltrue([for server in values(var.servers) : try(contains(["ec", "rsa", "ed25519", "any"], server.key_type), false)])
    error_message = "servers: each must be an object, and key_type \"ec\", \"rsa\", \"ed25519\" or \"any\"."
  }
  validation {
    condition = alltrue([for server in values(var.servers) :
      try(server.key_bits, null) == null ? true : try(contains(local.key_sizes[server.key_type], server.key_bits), false)
    ])
    error_message = <<-EOT
      servers: key_bits must be 256, 384 or 521 with key_type "ec", 2048, 3072 or 4096 with "rsa", and left out with others.
    EOT
  }
  validation {
    condition = alltrue([for server in values(var.servers) : try(
      timecmp(timeadd(local.epoch, server.ttl), timeadd(local.epoch, server.max_ttl)) <= 0, true
    )])
    error_message = "servers: ttl must not be longer than max_ttl."
  }
  validation {
    condition = var.issuing.existing_issuer != null || alltrue([for server in values(var.servers) : try(
      timecmp(timeadd(local.epoch, server.max_ttl), timeadd(local.epoch, var.issuing.ttl)) < 0, true
    )])
    error_message = "servers: max_ttl must be shorter than issuing.ttl."
  }
  validation {
    condition = alltrue([for duration in flatten([for server in values(var.servers) : try([server.ttl, server.max_ttl], [])]) :
      can(regex(local.duration_pattern, duration))
    ])
    error_message = "servers: ttl and max_ttl must each be a whole number of hours, minutes or seconds with its unit, such as \"720h\"."
  }
}

variable "store" {
  type = object({
    mount    = optional(string, "brownie")
    prefix   = optional(string, "clients")
    existing = optional(bool, false)
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    The KV secrets engine, version 2, where `brownie_client_certificate` keeps keys.

    - `mount`: its path. Default: `brownie`.
    - `prefix`: path in it below which each client has its secret. Default: `clients`.
    - `existing`: the mount exists already, and the module does not make it. Default: `false`.
  EOT

  validation {
    condition     = alltrue([for path in [var.store.mount, var.store.prefix] : can(regex(local.path_pattern, path))])
    error_message = "store.mount and store.prefix must be paths without a slash at their ends, without empty parts, spaces, * and +."
  }
}

variable "policy_prefix" {
  type        = string
  default     = "brownie"
  nullable    = false
  description = "Beginning of the policies' names: `<prefix>-terraform`, and `<prefix>-client-<name>` for each client. Default: `brownie`."

  validation {
    condition     = can(regex(local.policy_prefix_pattern, var.policy_prefix))
    error_message = "policy_prefix has lower-case letters, digits, and _ - only."
  }
}

variable "jwt" {
  type = object({
    path                   = optional(string, "jwt")
    oidc_discovery_url     = optional(string, "https://app.terraform.io")
    oidc_discovery_ca_pem  = optional(string)
    jwt_validation_pubkeys = optional(list(string))
    bound_issuer           = optional(string)
    audience               = optional(string, "vault.workload.identity")
    token_ttl              = optional(string, "20m")
    token_max_ttl          = optional(string, "2h")
    workspaces = map(object({
      organization = string
      project      = string
      workspace    = string
      run_phase    = optional(string, "*")
    }))
  })
  default     = null
  description = <<-EOT
    Logins of HCP Terraform's runs with their workload identity, so that no workspace stores a secret. Null (default) makes none.

    - `path`: path of the JWT auth method, which the module makes. Default: `jwt`.
    - `oidc_discovery_url`: where the issuer's keys are found. Default: HCP Terraform; for Terraform Enterprise its own URL.
    - `oidc_discovery_ca_pem`: authorities of that server's certificate, in PEM. Default: those of Vault's machine.
    - `jwt_validation_pubkeys`: the issuer's public keys in PEM, in place of the discovery, where Vault cannot reach the issuer.
    - `bound_issuer`: the issuer that tokens must name. Default: `oidc_discovery_url`.
    - `audience`: the audience that tokens must name; the workspace's variable `TFC_WORKLOAD_IDENTITY_AUDIENCE` is to be the
      same. Default: `vault.workload.identity`.
    - `token_ttl`, `token_max_ttl`: how long a login holds until it is renewed, and at the most. Defaults: `20m` and `2h`.
    - `workspaces`: name of Vault's role => who may log in with it: exactly this `organization`, `project` and `workspace`, and
      `run_phase` `plan`, `apply` or `*` (default).
  EOT

  validation {
    condition     = var.jwt == null ? true : try(length(var.jwt.workspaces) > 0, false)
    error_message = "jwt.workspaces is empty, so that nobody could log in: name a workspace, or leave jwt out."
  }
  validation {
    condition     = alltrue([for role in try(keys(var.jwt.workspaces), []) : can(regex(local.login_role_pattern, role))])
    error_message = "jwt.workspaces: the name of a role has letters, digits, and _ . - (not at its ends, but for _)."
  }
  validation {
    condition = alltrue(flatten([for w in try(values(var.jwt.workspaces), []) : try([
      for value in [w.organization, w.project, w.workspace] : value != null && value != "" && !can(regex(local.inexact_pattern, value))
    ], [false])]))
    error_message = "jwt.workspaces: organization, project and workspace must be exact names, without * and : which would let others in."
  }
  validation {
    condition     = alltrue([for w in try(values(var.jwt.workspaces), []) : try(contains(["*", "plan", "apply"], w.run_phase), true)])
    error_message = "jwt.workspaces: run_phase must be \"plan\", \"apply\" or \"*\"."
  }
  validation {
    condition = alltrue([for duration in try([var.jwt.token_ttl, var.jwt.token_max_ttl], []) :
      can(regex(local.duration_pattern, duration))
    ])
    error_message = <<-EOT
      jwt.token_ttl and jwt.token_max_ttl must each be a whole number of hours, minutes or seconds with its unit, such as "20m".
    EOT
  }
  validation {
    condition     = try(timecmp(timeadd(local.epoch, var.jwt.token_ttl), timeadd(local.epoch, var.jwt.token_max_ttl)) <= 0, true)
    error_message = "jwt.token_ttl must not be longer than jwt.token_max_ttl."
  }
  validation {
    condition     = try(length(var.jwt.jwt_validation_pubkeys) > 0, true)
    error_message = "jwt.jwt_validation_pubkeys must be null, or name a key."
  }
}
