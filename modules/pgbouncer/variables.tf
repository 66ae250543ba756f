variable "name" {
  type        = string
  default     = "pgbouncer"
  nullable    = false
  description = "Name of the release, which begins the names of its objects; its Service has it. Default: `pgbouncer`."

  validation {
    condition     = can(regex(local.name_pattern, var.name))
    error_message = "name has 1 to 40 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "cluster" {
  type = object({
    name      = optional(string, "postgres")
    namespace = optional(string, "postgres")
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    The cluster that the module `postgres-ha` made, to whose leader the pooler leads.

    - `name`, `namespace`: as there. Default: `postgres` for both.
  EOT

  validation {
    condition     = can(regex(local.name_pattern, var.cluster.name)) && can(regex(local.namespace_pattern, var.cluster.namespace))
    error_message = "cluster.name and cluster.namespace are those of the module postgres-ha."
  }
}

variable "database" {
  type        = string
  default     = "brownie_metadata"
  nullable    = false
  description = <<-EOT
    Name of the database, which has the provider's migrations: they make what the pooler asks who may log in. Others are refused.
    Default: `brownie_metadata`.
  EOT

  validation {
    condition     = can(regex(local.database_pattern, var.database)) && var.database != "pgbouncer"
    error_message = "database has 1 to 60 letters, digits, and _ . - and is not \"pgbouncer\", which is PgBouncer's console."
  }
}

variable "read_only" {
  type = object({
    enabled       = optional(bool, true)
    max_lag_bytes = optional(number, 67108864)
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    A second name of the database, `<database>_ro`, which leads to a replica.

    - `enabled`: whether there is one. Default: `true`.
    - `max_lag_bytes`: how many bytes of the write-ahead log the replica may lack, as Patroni has seen it within its last loop. Where
      no replica is that near, the leader answers. Default: 67108864 (64 MiB).
  EOT

  validation {
    condition     = var.read_only.max_lag_bytes >= 0 && floor(var.read_only.max_lag_bytes) == var.read_only.max_lag_bytes
    error_message = "read_only.max_lag_bytes must be a whole number of bytes."
  }
}

variable "namespace" {
  type        = string
  default     = null
  description = "Namespace of the pooler, which must be there. Default: the cluster's."

  validation {
    condition     = var.namespace == null ? true : can(regex(local.namespace_pattern, var.namespace))
    error_message = "namespace has 1 to 63 lower-case letters, digits and hyphens."
  }
}

variable "instances" {
  type        = number
  default     = 2
  nullable    = false
  description = "How many poolers; with `autoscaling`, how many at least. Default: 2, of which one may fail."

  validation {
    condition     = var.instances >= 1 && var.instances <= 100 && floor(var.instances) == var.instances
    error_message = "instances must be a whole number from 1 to 100."
  }
}

variable "autoscaling" {
  type = object({
    maximum     = number
    cpu_percent = optional(number, 70)
  })
  default     = null
  description = <<-EOT
    More poolers under load, or null (default) for always `instances`. The cluster must have the metrics API.

    - `maximum`: how many at most.
    - `cpu_percent`: how much of the processor time that they request they use before one is added. Default: 70.
  EOT

  validation {
    condition = var.autoscaling == null ? true : (
      var.autoscaling.maximum >= var.instances && var.autoscaling.maximum <= 100 && floor(var.autoscaling.maximum) == var.autoscaling.maximum
    )
    error_message = "autoscaling.maximum must be a whole number from instances to 100."
  }
  validation {
    condition = var.autoscaling == null ? true : (
      var.autoscaling.cpu_percent >= 1 && var.autoscaling.cpu_percent <= 1000 &&
      floor(var.autoscaling.cpu_percent) == var.autoscaling.cpu_percent
    )
    error_message = "autoscaling.cpu_percent must be a whole number from 1 to 1000."
  }
}

variable "image" {
  type = object({
    repository   = optional(string, "ghcr.io/longyi-brownie/pgbouncer")
    tag          = optional(string, "1.26")
    digest       = optional(string)
    pull_policy  = optional(string, "IfNotPresent")
    pull_secrets = optional(list(string), [])
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    Image of PgBouncer, which `images/pgbouncer` builds.

    - `repository`, `tag`: its name. Defaults: `ghcr.io/longyi-brownie/pgbouncer`, `1.26`.
    - `digest`: `sha256:…`, which wins over the tag. Give it in production: a tag may change between two poolers.
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

variable "leader_image" {
  type = object({
    repository = optional(string, "ghcr.io/longyi-brownie/brownie-leader")
    tag        = optional(string, "0.1.0")
    digest     = optional(string)
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    Image of `brownie-leader`, which runs beside each pooler and points it to the leader. `repository`, `tag` and `digest` are as in
    `image`.
  EOT

  validation {
    condition     = can(regex(local.repository_pattern, var.leader_image.repository)) && can(regex(local.tag_pattern, var.leader_image.tag))
    error_message = "leader_image.repository and leader_image.tag must be names of an image and a tag."
  }
  validation {
    condition     = var.leader_image.digest == null || can(regex(local.digest_pattern, var.leader_image.digest))
    error_message = "leader_image.digest must be null, or \"sha256:\" and 64 hexadecimal digits."
  }
}

variable "settings" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = <<-EOT
    Settings of PgBouncer, such as `{ default_pool_size = "40" }`. They are taken over without a restart, as far as PgBouncer can. The
    module keeps those for access, TLS and files.
  EOT

  validation {
    condition = alltrue([for name, value in var.settings :
      can(regex(local.setting_pattern, name)) && !can(regex(local.own_setting_pattern, name)) && can(regex("^[^\\r\\n]*$", value))
    ])
    error_message = "settings: each must be a lower-case name of a setting, other than those for access, TLS and files, with one line of text."
  }
}

variable "resources" {
  type = object({
    requests = optional(map(string), { cpu = "100m", memory = "64Mi" })
    limits   = optional(map(string), { memory = "256Mi" })
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    What each pooler gets: `requests` and `limits` of `cpu` and `memory`, as in Kubernetes. Defaults: `{ cpu = "100m", memory = "64Mi" }`,
    `{ memory = "256Mi" }`. PgBouncer uses one processor at most.
  EOT

  validation {
    condition = alltrue([
      for amounts in [var.resources.requests, var.resources.limits] :
      alltrue([for kind, amount in amounts : contains(["cpu", "memory"], kind) && can(regex(local.quantity_pattern, amount))])
    ])
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
    Where poolers run.

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
    client       = optional(object({ secret = optional(string), issuer = optional(string) }), {})
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    Where the two certificates of a pooler come from. A kind without `secret` and issuer is taken from `certificate_pems`.

    - `server`: what clients see; its names are `<name>.<namespace>.svc` and `outside.dns_names`. Its `ca.crt` signs clients.
    - `client`: the pooler's own at the members, with the common name `access.common_name`. Its `ca.crt` signs members.

    Each has `secret`, the name of a Secret with `tls.crt`, `tls.key` and `ca.crt`, or `issuer`, the name of one of cert-manager's
    issuers other than the common one:

    - `issuer`: cert-manager's issuer for all kinds without `secret`: `name`, `kind` (`Issuer`; `ClusterIssuer`) and `group`.
    - `duration`, `renew_before`: of certificates that cert-manager makes. Defaults: `720h`, `240h`.
    - `csi`: cert-manager's csi-driver brings what the issuers sign: each pod has keys of its own, which never leave its node, and no
      Secret holds one. Default: `false`, cert-manager keeps Secrets.
    - `authorities`: `config_map` and `key` (`ca.crt`) with those who sign clients and servers, instead of each certificate's own
      `ca.crt`: during a rotation the old and the new ones.
  EOT

  validation {
    condition = alltrue([
      for kind in [var.certificates.server, var.certificates.client] :
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
      for kind in [var.certificates.server, var.certificates.client] : kind.issuer != null
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
    Certificates of kinds that `certificates` does not name: `server`, `client` => PEM texts. They go to Secrets
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
    common_name     = optional(string, "pgbouncer")
    min_tls_version = optional(string, "TLSv1.3")
    log_connections = optional(bool, true)
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    Who may log in, for the module `postgres-auth`, which judges the values.

    - `common_name`: the pooler's role at the members, a `brownie_role` with the access `pooler`; `access.pooler` of the module
      `postgres-ha` names it, too. Default: `pgbouncer`.
    - `min_tls_version`: `TLSv1.3` (default) or `TLSv1.2`.
    - `log_connections`: log every login. Default: `true`.
  EOT
}

variable "outside" {
  type = object({
    cidrs               = list(string)
    dns_names           = optional(list(string), [])
    load_balancer_class = optional(string)
    annotations         = optional(map(string), {})
  })
  default     = null
  description = <<-EOT
    A way in from outside of the Kubernetes cluster, or null (default) for none: a Service `<name>-outside` of the type LoadBalancer.

    - `cidrs`: networks that may come, such as `["192.0.2.0/24"]`. Nobody else gets in.
    - `dns_names`: names of the load balancer, for the certificate that cert-manager makes. Default: none.
    - `load_balancer_class`, `annotations`: as the cloud wants them. Default: the cluster's, none.
  EOT

  validation {
    condition     = var.outside == null ? true : length(var.outside.cidrs) > 0 && alltrue([for cidr in var.outside.cidrs : can(cidrsubnet(cidr, 0, 0))])
    error_message = "outside.cidrs must name at least one network, such as \"192.0.2.0/24\"."
  }
  validation {
    condition     = var.outside == null ? true : alltrue([for name in var.outside.dns_names : can(regex(local.dns_name_pattern, name))])
    error_message = "outside.dns_names must be names such as \"pooler.example\"."
  }
}

variable "network" {
  type = object({
    clients = optional(list(object({
      cidr             = optional(string)
      pod_labels       = optional(map(string))
      namespace_labels = optional(map(string))
    })), [{ pod_labels = { "brownie.dev/pooler-client" = "true" } }])
    api_server = optional(object({
      cidrs = optional(list(string), ["0.0.0.0/0", "::/0"])
      ports = optional(list(number), [443, 6443])
    }), {})
  })
  default     = {}
  nullable    = false
  description = <<-EOT
    What the network policy allows besides DNS and the members.

    - `clients`: who may connect. A peer has `cidr`, or `pod_labels`, `namespace_labels` or both. Default: pods of the namespace with
      the label `brownie.dev/pooler-client: "true"`.
    - `api_server`: `cidrs` and `ports` of the API server, after address translation. Default: ports 443 and 6443 anywhere.

    The members must admit the poolers: in the cluster's own namespace they do by default; elsewhere `network.clients` of the module
    `postgres-ha` must name them.
  EOT

  validation {
    condition = alltrue([
      for peer in var.network.clients :
      peer.cidr == null ? try(length(peer.pod_labels) > 0, false) || try(length(peer.namespace_labels) > 0, false) : (
        can(cidrsubnet(peer.cidr, 0, 0)) && peer.pod_labels == null && peer.namespace_labels == null
      )
    ])
    error_message = "network.clients: each peer has a network as cidr, or labels."
  }
  validation {
    condition     = length(var.network.api_server.cidrs) > 0 && alltrue([for cidr in var.network.api_server.cidrs : can(cidrsubnet(cidr, 0, 0))])
    error_message = "network.api_server.cidrs must name at least one network, such as \"10.0.0.1/32\"."
  }
  validation {
    condition = length(var.network.api_server.ports) > 0 && alltrue([
      for port in var.network.api_server.ports : port >= 1 && port <= 65535 && floor(port) == port
    ])
    error_message = "network.api_server.ports are whole numbers from 1 to 65535, at least one."
  }
}

variable "timeout" {
  type        = number
  default     = 300
  nullable    = false
  description = "How many seconds an apply waits for all poolers to be ready. Default: 300."

  validation {
    condition     = var.timeout >= 60 && floor(var.timeout) == var.timeout
    error_message = "timeout must be a whole number of seconds from 60."
  }
}
