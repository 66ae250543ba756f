locals {
  kinds = {
    server      = var.certificates.server
    replication = var.certificates.replication
    rewind      = var.certificates.rewind
    api         = var.certificates.api
  }
  # Kinds whose Secret the module makes.
  given = toset([for kind, from in local.kinds : kind if from.secret == null && from.issuer == null && var.certificates.issuer == null])

  peers = { for i, peer in concat(var.network.clients, var.network.egress[*].to) : i => { for key, value in {
    cidr            = peer.cidr
    podLabels       = peer.pod_labels
    namespaceLabels = peer.namespace_labels
  } : key => value if value != null } }

  volumes = { for name, volume in { storage = var.storage, wal = var.wal } : name => {
    size         = volume.size
    storageClass = volume.storage_class == null ? "" : volume.storage_class
    ballast      = volume.ballast
    growth       = volume.growth == null ? { maximum = "", threshold = 80, step = "20%" } : volume.growth
  } if volume != null }

  # The chart takes an empty text for what is not given.
  values = {
    fullnameOverride = var.name
    instances        = var.instances
    image = {
      repository  = var.image.repository
      tag         = var.image.tag
      digest      = var.image.digest == null ? "" : var.image.digest
      pullPolicy  = var.image.pull_policy
      pullSecrets = var.image.pull_secrets
    }
    upgrade = {
      from    = try(var.upgrade.from, "")
      state   = try(var.upgrade.state, "prepared")
      timeout = try(var.upgrade.timeout, 3600)
    }
    postgresql        = { parameters = var.parameters, audit = var.audit }
    bootstrap         = var.bootstrap
    synchronous       = var.synchronous
    standby           = var.standby_of == null ? { host = "", port = 5432 } : var.standby_of
    patroni           = { ttl = var.timing.ttl, loopWait = var.timing.loop_wait, retryTimeout = var.timing.retry_timeout }
    storage           = local.volumes.storage
    wal               = merge({ enabled = var.wal != null }, lookup(local.volumes, "wal", {}))
    resources         = { requests = var.resources.requests, limits = var.resources.limits }
    sharedMemory      = var.resources.shared_memory
    spread            = { host = var.scheduling.host, zone = var.scheduling.zone }
    nodeSelector      = var.scheduling.node_selector
    priorityClassName = var.scheduling.priority_class_name == null ? "" : var.scheduling.priority_class_name
    certificates = merge(
      {
        issuer      = var.certificates.issuer == null ? { name = "", kind = "Issuer", group = "cert-manager.io" } : var.certificates.issuer
        duration    = var.certificates.duration
        renewBefore = var.certificates.renew_before
        csi         = var.certificates.csi
        authorities = {
          configMap = try(var.certificates.authorities.config_map, "")
          key       = try(var.certificates.authorities.key, "ca.crt")
        }
      },
      { for kind, from in local.kinds : kind => {
        secret = contains(local.given, kind) ? "${var.name}-${kind}" : from.secret == null ? "" : from.secret
        issuer = from.issuer == null ? "" : from.issuer
      } },
    )
    auth = {
      pgHba      = module.access.pg_hba_conf
      pgIdent    = module.access.pg_ident_conf
      serverConf = module.access.postgresql_conf
    }
    networkPolicy = {
      enabled       = true
      denyNamespace = !var.namespace.existing
      clients       = [for i in range(length(var.network.clients)) : local.peers[i]]
      apiServer     = var.network.api_server
      egress = [for i, way in var.network.egress : {
        to    = local.peers[length(var.network.clients) + i]
        ports = way.ports
      }]
    }
  }
  revocation = var.revocation == null ? {} : { crl = {
    enabled = true
    image = {
      repository = var.revocation.image.repository
      tag        = var.revocation.image.tag
      digest     = var.revocation.image.digest == null ? "" : var.revocation.image.digest
    }
    mounts  = var.revocation.mounts
    lists   = var.revocation.lists
    issuers = var.revocation.issuers
    serverAuthorities = {
      configMap = try(var.revocation.server_authorities.config_map, "")
      key       = try(var.revocation.server_authorities.key, "ca.crt")
    }
    interval    = var.revocation.interval
    alarmBefore = var.revocation.alarm_before
  } }
}

resource "kubernetes_namespace_v1" "this" {
  count = var.namespace.existing ? 0 : 1

  metadata {
    name = var.namespace.name
    labels = merge(var.namespace.labels, {
      "pod-security.kubernetes.io/enforce" = "restricted"
    })
  }
}

# Their texts are written only: neither plan nor state holds them.
resource "kubernetes_secret_v1" "certificate" {
  for_each = local.given

  metadata {
    name      = "${var.name}-${each.key}"
    namespace = var.namespace.name
  }
  type = "kubernetes.io/tls"
  data_wo = {
    "tls.crt" = var.certificate_pems[each.key].certificate_pem
    "tls.key" = var.certificate_pems[each.key].private_key_pem
    "ca.crt"  = var.certificate_pems[each.key].ca_pem
  }
  data_wo_revision = var.certificate_pems_revision

  lifecycle {
    precondition {
      condition     = contains(keys(var.certificate_pems), each.key)
      error_message = "certificates.${each.key} names neither a Secret nor an issuer: give it in certificate_pems."
    }
  }
  depends_on = [kubernetes_namespace_v1.this]
}

resource "helm_release" "this" {
  name        = var.name
  namespace   = var.namespace.name
  chart       = "${path.module}/chart"
  values      = [yamlencode(merge(local.values, local.revocation))]
  timeout     = var.timeout
  max_history = 10

  lifecycle {
    precondition {
      condition     = var.upgrade == null || var.wal == null
      error_message = "upgrade: a write-ahead log on a volume of its own (wal) cannot be upgraded yet."
    }
    precondition {
      condition = var.revocation == null || var.certificates.authorities != null || !var.certificates.csi || (
        var.certificates.issuer == null ? var.certificates.server.issuer == null : var.certificates.server.secret != null
      )
      error_message = "revocation: with certificates.csi it needs certificates.authorities, since brownie-crl does not get the server's key."
    }
  }
  depends_on = [kubernetes_secret_v1.certificate]
}
