locals {
  # What may stand before and behind a hyphen in the name of a role.
  key_pattern       = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
  role_name_pattern = "^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$"
}
