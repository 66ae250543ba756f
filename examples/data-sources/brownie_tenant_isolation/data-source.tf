# Every plan and apply attacks the isolation, and says so when something gets through.
check "tenants_are_isolated" {
  data "brownie_tenant_isolation" "proof" {}

  assert {
    condition     = data.brownie_tenant_isolation.proof.isolated
    error_message = data.brownie_tenant_isolation.proof.summary
  }
}
