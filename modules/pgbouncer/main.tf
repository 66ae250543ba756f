locals {
  namespace = var.namespace == null ? var.cluster.namespace : var.namespace
  kinds     = { server = var.certificates.server, client = var.certificates.client }
  # Kinds whose Secret the module makes.
  given = toset([for kind, from in local.kinds : kind if from.secret == null && from.issuer == null && var.certificates.issuer == null])

  # The chart takes an empty text for what is not given.
  values = {
    fullnameOverride = var.name
    cluster          = var.cluster
    instances        = var.instances
    autoscaling      = { maximum = try(var.autoscaling.maximum, 0), cpu = try(var.autoscaling.cpu_percent, 70) }
    image = {
      repository  = var.image.repository
      tag         = var.image.tag
      digest      = var.image.digest == null ? "" : var.image.digest
      pullPolicy  = var.image.pull_policy
      pullSecrets = var.image.pull_secrets
    }
    leader = {
      image = {
        repository = var.leader_image.repository
        tag        = var.leader_image.tag
        digest     = var.leader_image.digest == null ? "" : var.leader_image.digest
      }
      maxLagBytes = var.read_only.max_lag_bytes
    }
    auth              = { pgbouncerIni = module.access.pgbouncer_ini }
    settings          = var.settings
    resources         = var.resources
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
      { for kind, from in local.kinds : kind => merge(
        {
          secret = contains(local.given, kind) ? "${var.name}-${kind}" : from.secret == null ? "" : from.secret
          issuer = from.issuer == null ? "" : from.issuer
        },
        kind == "client" ? { commonName = var.access.common_name } : {},
      ) },
    )
    outside = {
      enabled           = var.outside != null
      cidrs             = try(var.outside.cidrs, [])
      dnsNames          = try(var.outside.dns_names, [])
      loadBalancerClass = try(var.outside.load_balancer_class, null) == null ? "" : var.outside.load_balancer_class
      annotations       = try(var.outside.annotations, {})
    }
    networkPolicy = {
      enabled = true
      clients = [for peer in var.network.clients : { for key, value in {
        cidr            = peer.cidr
        podLabels       = peer.pod_labels
        namespaceLabels = peer.namespace_labels
      } : key => value if value != null }]
      apiServer = var.network.api_server
    }
  }
}

# Their texts are written only: neither plan nor state holds them.
resource "kubernetes_secret_v1" "certificate" {
  for_each = local.given

  metadata {
    name      = "${var.name}-${each.key}"
    namespace = local.namespace
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
}

resource "helm_release" "this" {
  name        = var.name
  namespace   = local.namespace
  chart       = "${path.module}/chart"
  values      = [yamlencode(local.values)]
  timeout     = var.timeout
  max_history = 10

  depends_on = [kubernetes_secret_v1.certificate]
}
