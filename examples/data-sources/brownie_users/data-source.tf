data "brownie_users" "admins" {
  role      = "admin"
  is_active = true
}

output "admins" {
  value = data.brownie_users.admins.users[*].email
}
