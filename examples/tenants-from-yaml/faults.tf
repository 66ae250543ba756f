# What is wrong with the file, each with its tenant. Without this a misspelt "users" would be no users, and a plan would delete people.
locals {
  allowed = {
    tenant = ["name", "slug", "teams", "users", "max_teams", "max_users_per_team", "locked", "leaving"]
    user   = ["email", "team", "role"]
  }

  faults = flatten([for key, tenant in local.tenants : [
    [for word in try(keys(tenant), []) : "${key}: unknown key \"${word}\"; allowed are ${join(", ", local.allowed.tenant)}."
    if !contains(local.allowed.tenant, word)],
    [for name in concat([key], try(keys(tenant.teams), []), try(keys(tenant.users), [])) :
    "${key}: YAML reads a key such as no, y or on as \"${name}\"; put it in quotes, or choose another." if contains(["true", "false"], name)],
    try(tenant.name, null) == null ? ["${key}: name is missing."] : [],
    [for word in ["teams", "users"] : "${key}: ${word} must have its entries as \"key: value\", without hyphens."
    if !can(keys(tenant[word])) && try(tenant[word], null) != null],
    [for word in ["locked", "leaving"] : "${key}: ${word} must be true or false."
    if try(tobool(tenant[word]) == null, can(tenant[word]))],

    [for team, name in try(merge(tenant.teams, {}), {}) : "${key}, team ${team}: must be its name alone." if try(tostring(name), null) == null],
    [for name, user in try(merge(tenant.users, {}), {}) : [
      [for word in try(keys(user), []) : "${key}, user ${name}: unknown key \"${word}\"; allowed are ${join(", ", local.allowed.user)}."
      if !contains(local.allowed.user, word)],
      [for word in ["email", "team"] : "${key}, user ${name}: ${word} is missing." if try(user[word], null) == null],
      [for team in try([tostring(user.team)], []) : "${key}, user ${name}: there is no team \"${team}\"."
      if team != null && !can(tenant.teams[team])],
    ]],
  ]])
}
