# What the chart is given, without a Kubernetes.
mock_provider "kubernetes" {}
mock_provider "helm" {}

variables {
  certificate_pems = {
    server      = { certificate_pem = "a", private_key_pem = "b", ca_pem = "c" }
    replication = { certificate_pem = "a", private_key_pem = "b", ca_pem = "c" }
    rewind      = { certificate_pem = "a", private_key_pem = "b", ca_pem = "c" }
    api         = { certificate_pem = "a", private_key_pem = "b", ca_pem = "c" }
  }
}

run "defaults_are_safe" {
  assert {
    condition = (
      kubernetes_namespace_v1.this[0].metadata[0].labels["pod-security.kubernetes.io/enforce"] == "restricted" &&
      yamldecode(helm_release.this.values[0]).networkPolicy.denyNamespace
    )
    error_message = "The namespace admits restricted pods only, and denies what is not allowed."
  }
  assert {
    condition = (
      yamldecode(helm_release.this.values[0]).instances == 3 &&
      yamldecode(helm_release.this.values[0]).synchronous == { mode = "on", strict = true, replicas = 1 }
    )
    error_message = "Three members, and no write is acknowledged by one alone."
  }
  assert {
    condition = strcontains(
      yamldecode(helm_release.this.values[0]).auth.pgHba, "\nhostssl  replication  \"replicator\"  all  cert\n"
    )
    error_message = "Access is what the module postgres-auth renders."
  }
  assert {
    condition     = output.hosts.primary == "postgres-primary.postgres.svc" && length(output.members) == 3
    error_message = "The outputs name the Services."
  }
}

run "given_certificates_become_secrets_that_are_written_only" {
  assert {
    condition = (
      keys(kubernetes_secret_v1.certificate) == ["api", "replication", "rewind", "server"] &&
      alltrue([for secret in kubernetes_secret_v1.certificate : secret.data_wo == null])
    )
    error_message = "Neither plan nor state holds a key."
  }
  assert {
    condition = alltrue([for kind in ["api", "replication", "rewind", "server"] :
      yamldecode(helm_release.this.values[0]).certificates[kind] == { secret = "postgres-${kind}", issuer = "" }
    ])
    error_message = "The chart is told their names."
  }
}

run "a_namespace_that_others_use" {
  variables {
    namespace = { name = "shared", existing = true }
    certificates = {
      issuer = { name = "vault" }
      csi    = true
      server = { secret = "mine" }
      api    = { issuer = "patroni" }
    }
  }
  assert {
    condition = (
      length(kubernetes_namespace_v1.this) == 0 && length(kubernetes_secret_v1.certificate) == 0 &&
      helm_release.this.namespace == "shared" && !yamldecode(helm_release.this.values[0]).networkPolicy.denyNamespace
    )
    error_message = "Nothing is made there but the release."
  }
  assert {
    condition = (
      yamldecode(helm_release.this.values[0]).certificates.issuer.name == "vault" &&
      yamldecode(helm_release.this.values[0]).certificates.csi &&
      yamldecode(helm_release.this.values[0]).certificates.server == { secret = "mine", issuer = "" } &&
      yamldecode(helm_release.this.values[0]).certificates.api == { secret = "", issuer = "patroni" }
    )
    error_message = "cert-manager is asked for what has no Secret."
  }
}

run "optional_parts" {
  variables {
    wal        = { size = "20Gi", growth = { maximum = "1Ti" } }
    revocation = { lists = ["http://lists.example/ca.crl"] }
    network    = { clients = [{ cidr = "10.0.0.0/8" }], egress = [{ to = { namespace_labels = { a = "b" } }, ports = [80] }] }
  }
  assert {
    condition = (
      yamldecode(helm_release.this.values[0]).wal == {
        enabled = true, size = "20Gi", storageClass = "", ballast = "128Mi", growth = { maximum = "1Ti", threshold = 80, step = "20%" }
      } &&
      yamldecode(helm_release.this.values[0]).storage.growth.maximum == "" &&
      yamldecode(helm_release.this.values[0]).crl.enabled &&
      yamldecode(helm_release.this.values[0]).networkPolicy.clients == [{ cidr = "10.0.0.0/8" }] &&
      yamldecode(helm_release.this.values[0]).networkPolicy.egress == [{ to = { namespaceLabels = { a = "b" } }, ports = [80] }]
    )
    error_message = "They are passed on."
  }
}

run "an_upgrade" {
  variables {
    upgrade = { from = "17", state = "upgraded" }
  }
  assert {
    condition     = yamldecode(helm_release.this.values[0]).upgrade == { from = "17", state = "upgraded", timeout = 3600 }
    error_message = "It is passed on."
  }
}

run "an_upgrade_with_a_volume_of_the_log" {
  command = plan
  variables {
    upgrade = { from = "17" }
    wal     = {}
  }
  expect_failures = [helm_release.this]
}

run "revocation_without_authorities" {
  command = plan
  variables {
    certificates = { issuer = { name = "vault" }, csi = true }
    revocation   = { lists = ["http://lists.example/ca.crl"] }
  }
  expect_failures = [helm_release.this]
}

run "revocation_with_authorities" {
  variables {
    certificates = { issuer = { name = "vault" }, csi = true, authorities = { config_map = "authorities" } }
    revocation   = { lists = ["http://lists.example/ca.crl"] }
  }
  assert {
    condition     = yamldecode(helm_release.this.values[0]).certificates.authorities == { configMap = "authorities", key = "ca.crt" }
    error_message = "It is passed on."
  }
}

run "a_certificate_that_nobody_gives" {
  command = plan
  variables {
    certificate_pems = {}
    certificates     = { server = { secret = "a" }, replication = { secret = "b" }, rewind = { secret = "c" } }
  }
  expect_failures = [kubernetes_secret_v1.certificate["api"]]
}
