import {
  to = brownie_config.routing
  id = "acme//routing"
}
