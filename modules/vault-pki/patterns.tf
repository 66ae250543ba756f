locals {
  # A client's name: the common name, the role of PostgreSQL and the role of Vault. Vault issues a name in any case, so that
  # one in upper case would not be exact, and PgBouncer takes an asterisk for a wildcard. A test compares it with the
  # provider's own rule, which allows more.
  identity_pattern = "^[a-z0-9_]([a-z0-9_.-]{0,61}[a-z0-9_])?$"

  # Of Vault: a mount or a path in one, a role for logins, the beginning of a policy's name.
  path_pattern          = "^[^/\\s*+\"]+(/[^/\\s*+\"]+)*$"
  login_role_pattern    = "^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$"
  policy_prefix_pattern = "^[a-z0-9_-]+$"
  inexact_pattern       = "[*:]" # in a name of HCP Terraform
  address_pattern       = "^https?://[^/\\s]+$"

  # The key of a server, and a host name.
  server_pattern = "^[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?$"
  domain_pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"

  # One number with one unit, since Vault's provider takes seconds. Two durations are compared as times after the epoch.
  duration_pattern = "^([1-9][0-9]{0,5}h|[1-9][0-9]{0,7}[ms])$"
  epoch            = "2000-01-01T00:00:00Z"

  key_sizes = { ec = [256, 384, 521], rsa = [2048, 3072, 4096] }
}
