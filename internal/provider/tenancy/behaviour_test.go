package tenancy_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// Every bad value is refused while planning, on its attribute, with what is allowed.
func TestAccBadValues(t *testing.T) {
	database := testdb.Migrated(t)
	organization := testdb.Value[string](t, database, `INSERT INTO organizations (name, slug) VALUES ('Globex', 'globex') RETURNING id::text`)
	team := testdb.Value[string](t, database, `INSERT INTO teams (organization_id, name, slug) SELECT id, 'Core', 'core'
		FROM organizations RETURNING id::text`)
	valid := func(resource string, n int) map[string]string {
		switch name, of := fmt.Sprintf(`"a%d"`, n), strconv.Quote(organization); resource {
		case "organization":
			return map[string]string{"name": name, "slug": name}
		case "team":
			return map[string]string{"organization_id": of, "name": name, "slug": name}
		case "user":
			return map[string]string{
				"organization_id": of, "team_id": strconv.Quote(team), "email": fmt.Sprintf(`"a%d@b.example"`, n), "username": name,
			}
		case "agent_config":
			return map[string]string{
				"organization_id": of, "team_id": strconv.Quote(team), "name": name, "agent_type": `"custom"`, "config": `"{}"`,
			}
		case "config":
			return map[string]string{"organization_id": of, "name": name, "config_type": `"alert"`}
		default:
			return nil
		}
	}
	bad := []struct{ resource, attribute, value, allowed string }{
		{"organization", "slug", `"Acme"`, "lower-case letters, digits, hyphens"},
		{"organization", "slug", `"acme inc"`, "lower-case letters, digits, hyphens"},
		{"organization", "slug", `"-acme"`, "begin and end with a letter or digit"},
		{"organization", "slug", `join("", [for _ in range(101) : "a"])`, "at most 100"},
		{"organization", "name", `"  "`, "more than white space"},
		{"organization", "settings", `"{"`, "JSON"},
		{"organization", "settings", `"true"`, "JSON object or array"},
		{"organization", "settings", `"{\n  \"a\": 1,\n}"`, `is not JSON: unexpected "}" at line 3, column 1`},
		{"organization", "settings", `"{\"a\":\"\\u0000\"}"`, `holds \u0000, a character that PostgreSQL cannot store`},
		{"organization", "settings", `"[\"\\ud83d\"]"`, "half of a surrogate pair"},
		{"organization", "name", `join("", [for _ in range(256) : "é"])`, "at most 255"},
		{"organization", "description", `"a\u0000"`, "must not contain the character U+0000"},
		{"organization", "max_teams", `-1`, "between 0 and 2147483647"},
		{"organization", "max_users_per_team", `-1`, "between 0 and 2147483647"},
		{"organization", "max_teams", `3000000000`, "between 0 and 2147483647"},
		{"team", "slug", `"Core Team"`, "lower-case letters, digits, hyphens"},
		{"team", "organization_id", `"acme"`, "must be a UUID"},
		{"team", "permissions", `"[1"`, "JSON"},
		{"team", "settings", `"'a'"`, "JSON"},
		{"user", "email", `"jane"`, "e-mail address such as"},
		{"user", "email", `"Jane <jane@b.example>"`, "e-mail address such as"},
		{"user", "username", `"jane doe"`, "must not contain white space"},
		{"user", "role", `"owner"`, `"admin" "member" "viewer"`},
		{"user", "role", `"ADMIN"`, `"admin" "member" "viewer"`},
		{"user", "team_id", `"platform"`, "must be a UUID"},
		{"user", "preferences", `"null"`, "JSON object or array"},
		{"agent_config", "agent_type", `"robot"`, `"incident_response" "monitoring"`},
		{"agent_config", "config", `"x"`, "JSON"},
		{"agent_config", "config", `"[\"\\udc00\"]"`, "half of a surrogate pair"},
		{"agent_config", "triggers", `"x"`, "JSON"},
		{"agent_config", "tags", `["a\u0000"]`, "must not contain the character U+0000"},
		{"agent_config", "tags", `["a", null]`, "null"},
		{"agent_config", "conditions", `"x"`, "JSON"},
		{"agent_config", "execution_timeout_seconds", `0`, "between 1 and 2147483647"},
		{"agent_config", "max_retries", `-1`, "between 0 and 2147483647"},
		{"agent_config", "retry_delay_seconds", `-1`, "between 0 and 2147483647"},
		{"config", "config_type", `"alerts"`, `"organization" "team" "alert" "agent" "global"`},
		{"config", "status", `"live"`, `"draft" "active" "deprecated" "archived"`},
		{"config", "name_pattern", `"(db"`, "must be a regular expression"},
		{"config", "severity_pattern", `"*"`, "must be a regular expression"},
		{"config", "team_pattern", `"[a"`, "must be a regular expression"},
		{"config", "config_json", `"[1,"`, "JSON"},
		{"config", "priority", `3000000000`, "2147483647"},
		{"migration", "version", `0`, "at least 1"},
	}
	var blocks []string
	left := map[int]bool{}
	for n, b := range bad {
		block := fmt.Sprintf("resource \"brownie_%s\" \"bad_%d\" {\n  %s = %s\n", b.resource, n, b.attribute, b.value)
		for name, value := range valid(b.resource, n) {
			if name != b.attribute {
				block += fmt.Sprintf("  %s = %s\n", name, value)
			}
		}
		blocks = append(blocks, block+"}\n")
		left[n] = true
	}
	w := acctest.NewWorkspace(t, database, "")
	// What the database could not hold is refused first, by the validation, and the rest by the plan.
	for range 2 {
		var config strings.Builder
		for n := range left {
			config.WriteString(blocks[n])
		}
		w.Write(config.String())
		for _, d := range w.PlanErrors() {
			var n int
			if _, err := fmt.Sscanf(d.Block[max(strings.Index(d.Block, "bad_"), 0):], "bad_%d", &n); err != nil {
				t.Errorf("%+v", d)
				continue
			}
			delete(left, n)
			if d.Attribute != bad[n].attribute || !acctest.Says(bad[n].allowed).MatchString(d.Text) {
				t.Errorf("%s %s = %s: %+v does not say %q", bad[n].resource, bad[n].attribute, bad[n].value, d, bad[n].allowed)
			}
		}
	}
	for n := range left {
		t.Errorf("%s %s = %s was accepted", bad[n].resource, bad[n].attribute, bad[n].value)
	}
}

