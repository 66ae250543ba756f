package provider_test

import (
	"fmt"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// kindConfig is one of everything. Its words have an i or I, its texts what quoting and encodings get wrong.
func kindConfig(role, suffix, userRole, agentType, configType, status, access string) string {
	return fmt.Sprintf(`
resource "brownie_migration" "schema" {}
resource "brownie_organization" "acme" {
  name                = "Acme Industries Ltd. 'é' \\ \"I\"%[2]s"
  slug                = "acme-industries"
  description         = "back\\slash, 'quote', $$dollar$$, E'\\n', ÿ"
  settings            = jsonencode({ "i\\I" = ["'", "\\n", 1.50], title = "TITLE" })
  deletion_protection = false
  depends_on          = [brownie_migration.schema]
}
resource "brownie_team" "incident" {
  organization_id = brownie_organization.acme.id
  name            = "Incident INCIDENT%[2]s"
  slug            = "incident-is-it"
  permissions     = jsonencode(["i", "I"])
}
resource "brownie_user" "ivy" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.incident.id
  email           = "IVY.ivy@acme.example"
  username        = "Ivy"
  full_name       = "Ivy O'Brien \\ é%[2]s"
  role            = %[3]q
  preferences     = jsonencode({ "it's" = "I" })
}
resource "brownie_agent_config" "triage" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.incident.id
  name            = "Triage 'i'"
  agent_type      = %[4]q
  config          = jsonencode({ i = "\\" })
  tags            = ["I", "i", "'", "\\", "{,}", "é%[2]s"]
}
resource "brownie_config" "routing" {
  organization_id = brownie_organization.acme.id
  name            = "Routing \\"
  config_type     = %[5]q
  status          = %[6]q
  name_pattern    = "^\\w+\\.i$"
  tags            = []
}
resource "brownie_role" "app" {
  name              = %[1]q
  access            = %[7]q
  organization_id   = brownie_organization.acme.id
  statement_timeout = "90s"
  valid_until       = "2099-12-31T00:00:00Z"
}
resource "brownie_backup_schedule" "nightly" {
  name         = "nightly-incidents"
  cron         = "15 2 * * fri"
  destinations = [{ type = "file", path = "/It's $$i$$ \\ \"I\" é%[2]s" }]
  retention    = { keep_last = 1 }
  encryption   = { recipients = ["age136vh6v52chyqneypd0hxlgsrc3e3lgnw23ajppj56edhyq0xyp5snmuf99", "age1gp8egdhvyl764ggffl95v5yu8unmx7pwu20ss45lapjxxdlyd9esk9d5cp"] }
  enabled      = false
  depends_on   = [brownie_migration.schema]
}
data "brownie_backups" "of_schedule" { schedule = brownie_backup_schedule.nightly.name }
data "brownie_users" "same_role" {
  role       = %[3]q
  depends_on = [brownie_user.ivy]
}
data "brownie_users" "members" {
  role       = "member"
  depends_on = [brownie_user.ivy]
}
data "brownie_user" "by_email" { email = brownie_user.ivy.email }
data "brownie_tenant_isolation" "proof" { depends_on = [brownie_role.app] }
data "brownie_migration_status" "schema" { depends_on = [brownie_migration.schema] }
`, role, suffix, userRole, agentType, configType, status, access)
}

// In whatever kind of database: migrate, create, find, update and import one of everything, prove the isolation, destroy.
func TestAccKindsOfDatabases(t *testing.T) {
	for name, kind := range testdb.Kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := testdb.Empty(t, testdb.Certificates, kind)
			block, role := acctest.ProviderBlock(t, database, ""), "app-"+database
			suffix := "ñ" // a character of LATIN1
			if kind != testdb.Latin1 {
				suffix = "İıŞ漢😀"
			}
			found := func(role string) resource.TestCheckFunc {
				return resource.ComposeAggregateTestCheckFunc(
					acctest.Attributes("data.brownie_users.same_role", map[string]string{"users.#": "1", "users.0.role": role}),
					acctest.Attributes("data.brownie_users.members", map[string]string{"users.#": "0"}),
					acctest.Attributes("data.brownie_user.by_email", map[string]string{"role": role, "username": "Ivy"}),
					acctest.Attributes("data.brownie_tenant_isolation.proof", map[string]string{"isolated": "true"}),
				)
			}
			created := kindConfig(role, "", "admin", "incident_response", "organization", "active", "reader")
			updated := kindConfig(role, suffix, "viewer", "notification", "alert", "archived", "writer")
			steps := []resource.TestStep{
				{Config: block + created, Check: found("admin")},
				{Config: block + updated, Check: found("viewer")},
			}
			for address, key := range map[string]string{
				"brownie_organization.acme": "acme-industries", "brownie_team.incident": "acme-industries/incident-is-it",
				"brownie_user.ivy": "IVY.ivy@acme.example", "brownie_agent_config.triage": "acme-industries/incident-is-it/Triage 'i'",
				"brownie_config.routing": `acme-industries//Routing \`, "brownie_role.app": role,
				"brownie_backup_schedule.nightly": "nightly-incidents",
			} {
				steps = append(steps, resource.TestStep{
					ResourceName: address, ImportState: true, ImportStateId: key, ImportStateVerify: true,
					ImportStateVerifyIgnore: []string{"deletion_protection", "valid_until", "statement_timeout"},
				})
			}
			resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: steps})
		})
	}
}
