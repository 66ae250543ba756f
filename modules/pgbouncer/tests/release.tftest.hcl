# What the chart is given, without a Kubernetes.
mock_provider "kubernetes" {}
mock_provider "helm" {}

variables {
  certificate_pems = {
    server = { certificate_pem = "a", private_key_pem = "b", ca_pem = "c" }
    client = { certificate_pem = "a", private_key_pem = "b", ca_pem = "c" }
  }
}

run "defaults" {
  assert {
    condition = (
      helm_release.this.namespace == "postgres" && yamldecode(helm_release.this.values[0]).cluster == { name = "postgres", namespace = "postgres" } &&
      yamldecode(helm_release.this.values[0]).instances == 2 && yamldecode(helm_release.this.values[0]).autoscaling.maximum == 0
    )
    error_message = "Two poolers stand beside the cluster."
  }
  assert {
    condition = (
      strcontains(yamldecode(helm_release.this.values[0]).auth.pgbouncerIni, "\nbrownie_metadata = host=leader port=5432\n") &&
      strcontains(
        yamldecode(helm_release.this.values[0]).auth.pgbouncerIni, "\nbrownie_metadata_ro = host=replica port=5432 dbname=brownie_metadata\n"
      )
    )
    error_message = "One database leads to the leader, one to a replica."
  }
  assert {
    condition     = !yamldecode(helm_release.this.values[0]).outside.enabled && yamldecode(helm_release.this.values[0]).networkPolicy.enabled
    error_message = "Nobody comes from outside."
  }
  assert {
    condition = (
      output.host == "pgbouncer.postgres.svc" && output.databases == { write = "brownie_metadata", read = "brownie_metadata_ro" }
    )
    error_message = "The outputs say where clients connect."
  }
}

run "given_certificates_become_secrets_that_are_written_only" {
  assert {
    condition = (
      keys(kubernetes_secret_v1.certificate) == ["client", "server"] &&
      alltrue([for secret in kubernetes_secret_v1.certificate : secret.data_wo == null])
    )
    error_message = "Neither plan nor state holds a key."
  }
  assert {
    condition = (
      yamldecode(helm_release.this.values[0]).certificates.server == { secret = "pgbouncer-server", issuer = "" } &&
      yamldecode(helm_release.this.values[0]).certificates.client == { secret = "pgbouncer-client", issuer = "", commonName = "pgbouncer" }
    )
    error_message = "The chart is told their names."
  }
}

run "optional_parts" {
  variables {
    namespace   = "platform"
    cluster     = { name = "pg", namespace = "databases" }
    database    = "metadata"
    read_only   = { enabled = false }
    autoscaling = { maximum = 5 }
    outside     = { cidrs = ["192.0.2.0/24"], annotations = { a = "b" } }
    access      = { common_name = "pool" }
    certificates = {
      issuer = { name = "vault" }
      csi    = true
      server = { secret = "mine" }
    }
  }
  assert {
    condition = (
      helm_release.this.namespace == "platform" && length(kubernetes_secret_v1.certificate) == 0 &&
      yamldecode(helm_release.this.values[0]).certificates.server == { secret = "mine", issuer = "" } &&
      yamldecode(helm_release.this.values[0]).certificates.client == { secret = "", issuer = "", commonName = "pool" } &&
      yamldecode(helm_release.this.values[0]).certificates.issuer.name == "vault" && yamldecode(helm_release.this.values[0]).certificates.csi
    )
    error_message = "cert-manager is asked for what has no Secret."
  }
  assert {
    condition = (
      yamldecode(helm_release.this.values[0]).autoscaling == { maximum = 5, cpu = 70 } &&
      yamldecode(helm_release.this.values[0]).outside.cidrs == ["192.0.2.0/24"] &&
      yamldecode(helm_release.this.values[0]).outside.annotations == { a = "b" } &&
      !strcontains(yamldecode(helm_release.this.values[0]).auth.pgbouncerIni, "_ro") &&
      strcontains(yamldecode(helm_release.this.values[0]).auth.pgbouncerIni, "auth_user = pool\n")
    )
    error_message = "They are passed on."
  }
}

run "a_certificate_that_nobody_gives" {
  command = plan
  variables {
    certificate_pems = {}
    certificates     = { server = { secret = "a" } }
  }
  expect_failures = [kubernetes_secret_v1.certificate["client"]]
}