func TestAccDuplicates(t *testing.T) {
	const jane = `
resource "brownie_user" "jane" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  email           = "jane@acme.example"
  username        = "jane"
  oidc_subject    = "sub-1"
}
`
	const others = `
resource "brownie_agent_config" "triage" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  name            = "triage"
  agent_type      = "custom"
  config          = "{}"
}
resource "brownie_config" "routing" {
  organization_id = brownie_organization.acme.id
  name            = "routing"
  config_type     = "alert"
}
`
	importBlock := func(address string) *regexp.Regexp {
		return regexp.MustCompile(`(?s)already has.*import \{[\s│]+to = ` + address + `\.NAME[\s│]+id = "[0-9a-f-]{36}"`)
	}
	base := acctest.Platform + jane + others
	acctest.Run(t, func(string) []resource.TestStep {
		return []resource.TestStep{
			{Config: base},
			{Config: base + `
resource "brownie_organization" "again" {
  name = "Other"
  slug = "acme"
}`, ExpectError: importBlock("brownie_organization")},
			{Config: base + `
resource "brownie_organization" "again" {
  name = "Acme"
  slug = "other"
}`, ExpectError: acctest.Says(`already has name "Acme"`)},
			{Config: base + `
resource "brownie_team" "again" {
  organization_id = brownie_organization.acme.id
  name            = "Again"
  slug            = "platform"
}`, ExpectError: importBlock("brownie_team")},
			{Config: base + `
resource "brownie_user" "again" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  email           = "jane@acme.example"
  username        = "jane2"
}`, ExpectError: importBlock("brownie_user")},
			{Config: base + `
resource "brownie_user" "again" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  email           = "jane2@acme.example"
  username        = "jane"
}`, ExpectError: acctest.Says(`already has username "jane"`)},
			{Config: base + `
resource "brownie_user" "again" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  email           = "jane2@acme.example"
  username        = "jane2"
  oidc_subject    = "sub-1"
}`, ExpectError: acctest.Says(`already has oidc_subject "sub-1"`)},
			{Config: base + `
resource "brownie_agent_config" "again" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  name            = "triage"
  agent_type      = "custom"
  config          = "{}"
}`, ExpectError: importBlock("brownie_agent_config")},
			{Config: base + `
resource "brownie_config" "again" {
  organization_id = brownie_organization.acme.id
  name            = "routing"
  config_type     = "alert"
}`, ExpectError: importBlock("brownie_config")},
		}
	})
}

