import {
  to = brownie_team.platform
  id = "acme/platform"
}
