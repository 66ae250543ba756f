variable "name" {
  type        = string
  default     = "postgres"
  nullable    = false
  description = "Name of the cluster, which begins the names of its objects and of its Services. Default: `postgres`."

  validation {
    condition     = can(regex(local.name_pattern, var.name))
    error_message = "name has 1 to 40 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "namespace" {
  type = object({
    name     = optional(string, "postgres")
    existing = optional(bool, false)
    labels   = optional(map(string), {})
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    Where the cluster lives.

    - `name`: name of the namespace. Default: `postgres`.
    - `existing`: the namespace is there, and others use it, too; the module then neither labels it nor denies its other pods
      anything. Default: `false`, the module makes it, admits only pods that keep Pod Security's *restricted* level, and denies
      all traffic that is not allowed.
    - `labels`: further labels of a namespace that is made.
  EOT

  validation {
    condition     = can(regex(local.namespace_pattern, var.namespace.name))
    error_message = "namespace.name has 1 to 63 lower-case letters, digits and hyphens."
  }
}

variable "instances" {
  type        = number
  default     = 3
  nullable    = false
  description = "How many members: one leader, the others replicas. Default: 3, of which any one may fail."

  validation {
    condition     = var.instances >= 1 && var.instances <= 9 && floor(var.instances) == var.instances
    error_message = "instances must be a whole number from 1 to 9."
  }
  validation {
    condition = (
      var.synchronous.mode == "off" || var.instances == 1 && !var.synchronous.strict || var.synchronous.replicas < var.instances
    )
    error_message = "instances must be more than synchronous.replicas: writes would wait for members that are not there."
  }
}

variable "image" {
  type = object({
    repository   = optional(string, "ghcr.io/longyi-brownie/postgres")
    tag          = optional(string, "18")
    digest       = optional(string)
    pull_policy  = optional(string, "IfNotPresent")
    pull_secrets = optional(list(string), [])
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    Image of PostgreSQL and Patroni, which `images/postgres` builds.

    - `repository`, `tag`: its name. Defaults: `ghcr.io/longyi-brownie/postgres`, `18`.
    - `digest`: `sha256:…`, which wins over the tag. Give it in production: a tag may change between two members.
    - `pull_policy`: `IfNotPresent` (default), `Always` or `Never`.
    - `pull_secrets`: names of Secrets for the registry. Default: none.
  EOT

  validation {
    condition     = can(regex(local.repository_pattern, var.image.repository)) && can(regex(local.tag_pattern, var.image.tag))
    error_message = "image.repository and image.tag must be names of an image and a tag."
  }
  validation {
    condition     = var.image.digest == null || can(regex(local.digest_pattern, var.image.digest))
    error_message = "image.digest must be null, or \"sha256:\" and 64 hexadecimal digits."
  }
  validation {
    condition     = contains(["Always", "IfNotPresent", "Never"], var.image.pull_policy)
    error_message = "image.pull_policy must be \"Always\", \"IfNotPresent\" or \"Never\"."
  }
}

variable "upgrade" {
  type = object({
    from    = string
    state   = optional(string, "prepared")
    timeout = optional(number, 3600)
  })
  default     = null
  description = <<-EOT
    Upgrade of the major version, as the guide *Upgrade of the major version* describes it, or null (default) for none.

    - `from`: major version of the data, such as `"17"`. `image` has it and the newer one.
    - `state`: `prepared` (default), the old version runs, and a check has passed; `upgraded`, the new one runs, and each member keeps its
      old data, so that `prepared` leads back; `confirmed`, the old data are removed.
    - `timeout`: after how many seconds the old version starts again if the new data are not made by then. Default: 3600.
  EOT

  validation {
    condition     = var.upgrade == null || can(regex(local.major_pattern, var.upgrade.from))
    error_message = "upgrade.from must be a major version, such as \"17\"."
  }
  validation {
    condition     = var.upgrade == null || contains(["prepared", "upgraded", "confirmed"], try(var.upgrade.state, ""))
    error_message = "upgrade.state must be \"prepared\", \"upgraded\" or \"confirmed\"."
  }
  validation {
    condition     = var.upgrade == null || try(var.upgrade.timeout >= 60 && floor(var.upgrade.timeout) == var.upgrade.timeout, false)
    error_message = "upgrade.timeout must be a whole number of seconds from 60."
  }
}

variable "parameters" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = <<-EOT
    Settings of the server, such as `{ shared_buffers = "2GB" }`. They are taken over without a restart; those that need one wait for
    `patronictl restart`. The module keeps those for TLS, access, replication and audit.
  EOT

  validation {
    condition = alltrue([for name, value in var.parameters :
      can(regex(local.setting_pattern, name)) && !can(regex(local.own_setting_pattern, name)) && value != null
    ])
    error_message = <<-EOT
      parameters: each must be a lower-case name of a setting, other than those that the module keeps: of TLS, access, replication,
      audit and durability.
    EOT
  }
}

variable "audit" {
  type        = string
  default     = "ddl, role"
  nullable    = false
  description = "What pgaudit logs: its setting `pgaudit.log`. Default: `ddl, role`."

  validation {
    condition     = can(regex("^[a-z, -]+$", var.audit))
    error_message = "audit must be a list of pgaudit's classes, such as \"ddl, role\"."
  }
}

variable "bootstrap" {
  type = object({
    database      = optional(string, "brownie_metadata")
    administrator = optional(string, "brownie-terraform")
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    What the first start makes. A later change makes nothing.

    - `database`: a database. Default: `brownie_metadata`.
    - `administrator`: the role that owns it, may make roles, and is the provider's `username`. Default: `brownie-terraform`.
  EOT

  validation {
    condition = (
      can(regex(local.database_pattern, var.bootstrap.database)) &&
      !contains(["postgres", "template0", "template1"], var.bootstrap.database)
    )
    error_message = "bootstrap.database has 1 to 63 letters, digits, and _ . - and is none that PostgreSQL makes."
  }
  validation {
    condition = (
      can(regex(local.identity_pattern, var.bootstrap.administrator)) &&
      !can(regex(local.own_role_pattern, var.bootstrap.administrator))
    )
    error_message = "bootstrap.administrator has 1 to 63 letters, digits, and _ . @ - and is none of PostgreSQL's or the module's roles."
  }
}

variable "synchronous" {
  type = object({
    mode     = optional(string, "on")
    strict   = optional(bool, true)
    replicas = optional(number, 1)
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    Who has a write before it is acknowledged.

    - `mode`: `on` (default), `replicas` members that Patroni names; `quorum`, as many of all; `off`, none, when a failover may lose
      what was acknowledged.
    - `strict`: no write is acknowledged by one member alone, not even while there is no other. Default: `true`.
    - `replicas`: how many replicas. Default: 1.
  EOT

  validation {
    condition     = contains(["on", "quorum", "off"], var.synchronous.mode)
    error_message = "synchronous.mode must be \"on\", \"quorum\" or \"off\"."
  }
  validation {
    condition = (
      var.synchronous.replicas >= 1 && var.synchronous.replicas <= 8 && floor(var.synchronous.replicas) == var.synchronous.replicas
    )
    error_message = "synchronous.replicas must be a whole number from 1 to 8."
  }
}

variable "standby_of" {
  type = object({
    host = string
    port = optional(number, 5432)
  })
  default     = null
  description = <<-EOT
    Another cluster to follow, as its copy; its certificates must be of the same authorities. `network` must open the way on both sides.
    Null, the default, is a cluster of its own. Taken away, the cluster is promoted; given to one that leads, it is demoted, and what only
    it has is lost. Two clusters that both lead diverge: demote the one before you promote the other.

    - `host`: the Service `…-primary` of the other cluster.
    - `port`: its port. Default: 5432.
  EOT

  validation {
    condition = var.standby_of == null ? true : (
      can(regex("^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", var.standby_of.host)) &&
      var.standby_of.port >= 1 && var.standby_of.port <= 65535 && floor(var.standby_of.port) == var.standby_of.port
    )
    error_message = "standby_of: host is a name in lower case, port a whole number from 1 to 65535."
  }
}

variable "timing" {
  type = object({
    ttl           = optional(number, 20)
    loop_wait     = optional(number, 1)
    retry_timeout = optional(number, 3)
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    Patroni's times in seconds: how long a leader that is not heard of keeps its lock (`ttl`, 20), how often members look
    (`loop_wait`, 1), and how long they retry (`retry_timeout`, 3).
  EOT

  validation {
    condition = (
      var.timing.ttl >= 20 && var.timing.loop_wait >= 1 && var.timing.retry_timeout >= 3 &&
      alltrue([for seconds in values(var.timing) : floor(seconds) == seconds])
    )
    error_message = "timing: whole numbers, ttl from 20, loop_wait from 1, retry_timeout from 3."
  }
  validation {
    condition     = var.timing.ttl >= var.timing.loop_wait + 2 * var.timing.retry_timeout || var.timing.ttl < 20
    error_message = "timing.ttl must be at least loop_wait + 2 × retry_timeout."
  }
}

variable "storage" {
  type = object({
    size          = optional(string, "10Gi")
    storage_class = optional(string)
    ballast       = optional(string, "128Mi")
    growth        = optional(object({ maximum = string, threshold = optional(number, 80), step = optional(string, "20%") }))
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    The volume of each member, which stays when the cluster is removed.

    - `size`: its size. Default: `10Gi`. Raised, volumes grow, if their class allows expansion; they never shrink.
    - `storage_class`: its class, which cannot be changed later. Default: the cluster's default class.
    - `ballast`: a file that is given up when the volume is full, at most a sixteenth of it. With twice that left, the file included, a
      member refuses writes, until three times that is left. Default: `128Mi`; `0`: members write until they fall.
    - `growth`: with `threshold` percent in use (80), the volume grows by `step`, a part of itself (`20%`) or a size, up to `maximum`.
      Default: it does not.
  EOT

  validation {
    condition     = can(regex(local.quantity_pattern, var.storage.size))
    error_message = "storage.size must be a quantity such as \"100Gi\"."
  }
  validation {
    condition     = can(regex(local.quantity_pattern, var.storage.ballast))
    error_message = "storage.ballast must be a quantity such as \"128Mi\"."
  }
  validation {
    condition = var.storage.growth == null ? true : (
      can(regex(local.quantity_pattern, var.storage.growth.maximum)) && can(regex(local.step_pattern, var.storage.growth.step)) &&
      contains(range(1, 100), var.storage.growth.threshold)
    )
    error_message = <<-EOT
      storage.growth: maximum is a quantity such as "1Ti", threshold a whole percentage from 1 to 99, and step a size such as "50Gi" or a
      part such as "20%".
    EOT
  }
}

variable "wal" {
  type = object({
    size          = optional(string, "5Gi")
    storage_class = optional(string)
    ballast       = optional(string, "128Mi")
    growth        = optional(object({ maximum = string, threshold = optional(number, 80), step = optional(string, "20%") }))
  })
  default     = null
  description = "A volume of its own for the write-ahead log, as in `storage` (size: `5Gi`), or null (default) for none."

  validation {
    condition = var.wal == null ? true : (
      can(regex(local.quantity_pattern, var.wal.size)) && can(regex(local.quantity_pattern, var.wal.ballast))
    )
    error_message = "wal.size and wal.ballast must be quantities such as \"20Gi\"."
  }
  validation {
    condition = try(var.wal.growth, null) == null ? true : (
      can(regex(local.quantity_pattern, var.wal.growth.maximum)) && can(regex(local.step_pattern, var.wal.growth.step)) &&
      contains(range(1, 100), var.wal.growth.threshold)
    )
    error_message = <<-EOT
      wal.growth: maximum is a quantity such as "1Ti", threshold a whole percentage from 1 to 99, and step a size such as "50Gi" or a part
      such as "20%".
    EOT
  }
}

variable "resources" {
  type = object({
    requests      = optional(map(string), { cpu = "250m", memory = "512Mi" })
    limits        = optional(map(string), { memory = "1Gi" })
    shared_memory = optional(string, "128Mi")
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    What each member gets.

    - `requests`, `limits`: `cpu` and `memory`, as in Kubernetes. Defaults: `{ cpu = "250m", memory = "512Mi" }`,
      `{ memory = "1Gi" }`.
    - `shared_memory`: size of `/dev/shm`, for parallel queries; it counts as memory. Default: `128Mi`.
  EOT

  validation {
    condition = alltrue([
      for amounts in [var.resources.requests, var.resources.limits] :
      alltrue([for kind, amount in amounts : contains(["cpu", "memory"], kind) && can(regex(local.quantity_pattern, amount))])
    ]) && can(regex(local.quantity_pattern, var.resources.shared_memory))
    error_message = "resources: requests and limits have cpu and memory; each is a quantity such as \"500m\" or \"2Gi\"."
  }
}

variable "scheduling" {
  type = object({
    host                = optional(string, "preferred")
    zone                = optional(string, "preferred")
    node_selector       = optional(map(string), {})
    priority_class_name = optional(string)
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    Where members run.

    - `host`, `zone`: whether no two are on one host, and how they are spread over zones: `required`, `preferred` (default) or `none`.
    - `node_selector`: labels of nodes. Default: all nodes.
    - `priority_class_name`: their priority. Default: the cluster's.
  EOT

  validation {
    condition = alltrue([
      for spread in [var.scheduling.host, var.scheduling.zone] : contains(["required", "preferred", "none"], spread)
    ])
    error_message = "scheduling.host and scheduling.zone must be \"required\", \"preferred\" or \"none\"."
  }
}

variable "certificates" {
  type = object({
    issuer = optional(object({
      name  = string
      kind  = optional(string, "Issuer")
      group = optional(string, "cert-manager.io")
    }))
    duration     = optional(string, "720h")
    renew_before = optional(string, "240h")
    csi          = optional(bool, false)
    authorities  = optional(object({ config_map = string, key = optional(string, "ca.crt") }))
    server       = optional(object({ secret = optional(string), issuer = optional(string) }), {})
    replication  = optional(object({ secret = optional(string), issuer = optional(string) }), {})
    rewind       = optional(object({ secret = optional(string), issuer = optional(string) }), {})
    api          = optional(object({ secret = optional(string), issuer = optional(string) }), {})
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    Where the four certificates of the members come from. A kind without `secret` and issuer is taken from `certificate_pems`.

    - `server`: what clients see; its names are those of the Services and `*.<name>-members.<namespace>.svc`.
    - `replication`, `rewind`: with the common names `replicator` and `rewind`.
    - `api`: both sides of Patroni's REST API, for `*.<name>-members.<namespace>.svc`. Whoever its authority signs may move the leader,
      so that it is another one than the clients'.

    Each has `secret`, the name of a Secret with `tls.crt`, `tls.key` and `ca.crt`, or `issuer`, the name of one of cert-manager's
    issuers other than the common one:

    - `issuer`: cert-manager's issuer for all kinds without `secret`: `name`, `kind` (`Issuer`; `ClusterIssuer`) and `group`.
    - `duration`, `renew_before`: of certificates that cert-manager makes. Defaults: `720h`, `240h`.
    - `csi`: cert-manager's csi-driver brings what the issuers sign: each pod has keys of its own, which never leave its node, and no
      Secret holds one. Default: `false`, cert-manager keeps Secrets.
    - `authorities`: `config_map` and `key` (`ca.crt`) with those who sign clients and servers, instead of each certificate's own
      `ca.crt`: during a rotation the old and the new ones. `csi` with `revocation` needs it.
  EOT

  validation {
    condition = alltrue([
      for kind in [var.certificates.server, var.certificates.replication, var.certificates.rewind, var.certificates.api] :
      alltrue([for name in [kind.secret, kind.issuer] : name == null || can(regex(local.object_pattern, name))]) &&
      !(kind.secret != null && kind.issuer != null)
    ])
    error_message = "certificates: each kind has the name of a Secret or of an issuer, not both."
  }
  validation {
    condition     = var.certificates.issuer == null ? true : contains(["Issuer", "ClusterIssuer"], var.certificates.issuer.kind)
    error_message = "certificates.issuer.kind must be \"Issuer\" or \"ClusterIssuer\"."
  }
  validation {
    condition = alltrue([
      for duration in [var.certificates.duration, var.certificates.renew_before] : can(regex(local.duration_pattern, duration))
    ])
    error_message = "certificates.duration and certificates.renew_before must be durations such as \"720h\"."
  }
  validation {
    condition = !var.certificates.csi || var.certificates.issuer != null || anytrue([
      for kind in [var.certificates.server, var.certificates.replication, var.certificates.rewind, var.certificates.api] : kind.issuer != null
    ])
    error_message = "certificates.csi needs an issuer, of all kinds or of one."
  }
}

variable "certificate_pems" {
  type = map(object({
    certificate_pem = string
    private_key_pem = string
    ca_pem          = string
  }))
  default     = {}
  nullable    = false
  ephemeral   = true
  description = <<-EOT
    Certificates of kinds that `certificates` does not name: `server`, `replication`, `rewind`, `api` => PEM texts. They go to Secrets
    of the namespace, and neither to the plan nor to the state. Raise `certificate_pems_revision` to have them written again.
  EOT
}

variable "certificate_pems_revision" {
  type        = number
  default     = 1
  nullable    = false
  description = "Raise it when `certificate_pems` changed, which Terraform cannot see. Default: 1."
}

variable "access" {
  type = object({
    addresses            = optional(list(string), ["all"])
    min_tls_version      = optional(string, "TLSv1.3")
    pooler               = optional(string, "pgbouncer")
    log_connections      = optional(bool, true)
    reserved_connections = optional(number, 5)
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    Who may log in, for the module `postgres-auth`, which judges the values.

    - `addresses`: networks of clients, replicas included. Default: `all`; certificates and network policies decide.
    - `min_tls_version`: `TLSv1.3` (default) or `TLSv1.2`.
    - `pooler`: common name of the pooler. Default: `pgbouncer`.
    - `log_connections`: log every connection. Default: `true`.
    - `reserved_connections`: how many connections clients cannot take. Default: 5.
  EOT
}

variable "revocation" {
  type = object({
    image = optional(object({
      repository = optional(string, "ghcr.io/longyi-brownie/brownie-crl")
      tag        = optional(string, "0.1.0")
      digest     = optional(string)
    }), {})
    mounts             = optional(list(string), [])
    lists              = optional(list(string), [])
    issuers            = optional(list(string), [])
    server_authorities = optional(object({ config_map = string, key = optional(string, "ca.crt") }))
    interval           = optional(string, "30s")
    alarm_before       = optional(string, "24h")
  })
  default     = null
  description = <<-EOT
    `brownie-crl` beside each member, which has the server refuse revoked certificates, or null (default) for none. The attributes are
    its flags: `mounts` (URLs of Vault's PKI mounts), `lists` and `issuers` of other authorities, `server_authorities`
    (`config_map`, `key`) for the certificates of those servers, `interval` (`30s`), `alarm_before` (`24h`). `image` has
    `repository`, `tag` and `digest`. A member starts when it has a list. Let `network.egress` open the way to the lists.
  EOT

  validation {
    condition     = var.revocation == null ? true : length(var.revocation.mounts) + length(var.revocation.lists) > 0
    error_message = "revocation needs mounts or lists."
  }
  validation {
    condition = var.revocation == null ? true : alltrue([
      for url in concat(var.revocation.mounts, var.revocation.lists, var.revocation.issuers) : can(regex(local.url_pattern, url))
    ])
    error_message = "revocation.mounts, lists and issuers must be URLs, such as \"https://vault.example:8200/v1/pki\"."
  }
  validation {
    condition = var.revocation == null ? true : alltrue([
      for duration in [var.revocation.interval, var.revocation.alarm_before] : can(regex(local.duration_pattern, duration))
    ])
    error_message = "revocation.interval and revocation.alarm_before must be durations such as \"30s\"."
  }
}

variable "network" {
  type = object({
    clients = optional(list(object({
      cidr             = optional(string)
      pod_labels       = optional(map(string))
      namespace_labels = optional(map(string))
    })), [{ pod_labels = { "brownie.dev/postgres-client" = "true" } }])
    api_server = optional(object({
      cidrs = optional(list(string), ["0.0.0.0/0", "::/0"])
      ports = optional(list(number), [443, 6443])
    }), {})
    egress = optional(list(object({
      to = object({
        cidr             = optional(string)
        pod_labels       = optional(map(string))
        namespace_labels = optional(map(string))
      })
      ports = list(number)
    })), [])
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    What the network policies allow besides the members' own traffic and DNS. A peer has `cidr`, or `pod_labels`, `namespace_labels` or
    both.

    - `clients`: who may connect to PostgreSQL. Default: pods of the namespace with the label `brownie.dev/postgres-client: "true"`.
    - `api_server`: `cidrs` and `ports` of the API server, after address translation. Default: ports 443 and 6443 anywhere.
    - `egress`: what else members may reach: `to`, a peer, and `ports`.
  EOT

  validation {
    condition = alltrue([
      for peer in concat(var.network.clients, var.network.egress[*].to) :
      peer.cidr == null ? try(length(peer.pod_labels) > 0, false) || try(length(peer.namespace_labels) > 0, false) : (
        can(cidrsubnet(peer.cidr, 0, 0)) && peer.pod_labels == null && peer.namespace_labels == null
      )
    ])
    error_message = "network.clients and network.egress: each peer has a network as cidr, or labels."
  }
  validation {
    condition     = length(var.network.api_server.cidrs) > 0 && alltrue([for cidr in var.network.api_server.cidrs : can(cidrsubnet(cidr, 0, 0))])
    error_message = "network.api_server.cidrs must name at least one network, such as \"10.0.0.1/32\"."
  }
  validation {
    condition = alltrue([
      for ports in concat([var.network.api_server.ports], var.network.egress[*].ports) :
      length(ports) > 0 && alltrue([for port in ports : port >= 1 && port <= 65535 && floor(port) == port])
    ])
    error_message = "network: ports are whole numbers from 1 to 65535, at least one."
  }
}

variable "timeout" {
  type        = number
  default     = 600
  nullable    = false
  description = "How many seconds an apply waits for all members to be ready, and for an upgrade of the major version. Default: 600."

  validation {
    condition     = var.timeout >= 60 && floor(var.timeout) == var.timeout
    error_message = "timeout must be a whole number of seconds from 60."
  }
}