func TestAccLimits(t *testing.T) {
	limited := `
resource "brownie_organization" "acme" {
  name                = "Acme"
  slug                = "acme"
  max_teams           = 1
  max_users_per_team  = 1
  deletion_protection = false
}
resource "brownie_team" "platform" {
  organization_id = brownie_organization.acme.id
  name            = "Platform"
  slug            = "platform"
}
resource "brownie_user" "jane" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  email           = "jane@acme.example"
  username        = "jane"
}
`
	acctest.Run(t, func(string) []resource.TestStep {
		return []resource.TestStep{
			{Config: limited},
			{Config: limited + `
resource "brownie_team" "second" {
  organization_id = brownie_organization.acme.id
  name            = "Second"
  slug            = "second"
}`, ExpectError: acctest.Says(`organization "acme" has 1 teams, and its limit max_teams is 1`)},
			{Config: limited + `
resource "brownie_user" "joe" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  email           = "joe@acme.example"
  username        = "joe"
}`, ExpectError: acctest.Says(`team "platform" of organization "acme" has 1 users, and its limit max_users_per_team is 1`)},
		}
	})
}

func TestAccForeignTeamsAreRefused(t *testing.T) {
	base := acctest.Platform + `
resource "brownie_organization" "globex" {
  name                = "Globex"
  slug                = "globex"
  deletion_protection = false
}
resource "brownie_team" "core" {
  organization_id = brownie_organization.globex.id
  name            = "Core"
  slug            = "core"
}
`
	user := func(team string) string {
		return base + `
resource "brownie_user" "jane" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.` + team + `.id
  email           = "jane@acme.example"
  username        = "jane"
}`
	}
	refused := acctest.Says(`team "core"`)
	both := regexp.MustCompile(`(?s)belongs to[\s│]+organization[\s│]+"globex".*organization[\s│]+"acme"`)
	acctest.Run(t, func(string) []resource.TestStep {
		return []resource.TestStep{
			{Config: user("core"), ExpectError: both}, // while creating
			{Config: user("platform")},
			{Config: user("core"), PlanOnly: true, ExpectError: both}, // while planning the move
			{Config: user("core"), PlanOnly: true, ExpectError: refused},
			{
				Config: acctest.Acme + `
resource "brownie_organization" "globex" {
  name                = "Globex"
  slug                = "globex"
  deletion_protection = false
}
resource "brownie_team" "platform" {
  organization_id = brownie_organization.globex.id
  name            = "Platform"
  slug            = "platform"
}`, PlanOnly: true,
				ExpectError: regexp.MustCompile(`(?s)team "platform" belongs to[\s│]+organization[\s│]+"acme".*cannot[\s│]+be[\s│]+given[\s│]+to[\s│]+organization[\s│]+"globex"`),
			},
		}
	})
}

func TestAccProtectedOrganization(t *testing.T) {
	protected := `
resource "brownie_organization" "acme" {
  name = "Acme"
  slug = "acme"
}`
	refused := regexp.MustCompile(`(?s)organization "acme" is[\s│]+protected.*set[\s│]+deletion_protection[\s│]+=[\s│]+false`)
	acctest.Run(t, func(string) []resource.TestStep {
		return []resource.TestStep{
			{Config: protected},
			{Config: protected, Destroy: true, PlanOnly: true, ExpectError: refused},
			{Config: ` `, ExpectError: refused}, // the block was removed
			{Config: acctest.Acme, ConfigPlanChecks: acctest.Planned("brownie_organization.acme", plancheck.ResourceActionUpdate)},
		}
	})
}

