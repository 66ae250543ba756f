variable "key" {
  type        = string
  nullable    = false
  description = <<-EOT
    What the tenant is called for good, such as its key in a YAML file: its roles are named after it, so that the slug can change.
    Lower-case letters, digits and hyphens, at most 40 characters.
  EOT

  validation {
    condition     = can(regex(local.key_pattern, var.key))
    error_message = "key must be of lower-case letters, digits and hyphens between them, at most 40 characters: \"${var.key}\" is not."
  }
  validation {
    condition     = !contains(["true", "false"], var.key)
    error_message = "key is \"${var.key}\": YAML reads keys such as no, y and on so; put the key in quotes, or choose another."
  }
}

variable "tenant" {
  type = object({
    name               = string
    slug               = optional(string)
    description        = optional(string)
    settings           = optional(any)
    stage              = optional(string, "active")
    max_teams          = optional(number, 10)
    max_users_per_team = optional(number, 50)
    teams = optional(map(object({
      name        = string
      description = optional(string)
      is_active   = optional(bool, true)
    })), {})
    users = optional(map(object({
      email         = string
      team          = string
      username      = optional(string)
      full_name     = optional(string)
      role          = optional(string, "member")
      is_active     = optional(bool, true)
      is_verified   = optional(bool, false)
      oidc_provider = optional(string)
      oidc_subject  = optional(string)
    })), {})
    roles = optional(map(object({
      access            = optional(string, "writer")
      pooled            = optional(bool, true)
      connection_limit  = optional(number)
      statement_timeout = optional(string)
      valid_until       = optional(string)
      locked            = optional(bool, false)
      certificate       = optional(bool, true)
    })), { app = {} })
  })
  nullable    = false
  description = <<-EOT
    The tenant, as its entry in a YAML file would have it.

    - `name`: name of the organization, as people see it.
    - `slug`: its short name. Default: `key`.
    - `description`: what it is.
    - `settings`: settings of the platform for it, an object.
    - `stage`: `active` (default); `suspended`: nobody of it may use the platform, its roles are locked and their sessions ended, and
      everything stays; `leaving`: the same, and the next apply may remove the tenant with everything that is its own.
    - `max_teams`, `max_users_per_team`: limits. Default: 10 and 50.
    - `teams`: by their slugs, with `name`, `description` and `is_active` (default: true).
    - `users`: by a name that is theirs in the organization. `team` is a key of `teams`, `username` their login name (default:
      `<key>-<name>`), `role` one of `admin`, `member` (default) and `viewer`; `full_name`, `is_active` (default: true), `is_verified`
      (default: false), `oidc_provider` and `oidc_subject` as `brownie_user` has them.
    - `roles`: login roles of its applications. One is called `<key>-<name>`, such as `acme-app`. `access` is `reader`, `writer`
      (default) or `admin`; `pooled` (default: true), `connection_limit` (default: 20), `statement_timeout`, `valid_until` and `locked` as `brownie_role` has
      them; `certificate` is whether a certificate is issued for it where `certificates` says how (default: true). Default: one, `app`.
  EOT

  validation {
    condition     = contains(["active", "suspended", "leaving"], var.tenant.stage)
    error_message = "${var.key}: tenant.stage must be \"active\", \"suspended\" or \"leaving\"."
  }
  validation {
    condition     = alltrue([for entry in concat(values(var.tenant.teams), values(var.tenant.users), values(var.tenant.roles)) : entry != null])
    error_message = "${var.key}: empty is ${join(", ", flatten([for kind in ["teams", "users", "roles"] : [for name, entry in var.tenant[kind] : "tenant.${kind}.${name}" if entry == null]]))}; a role with nothing to say is {}."
  }
  validation {
    condition     = !anytrue([for name in concat(keys(var.tenant.teams), keys(var.tenant.users), keys(var.tenant.roles)) : contains(["true", "false"], name)])
    error_message = "${var.key}: YAML reads keys such as no, y and on as false and true; put the key in quotes, or choose another."
  }
  validation {
    condition     = alltrue([for user in var.tenant.users : can(var.tenant.teams[user.team]) if user != null])
    error_message = "${var.key}: tenant.users: ${join(", ", [for name, user in var.tenant.users : "${name} is in ${try("team \"${user.team}\"", "no team")}" if user == null ? false : !can(var.tenant.teams[user.team])])}; tenant.teams has ${join(", ", keys(var.tenant.teams))}."
  }
  validation {
    condition     = alltrue([for role in var.tenant.roles : contains(["reader", "writer", "admin"], role.access) if role != null])
    error_message = "${var.key}: tenant.roles: access must be \"reader\", \"writer\" or \"admin\". The other levels are for service roles, which belong to no tenant."
  }
  validation {
    condition     = alltrue([for name, role in var.tenant.roles : can(regex(local.role_name_pattern, name))])
    error_message = "${var.key}: tenant.roles: a name must be of lower-case letters, digits and hyphens between them, at most 20 characters."
  }
}

variable "certificates" {
  type = object({
    mount        = optional(string, "pki")
    role         = optional(string)
    ttl          = optional(string, "720h")
    renew_before = optional(string)
    store        = optional(object({ mount = string, path = optional(string, "clients") }))
    requests     = optional(map(string), {})
  })
  default     = null
  description = <<-EOT
    How the roles get client certificates from Vault. Default: they get none here.

    - `mount`: Vault's PKI secrets engine. Default: `pki`.
    - `role`: the role of Vault's that issues the names of all. Default: each login role has one of the same name, as `modules/vault-pki`
      makes them; then nobody who may use one gets a certificate of another.
    - `ttl`: how long a certificate holds. Default: `720h`, 30 days.
    - `renew_before`: how long before that it is renewed. Default: a third of `ttl`.
    - `store`: the KV secrets engine, version 2, in which a key that the provider makes is kept, as `<path>/<role>`. `path` is `clients`
      by default.
    - `requests`: certificate signing requests in PEM for keys that others keep, by the names in `tenant.roles`. They win over `store`.
  EOT

  validation {
    condition = var.certificates == null || alltrue([for name, role in var.tenant.roles :
      !role.certificate || try(var.certificates.store, null) != null || can(var.certificates.requests[name]) if role != null
    ])
    error_message = "${var.key}: certificates: without a store, each role whose certificate is true needs a request in certificates.requests."
  }
}
