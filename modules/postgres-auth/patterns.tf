# What may stand in the servers' files. pgbouncer.ini has no quotes, so that names in it are plain.
locals {
  # A role, which is the common name that opens it. A test compares it with the provider's own rule.
  identity_pattern = "^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}$"
  # In lower case: somebody else's role, or none that could be made.
  reserved_identity_pattern = join("", [
    "^(pg_.*|postgres|all|current_role|current_user|none|public|sameuser|samerole|session_user|system_user|user|",
    "brownie_(reader|writer|admin|all_tenants|migrator|monitor|backup|pooler|pooled|granter|connect_.*|maker_.*))$",
  ])
  database_pattern    = "^[A-Za-z0-9_.-]{1,63}$"
  host_pattern        = "^[A-Za-z0-9:][A-Za-z0-9_.:-]*$"
  listen_addr_pattern = "^(\\*|[0-9A-Fa-f.:]+(,[0-9A-Fa-f.:]+)*)$"
  pooler_path_pattern = "^/[A-Za-z0-9_.@+:/-]+$"

  # In the server's files, names and paths stand in quotes. Even there a leading slash makes a name a regular expression.
  quoted_name_pattern = "^[^\\x00-\\x1f\\x7f/][^\\x00-\\x1f\\x7f]*$"
  quoted_path_pattern = "^/[^\\x00-\\x1f\\x7f]+$"
}
