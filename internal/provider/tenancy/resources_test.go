package tenancy_test

import (
	"fmt"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

func TestAccOrganization(t *testing.T) {
	acctest.Lifecycle{
		Address: "brownie_organization.acme", Key: "acme-inc",
		Created: acctest.Acme,
		Updated: `
resource "brownie_organization" "acme" {
  name                = "Acme Inc"
  slug                = "acme-inc"
  description         = "Makes everything"
  is_active           = false
  settings            = jsonencode({ timezone = "UTC", limits = [1, 2] })
  max_teams           = 3
  max_users_per_team  = 7
  force_destroy       = true
  deletion_protection = false
}`,
		Check: acctest.Attributes("brownie_organization.acme", map[string]string{
			"name": "Acme Inc", "slug": "acme-inc", "description": "Makes everything", "is_active": "false",
			"settings": `{"limits":[1,2],"timezone":"UTC"}`, "max_teams": "3", "max_users_per_team": "7", "force_destroy": "true",
		}),
		Drift:           `UPDATE organizations SET description = NULL, settings = '{}', max_teams = 4`,
		Remove:          `DELETE FROM organizations`,
		IgnoredByImport: []string{"deletion_protection"}, // only Terraform knows it
	}.Run(t)
}

func TestAccTeam(t *testing.T) {
	acctest.Lifecycle{
		Address: "brownie_team.platform", Key: "acme/platform-2",
		Created: acctest.Platform,
		Updated: acctest.Acme + `
resource "brownie_team" "platform" {
  organization_id = brownie_organization.acme.id
  name            = "Platform 2"
  slug            = "platform-2"
  description     = ""
  is_active       = false
  permissions     = jsonencode(["read", "write"])
  settings        = jsonencode({ pager = { on = true } })
}`,
		Check: acctest.Attributes("brownie_team.platform", map[string]string{
			"name": "Platform 2", "slug": "platform-2", "description": "", "is_active": "false",
			"permissions": `["read","write"]`, "settings": `{"pager":{"on":true}}`,
		}),
		Drift:  `UPDATE teams SET name = 'x', permissions = 'null'`,
		Remove: `DELETE FROM teams`,
	}.Run(t)
}

func TestAccUser(t *testing.T) {
	acctest.Lifecycle{
		Address: "brownie_user.jane", Key: "jane.doe@acme.example",
		Created: acctest.Platform + `
resource "brownie_user" "jane" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  email           = "jane@acme.example"
  username        = "jane"
}`,
		Updated: acctest.Platform + `
resource "brownie_team" "other" {
  organization_id = brownie_organization.acme.id
  name            = "Other"
  slug            = "other"
}
resource "brownie_user" "jane" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.other.id
  email           = "jane.doe@acme.example"
  username        = "jane.doe"
  full_name       = "Jane Doe"
  role            = "admin"
  is_active       = false
  is_verified     = true
  oidc_provider   = "okta"
  oidc_subject    = "00u1"
  preferences     = jsonencode({ theme = "dark" })
}`,
		Check: acctest.Attributes("brownie_user.jane", map[string]string{
			"email": "jane.doe@acme.example", "username": "jane.doe", "full_name": "Jane Doe", "role": "admin", "is_active": "false",
			"is_verified": "true", "oidc_provider": "okta", "oidc_subject": "00u1", "preferences": `{"theme":"dark"}`,
		}),
		Drift:  `UPDATE users SET role = 'VIEWER', oidc_subject = NULL`,
		Remove: `DELETE FROM users`,
	}.Run(t)
}

func TestAccAgentConfig(t *testing.T) {
	acctest.Lifecycle{
		Address: "brownie_agent_config.triage", Key: "acme/platform/triage/2",
		Created: acctest.Platform + `
resource "brownie_agent_config" "triage" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  name            = "triage"
  agent_type      = "incident_response"
  config          = jsonencode({})
}`,
		Updated: acctest.Platform + `
resource "brownie_agent_config" "triage" {
  organization_id           = brownie_organization.acme.id
  team_id                   = brownie_team.platform.id
  name                      = "triage/2"
  description               = "First look"
  agent_type                = "custom"
  config                    = jsonencode({ model = "large" })
  triggers                  = jsonencode(["incident.created"])
  conditions                = jsonencode({ priority = "critical" })
  tags                      = ["b", "a"]
  execution_timeout_seconds = 30
  max_retries               = 0
  retry_delay_seconds       = 1
  is_active                 = false
}`,
		Check: acctest.Attributes("brownie_agent_config.triage", map[string]string{
			"name": "triage/2", "description": "First look", "agent_type": "custom", "config": `{"model":"large"}`,
			"triggers": `["incident.created"]`, "conditions": `{"priority":"critical"}`, "tags.#": "2", "tags.0": "a",
			"execution_timeout_seconds": "30", "max_retries": "0", "retry_delay_seconds": "1", "is_active": "false",
		}),
		Drift:  `UPDATE agent_configs SET tags = '["a"]', agent_type = 'ANALYSIS'`,
		Remove: `DELETE FROM agent_configs`,
	}.Run(t)
}

func TestAccConfig(t *testing.T) {
	acctest.Lifecycle{
		Address: "brownie_config.routing", Key: "acme//routing 2",
		Created: acctest.Platform + `
resource "brownie_config" "routing" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  name            = "routing"
  config_type     = "alert"
}`,
		Updated: acctest.Platform + `
resource "brownie_config" "routing" {
  organization_id  = brownie_organization.acme.id
  name             = "routing 2"
  description      = "Who is called"
  config_type      = "organization"
  status           = "active"
  priority         = -5
  name_pattern     = "^(?P<service>db|api)-(?!test)"
  severity_pattern = "critical|high"
  team_pattern     = ".*"
  config_json      = jsonencode({ channel = "#alerts" })
  tags             = []
  is_global        = true
  is_active        = false
}`,
		Check: acctest.Attributes("brownie_config.routing", map[string]string{
			"name": "routing 2", "description": "Who is called", "config_type": "organization", "status": "active", "priority": "-5",
			"name_pattern": "^(?P<service>db|api)-(?!test)", "severity_pattern": "critical|high", "team_pattern": ".*",
			"config_json": `{"channel":"#alerts"}`, "tags.#": "0", "is_global": "true", "is_active": "false",
		}),
		Drift:  `UPDATE configs SET status = 'ARCHIVED', priority = 1`,
		Remove: `DELETE FROM configs`,
	}.Run(t)
}

// A team's config is imported by its team's slug, and its version rises with every change.
func TestAccConfigOfATeam(t *testing.T) {
	config := func(priority int) string {
		return acctest.Platform + fmt.Sprintf(`
resource "brownie_config" "routing" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  name            = "routing"
  config_type     = "team"
  priority        = %d
}`, priority)
	}
	acctest.Run(t, func(string) []resource.TestStep {
		return []resource.TestStep{
			{Config: config(1), Check: resource.TestCheckResourceAttr("brownie_config.routing", "version", "1")},
			{Config: config(2), Check: resource.TestCheckResourceAttr("brownie_config.routing", "version", "2")},
			{ResourceName: "brownie_config.routing", ImportState: true, ImportStateId: "acme/platform/routing", ImportStateVerify: true},
		}
	})
}

func TestAccJSONIsComparedByMeaning(t *testing.T) {
	config := func(settings string) string {
		return acctest.Acme[:len(acctest.Acme)-2] + fmt.Sprintf("  settings = %q\n}\n", settings)
	}
	acctest.Run(t, func(database string) []resource.TestStep {
		return []resource.TestStep{
			{Config: config(`{"a": 1, "b": {"c": [1, 2]}}`)},
			{Config: config(`{"b":{"c":[1,2]},"a":1}`), PlanOnly: true},
			{
				PreConfig: acctest.BehindTerraformsBack(t, database, `UPDATE organizations SET settings = '{  "b" : {"c":[1 ,2]},"a":1}'`),
				Config:    config(`{"a": 1, "b": {"c": [1, 2]}}`), PlanOnly: true,
			},
			{
				Config:           config(`{"a": 1, "b": {"c": [2, 1]}}`),
				ConfigPlanChecks: acctest.Planned("brownie_organization.acme", plancheck.ResourceActionUpdate),
			},
		}
	})
}

func TestAccDeletedUserIsRevived(t *testing.T) {
	config := acctest.Platform + `
resource "brownie_user" "jane" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  email           = "jane@acme.example"
  username        = "jane"
}`
	var id string
	acctest.Run(t, func(database string) []resource.TestStep {
		return []resource.TestStep{
			{Config: config, Check: func(s *terraform.State) error {
				id = s.RootModule().Resources["brownie_user.jane"].Primary.ID
				return nil
			}},
			{
				PreConfig: acctest.BehindTerraformsBack(t, database, `UPDATE users SET deleted_at = now()`), Config: config,
				ConfigPlanChecks: acctest.Planned("brownie_user.jane", plancheck.ResourceActionCreate),
				Check: func(s *terraform.State) error {
					if now := s.RootModule().Resources["brownie_user.jane"].Primary.ID; now != id {
						return fmt.Errorf("a new row %s was made instead of reviving %s", now, id)
					}
					return nil
				},
			},
		}
	})
}

func TestAccDataSources(t *testing.T) {
	acctest.Run(t, func(database string) []resource.TestStep {
		return []resource.TestStep{
			{Config: acctest.Platform + `
resource "brownie_organization" "globex" {
  name                = "Globex"
  slug                = "globex"
  is_active           = false
  deletion_protection = false
}
resource "brownie_user" "jane" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  email           = "jane@acme.example"
  username        = "jane"
  role            = "admin"
}
resource "brownie_agent_config" "triage" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  name            = "triage"
  agent_type      = "monitoring"
  config          = jsonencode({ a = 1 })
}
resource "brownie_config" "routing" {
  organization_id = brownie_organization.acme.id
  name            = "routing"
  config_type     = "alert"
}

data "brownie_organization" "by_id"   { id = brownie_organization.acme.id }
data "brownie_organization" "by_slug" { slug = brownie_organization.acme.slug }
data "brownie_team" "by_id"           { id = brownie_team.platform.id }
data "brownie_team" "by_slug" {
  organization_id = brownie_organization.acme.id
  slug            = brownie_team.platform.slug
}
data "brownie_user" "by_id"           { id = brownie_user.jane.id }
data "brownie_user" "by_email"        { email = brownie_user.jane.email }
data "brownie_agent_config" "by_id"   { id = brownie_agent_config.triage.id }
data "brownie_agent_config" "by_name" {
  team_id = brownie_team.platform.id
  name    = brownie_agent_config.triage.name
}
data "brownie_config" "by_id"         { id = brownie_config.routing.id }
data "brownie_config" "by_name" {
  organization_id = brownie_organization.acme.id
  name            = brownie_config.routing.name
}
data "brownie_organizations" "all"    { depends_on = [brownie_organization.acme, brownie_organization.globex] }
data "brownie_organizations" "active" {
  is_active  = true
  depends_on = [brownie_organization.acme, brownie_organization.globex]
}
data "brownie_teams" "acme" {
  organization_id = brownie_organization.acme.id
  is_active       = true
  depends_on      = [brownie_team.platform]
}
data "brownie_users" "admins" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  role            = "admin"
  is_active       = true
  depends_on      = [brownie_user.jane]
}
data "brownie_users" "viewers" {
  role       = "viewer"
  depends_on = [brownie_user.jane]
}
data "brownie_organization_usage" "acme" {
  organization_id = brownie_organization.acme.id
  depends_on      = [brownie_user.jane, brownie_agent_config.triage, brownie_config.routing]
}
`, Check: resource.ComposeAggregateTestCheckFunc(
				resource.TestCheckResourceAttrPair("data.brownie_organization.by_slug", "id", "brownie_organization.acme", "id"),
				resource.TestCheckResourceAttrPair("data.brownie_organization.by_id", "slug", "brownie_organization.acme", "slug"),
				resource.TestCheckResourceAttrPair("data.brownie_team.by_slug", "id", "brownie_team.platform", "id"),
				resource.TestCheckResourceAttrPair("data.brownie_team.by_id", "slug", "brownie_team.platform", "slug"),
				resource.TestCheckResourceAttrPair("data.brownie_user.by_email", "id", "brownie_user.jane", "id"),
				resource.TestCheckResourceAttrPair("data.brownie_user.by_id", "email", "brownie_user.jane", "email"),
				resource.TestCheckResourceAttrPair("data.brownie_agent_config.by_name", "id", "brownie_agent_config.triage", "id"),
				resource.TestCheckResourceAttrPair("data.brownie_agent_config.by_id", "config", "brownie_agent_config.triage", "config"),
				resource.TestCheckResourceAttrPair("data.brownie_config.by_name", "id", "brownie_config.routing", "id"),
				resource.TestCheckResourceAttrPair("data.brownie_config.by_id", "status", "brownie_config.routing", "status"),
				acctest.Attributes("data.brownie_organizations.all",
					map[string]string{"organizations.#": "2", "organizations.0.slug": "acme"}),
				acctest.Attributes("data.brownie_organizations.active", map[string]string{"organizations.#": "1"}),
				acctest.Attributes("data.brownie_teams.acme", map[string]string{"teams.#": "1", "teams.0.slug": "platform"}),
				acctest.Attributes("data.brownie_users.admins", map[string]string{"users.#": "1", "users.0.username": "jane"}),
				acctest.Attributes("data.brownie_users.viewers", map[string]string{"users.#": "0"}),
				acctest.Attributes("data.brownie_organization_usage.acme", map[string]string{
					"teams": "1", "users": "1", "incidents": "0", "agent_configs": "1", "configs": "1",
				}),
			)},
			{
				Config:      `data "brownie_organization" "x" { slug = "missing" }`,
				ExpectError: acctest.Says(`There is no organization with slug = "missing"`),
			},
			{Config: `data "brownie_organization" "x" {}`, ExpectError: acctest.Says("[id,slug]")},
			{Config: `data "brownie_team" "x" { slug = "platform" }`, ExpectError: acctest.Says("[organization_id,slug]")},
			{Config: `data "brownie_user" "x" { id = "jane" }`, ExpectError: acctest.Says("must be a UUID")},
			{Config: acctest.Acme}, // a configuration that can be destroyed
		}
	})
}
