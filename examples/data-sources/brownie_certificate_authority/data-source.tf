data "brownie_certificate_authority" "clients" {
  mount = "pki"
}

# Each plan says when servers refuse, or are about to refuse, what the authority signs.
check "certificate_authority" {
  assert {
    condition     = data.brownie_certificate_authority.clients.healthy
    error_message = join("; ", data.brownie_certificate_authority.clients.problems)
  }
  assert {
    condition     = timecmp(timeadd(plantimestamp(), "720h"), data.brownie_certificate_authority.clients.not_after) < 0
    error_message = "The authority expires in less than 30 days, at ${data.brownie_certificate_authority.clients.not_after}."
  }
}
