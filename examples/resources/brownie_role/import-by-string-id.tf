import {
  to = brownie_role.acme_app
  id = "acme-app"
}
