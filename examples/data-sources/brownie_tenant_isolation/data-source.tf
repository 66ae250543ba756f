# Every plan and apply attacks the isolation.
data "brownie_tenant_isolation" "proof" {}

# Warns, and names what got through. A postcondition in the data block would fail the plan instead.
check "tenants_are_isolated" {
  assert {
    condition     = data.brownie_tenant_isolation.proof.isolated
    error_message = data.brownie_tenant_isolation.proof.summary
  }
}