func TestAccOrganizationWithIncidents(t *testing.T) {
	forced := acctest.Acme[:len(acctest.Acme)-2] + "  force_destroy = true\n}\n" + acctest.Platform[len(acctest.Acme):]
	acctest.Run(t, func(database string) []resource.TestStep {
		counted := acctest.Says(`still has 2 incidents`)
		return []resource.TestStep{
			{Config: acctest.Platform},
			{
				PreConfig: acctest.BehindTerraformsBack(t, database, `INSERT INTO incidents (organization_id, team_id, title)
					SELECT organization_id, id, title FROM teams, (VALUES ('a'), ('b')) AS incidents (title)`),
				Config: acctest.Platform, Destroy: true, ExpectError: counted,
			},
			{
				PreConfig: func() {
					if n := testdb.Value[int](t, database,
						`SELECT (SELECT count(*) FROM incidents) * 100 + (SELECT count(*) FROM teams) * 10
						+ (SELECT count(*) FROM organizations)`); n != 211 {
						t.Errorf("after the refused destroy the counts are %d, want 2 incidents, 1 team, 1 organization", n)
					}
				},
				Config: acctest.Platform, PlanOnly: true,
			},
			{Config: forced, ConfigPlanChecks: acctest.Planned("brownie_organization.acme", plancheck.ResourceActionUpdate)},
			{Config: forced, Destroy: true},
		}
	})
}

// An organization whose teams Terraform does not manage.
func TestAccOrganizationWithForeignRows(t *testing.T) {
	acctest.Run(t, func(database string) []resource.TestStep {
		return []resource.TestStep{
			{Config: acctest.Acme},
			{
				PreConfig: acctest.BehindTerraformsBack(t, database, `WITH team AS (
						INSERT INTO teams (organization_id, name, slug) SELECT id, 'x', 'x' FROM organizations RETURNING *)
					INSERT INTO incidents (organization_id, team_id, title) SELECT organization_id, id, 'x' FROM team`),
				Config: acctest.Acme, Destroy: true, ExpectError: acctest.Says("still has 1 team, 1 incident"),
			},
			{PreConfig: acctest.BehindTerraformsBack(t, database, `DELETE FROM teams`), Config: acctest.Acme, PlanOnly: true},
		}
	})
}

func TestAccChangedBetweenPlanAndApply(t *testing.T) {
	renamed := acctest.Acme[:len(acctest.Acme)-2] + "  description = \"new\"\n}\n"
	acctest.Run(t, func(database string) []resource.TestStep {
		return []resource.TestStep{
			{Config: acctest.Acme},
			{
				Config: renamed,
				ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
					acctest.BetweenPlanAndApply(t, database, `UPDATE organizations SET max_teams = 99`),
				}},
				ExpectError: acctest.Says(`max_teams was 10 when the change was planned and is 99 now`),
			},
			{
				PreConfig: func() {
					if !testdb.Value[bool](t, database, `SELECT max_teams = 99 AND description IS NULL FROM organizations`) {
						t.Error("the row was overwritten")
					}
				},
				Config: renamed, // plans again, from the present values
				Check:  acctest.Attributes("brownie_organization.acme", map[string]string{"max_teams": "10", "description": "new"}),
			},
		}
	})
}

// A row that vanishes between plan and apply is named, too.
func TestAccDeletedBetweenPlanAndApply(t *testing.T) {
	acctest.Run(t, func(database string) []resource.TestStep {
		return []resource.TestStep{
			{Config: acctest.Acme},
			{
				Config: acctest.Acme[:len(acctest.Acme)-2] + "  description = \"new\"\n}\n",
				ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
					acctest.BetweenPlanAndApply(t, database, `DELETE FROM organizations`),
				}},
				ExpectError: acctest.Says(`organization "acme": it does not exist any more`),
			},
		}
	})
}

func TestAccSchemaIsNotMigrated(t *testing.T) {
	block := acctest.ProviderBlock(t, testdb.Empty(t), "")
	resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{
		{Config: block + acctest.Acme, ExpectError: acctest.Says("schema is not migrated: add a brownie_migration resource")},
		{Config: block + `data "brownie_users" "all" {}`, ExpectError: acctest.Says("schema is not migrated: add a " +
			"brownie_migration resource")},
	}})
}
