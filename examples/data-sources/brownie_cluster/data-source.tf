# Before an upgrade: all three members are there, none is far behind, and no certificate expires soon.
data "brownie_cluster" "metadata" {
  patroni = {
    urls        = [for i in range(3) : "https://pg-${i}.pg-members.databases.svc:8008"]
    ca_cert     = "api-ca.crt"
    client_cert = "api.crt"
    client_key  = "api.key"
  }

  lifecycle {
    postcondition {
      condition     = length(self.members) == 3 && alltrue([for m in self.members : m.role == "leader" || coalesce(m.lag_bytes, 1e9) < 16777216])
      error_message = "A replica is missing or lags: ${jsonencode(self.members)}"
    }
    postcondition {
      condition = alltrue([
        for m in self.members : m.certificate_not_after == null || timecmp(m.certificate_not_after, timeadd(plantimestamp(), "168h")) > 0
      ])
      error_message = "A member's certificate expires within a week."
    }
  }
}
