data "brownie_user" "ada" {
  email = "ada@acme.example"
}
