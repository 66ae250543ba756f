variable "min_tls_version" {
  type        = string
  default     = "TLSv1.3"
  nullable    = false
  description = "The oldest TLS version that the server and the pooler accept: \"TLSv1.3\" (default) or \"TLSv1.2\"."

  validation {
    condition     = contains(["TLSv1.2", "TLSv1.3"], var.min_tls_version)
    error_message = "min_tls_version must be \"TLSv1.3\" or \"TLSv1.2\"; older versions are broken."
  }
}

variable "server" {
  type = object({
    addresses            = optional(list(string), ["all"])
    replication_roles    = optional(list(string), [])
    local_users          = optional(map(list(string)), {})
    ssl_cert_file        = optional(string, "/etc/postgresql/tls/server.crt")
    ssl_key_file         = optional(string, "/etc/postgresql/tls/server.key")
    ssl_ca_file          = optional(string, "/etc/postgresql/tls/ca.crt")
    ssl_crl_file         = optional(string)
    log_connections      = optional(bool, true)
    reserved_connections = optional(number, 5)
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    The PostgreSQL server, version 16 or newer. All attributes are optional:

    - `addresses`: where clients, poolers and standbys may connect from: networks such as `10.0.0.0/8`, `samenet`,
      `samehost`, or `all` (default). Everybody needs a certificate, wherever from.
    - `replication_roles`: roles that may stream the whole cluster to a standby or a backup, with a certificate whose
      common name is the role. Default: none.
    - `local_users`: users of the server's operating system, each with the roles that it may log in as through the unix
      socket without a certificate, such as `{ postgres = ["postgres"] }`. Those of `replication_roles` may stream there, too.
      Default: none, the unix socket refuses everybody.
    - `ssl_cert_file`, `ssl_key_file`, `ssl_ca_file`: paths of the server's certificate and key, and of the certificates of
      the authorities that sign clients. Defaults: `server.crt`, `server.key`, `ca.crt` in `/etc/postgresql/tls`.
    - `ssl_crl_file`: path of the authorities' revocation lists, in PEM. An expired list refuses everybody. Default: none.
    - `log_connections`: log every connection. Default: `true`.
    - `reserved_connections`: how many of the server's `max_connections` only members of `pg_use_reserved_connections` get,
      such as the provider's role, whatever clients take. Default: 5. Superusers have `superuser_reserved_connections` besides.
      The server starts with less than `max_connections` in both only.
  EOT

  validation {
    condition = (
      var.server.reserved_connections >= 0 && var.server.reserved_connections <= 1000 &&
      floor(var.server.reserved_connections) == var.server.reserved_connections
    )
    error_message = <<-EOT
      server.reserved_connections must be a whole number from 0 to 1000, less than the server's max_connections and
      superuser_reserved_connections leave.
    EOT
  }
  validation {
    condition     = length(var.server.addresses) > 0
    error_message = "server.addresses is empty, so that nobody could log in: name networks such as \"10.0.0.0/8\", or \"all\"."
  }
  validation {
    # A network that is written otherwise, such as 010.0.0.0/8 or 10.0.0.1/8, may be read as another one by the server.
    condition = alltrue([for address in var.server.addresses :
      try(contains(["all", "samehost", "samenet"], address), false) || try(cidrsubnet(address, 0, 0) == lower(address), false)
    ])
    error_message = <<-EOT
      server.addresses: each must be "all", "samenet", "samehost", or a network in its shortest form with zeros after the
      prefix, such as "10.0.0.0/8" or "2001:db8::/32".
    EOT
  }
  validation {
    condition = alltrue([for role in concat(var.server.replication_roles, flatten(values(var.server.local_users))) :
      can(regex(local.quoted_name_pattern, role)) && try(length(base64encode(role)) <= 84, false)
    ])
    error_message = <<-EOT
      server.replication_roles and server.local_users: a role's name has 1 to 63 bytes, no control characters, and does not
      begin with a slash.
    EOT
  }
  validation {
    condition     = alltrue([for user in keys(var.server.local_users) : can(regex(local.quoted_name_pattern, user))])
    error_message = <<-EOT
      server.local_users: the name of an operating system's user is not empty, has no control characters, and does not begin
      with a slash.
    EOT
  }
  validation {
    condition = alltrue([
      for path in [var.server.ssl_cert_file, var.server.ssl_key_file, var.server.ssl_ca_file, var.server.ssl_crl_file] :
      path == null || can(regex(local.quoted_path_pattern, path))
    ])
    error_message = "server.ssl_cert_file, ssl_key_file, ssl_ca_file and ssl_crl_file must be absolute paths without control characters."
  }
}

variable "pooler" {
  type = object({
    common_name = optional(string, "pgbouncer")
    databases = optional(map(object({
      host   = string
      port   = optional(number, 5432)
      dbname = optional(string)
    })), {})
    fallback = optional(object({
      host = string
      port = optional(number, 5432)
    }))
    listen_addr             = optional(string, "*")
    listen_port             = optional(number, 6432)
    admin_users             = optional(list(string), [])
    stats_users             = optional(list(string), [])
    auth_file               = optional(string, "/etc/pgbouncer/userlist.txt")
    auth_dbname             = optional(string)
    client_tls_cert_file    = optional(string, "/etc/pgbouncer/tls/server.crt")
    client_tls_key_file     = optional(string, "/etc/pgbouncer/tls/server.key")
    client_tls_ca_file      = optional(string, "/etc/pgbouncer/tls/ca.crt")
    server_tls_cert_file    = optional(string, "/etc/pgbouncer/tls/client.crt")
    server_tls_key_file     = optional(string, "/etc/pgbouncer/tls/client.key")
    server_tls_ca_file      = optional(string, "/etc/pgbouncer/tls/ca.crt")
    pool_mode               = optional(string, "transaction")
    max_client_conn         = optional(number, 1000)
    default_pool_size       = optional(number, 20)
    min_pool_size           = optional(number, 0)
    reserve_pool_size       = optional(number, 0)
    max_db_connections      = optional(number, 0)
    max_prepared_statements = optional(number)
    log_connections         = optional(bool, true)
  })
  default     = null
  description = <<-EOT
    The PgBouncer in front of the server, or null (default) for none, when the server lets no pooler in. `databases` or
    `fallback` is needed; all else is optional. Attributes that PgBouncer has too are named as there:

    - `common_name`: common name of the pooler's own certificate for the server, and its role there, which needs
      `brownie_pooler`. Default: `pgbouncer`.
    - `databases`: name for the clients => `{ host, port (5432), dbname (the same name) }` of the server.
    - `fallback`: `{ host, port (5432) }` of the server for every other database. Default: none, they are refused.
    - `listen_addr`, `listen_port`: IP addresses to listen on, separated by commas, or `*` (default), and the TCP port (6432).
    - `admin_users`, `stats_users`: common names that may use the console (database `pgbouncer`), or only look at figures
      there. Default: none. PgBouncer then needs the output `pgbouncer_userlist` in the file `auth_file`
      (`/etc/pgbouncer/userlist.txt`).
    - `auth_dbname`: database where the pooler asks who may log in; PgBouncer 1.19 or newer. Default: the client's database.
    - `client_tls_cert_file`, `client_tls_key_file`, `client_tls_ca_file`: paths of the certificate and key that clients see,
      and of the certificates of the authorities that sign clients. Defaults: `server.crt`, `server.key`, `ca.crt` in
      `/etc/pgbouncer/tls`.
    - `server_tls_cert_file`, `server_tls_key_file`, `server_tls_ca_file`: paths of the pooler's own certificate for the
      server and its key, and of the authorities that sign servers. Defaults: `client.crt`, `client.key`, `ca.crt` there.
    - `pool_mode`: `transaction` (default), `session` or `statement`.
    - `max_client_conn`: most connections of clients (1000).
    - `default_pool_size`, `min_pool_size`, `reserve_pool_size`: connections to the server per role and database (20, 0, 0).
      Those of all poolers, databases and direct clients of a role together must fit into its `connection_limit`.
    - `max_db_connections`: most connections to the server per database, for all roles together (0: no limit).
    - `max_prepared_statements`: prepared statements that are kept per connection; PgBouncer 1.21 or newer. Default: PgBouncer's.
    - `log_connections`: log every login. Default: `true`.
  EOT

  validation {
    condition     = var.pooler == null ? true : length(var.pooler.databases) > 0 || var.pooler.fallback != null
    error_message = <<-EOT
      pooler: name the server in databases, such as { brownie_metadata = { host = "db.example" } }, or in fallback; otherwise
      the pooler serves nothing.
    EOT
  }
  validation {
    condition = var.pooler == null ? true : alltrue([
      for user in concat([var.pooler.common_name], var.pooler.admin_users, var.pooler.stats_users) :
      can(regex(local.identity_pattern, user))
    ])
    error_message = <<-EOT
      pooler.common_name, admin_users and stats_users: a name has 1 to 63 letters, digits, and _ . @ - (not at the start, but
      for _), since pgbouncer.ini has no quotes for others.
    EOT
  }
  validation {
    condition     = var.pooler == null ? true : !can(regex(local.reserved_identity_pattern, lower(var.pooler.common_name)))
    error_message = <<-EOT
      pooler.common_name must be a role of the pooler's own: no keyword of PostgreSQL such as "public", not postgres, no name
      that begins with pg_, no group role such as brownie_pooled.
    EOT
  }
  validation {
    condition = var.pooler == null ? true : (
      length(distinct(concat(var.pooler.admin_users, var.pooler.stats_users))) ==
      length(concat(var.pooler.admin_users, var.pooler.stats_users))
    )
    error_message = "pooler.admin_users and stats_users: name nobody twice; who is an admin may look at figures, too."
  }
  validation {
    condition = var.pooler == null ? true : alltrue([
      for name in concat(keys(var.pooler.databases), values(var.pooler.databases)[*].dbname, [var.pooler.auth_dbname]) :
      name == null || can(regex(local.database_pattern, name)) && name != "pgbouncer"
    ])
    error_message = <<-EOT
      pooler.databases and auth_dbname: a database's name has 1 to 63 letters, digits, and _ . - since pgbouncer.ini has no
      quotes for others, and is not "pgbouncer", which is the console; write "*" as fallback.
    EOT
  }
  validation {
    condition = var.pooler == null ? true : alltrue([
      for host in concat(values(var.pooler.databases)[*].host, var.pooler.fallback[*].host) : can(regex(local.host_pattern, host))
    ])
    error_message = <<-EOT
      pooler.databases and fallback: host must be one host name or IP address, since connections to a unix socket or to a list
      of hosts are not verified.
    EOT
  }
  validation {
    condition = var.pooler == null ? true : alltrue([
      for port in concat(values(var.pooler.databases)[*].port, var.pooler.fallback[*].port, [var.pooler.listen_port]) :
      try(port >= 1 && port <= 65535 && floor(port) == port, false)
    ])
    error_message = "pooler.databases, fallback and listen_port: a port is a whole number from 1 to 65535."
  }
  validation {
    condition     = var.pooler == null ? true : can(regex(local.listen_addr_pattern, var.pooler.listen_addr))
    error_message = "pooler.listen_addr must be \"*\" or IP addresses separated by commas without spaces."
  }
  validation {
    condition = var.pooler == null ? true : alltrue([
      for path in [
        var.pooler.auth_file, var.pooler.client_tls_cert_file, var.pooler.client_tls_key_file, var.pooler.client_tls_ca_file,
        var.pooler.server_tls_cert_file, var.pooler.server_tls_key_file, var.pooler.server_tls_ca_file,
      ] : can(regex(local.pooler_path_pattern, path))
    ])
    error_message = <<-EOT
      pooler.auth_file and the paths of its certificates and keys must be absolute and consist of letters, digits, and
      _ . @ + : / - since pgbouncer.ini has no quotes for others.
    EOT
  }
  validation {
    condition     = var.pooler == null ? true : contains(["transaction", "session", "statement"], var.pooler.pool_mode)
    error_message = "pooler.pool_mode must be \"transaction\", \"session\" or \"statement\"."
  }
  validation {
    condition = var.pooler == null ? true : alltrue([
      for size in [
        var.pooler.max_client_conn - 1, var.pooler.default_pool_size - 1, var.pooler.min_pool_size, var.pooler.reserve_pool_size,
        var.pooler.max_db_connections, coalesce(var.pooler.max_prepared_statements, 0),
      ] : size >= 0 && size < 1000000 && floor(size) == size
    ])
    error_message = <<-EOT
      pooler.max_client_conn and default_pool_size must be whole numbers from 1, min_pool_size, reserve_pool_size,
      max_db_connections and max_prepared_statements whole numbers from 0, up to a million.
    EOT
  }
}
