import {
  to = brownie_agent_config.triage
  id = "acme/platform/triage"
}
