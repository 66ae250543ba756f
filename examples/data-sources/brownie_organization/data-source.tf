data "brownie_organization" "acme" {
  slug = "acme"
}
