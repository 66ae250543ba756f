import {
  to = brownie_organization.acme
  id = "acme"
}
