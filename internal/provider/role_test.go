package provider_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

func TestAccRole(t *testing.T) {
	lifecycle{
		address: "brownie_role.app", key: "lifecycle-app", idIsKey: true,
		created: acme + `
resource "brownie_role" "app" {
  name            = "lifecycle-app"
  access          = "reader"
  organization_id = brownie_organization.acme.id
}`,
		updated: acme + `
resource "brownie_role" "app" {
  name                = "lifecycle-app"
  access              = "writer"
  organization_id     = brownie_organization.acme.id
  pooled              = false
  connection_limit    = 5
  statement_timeout   = "90s"
  valid_until         = "2099-12-31T00:00:00+01:00"
  reassign_owned_to   = "postgres"
  deletion_protection = false
}`,
		check: attributes("brownie_role.app", map[string]string{
			"id": "lifecycle-app", "access": "writer", "pooled": "false", "connection_limit": "5", "statement_timeout": "90s",
			"valid_until": "2099-12-31T00:00:00+01:00", "member_of.#": "1", "member_of.0": "brownie_writer", "attributes.#": "3",
		}),
		drift: `ALTER ROLE "lifecycle-app" NOLOGIN BYPASSRLS PASSWORD 'x' CONNECTION LIMIT 7 VALID UNTIL '2020-01-01'; ` +
			`ALTER ROLE "lifecycle-app" SET statement_timeout = '1min'; GRANT brownie_all_tenants TO "lifecycle-app"`,
		remove: `DROP OWNED BY "lifecycle-app"; DROP ROLE "lifecycle-app"; DELETE FROM brownie.role_bindings`,
		// Known to Terraform only; and the same times and durations, written otherwise, for which nothing is planned.
		ignoredByImport: []string{"reassign_owned_to", "deletion_protection", "valid_until", "statement_timeout"},
	}.run(t)
}

// Another way to write the same time or duration is no change.
func TestAccRoleWrittenOtherwise(t *testing.T) {
	acceptance(t, func(string) []resource.TestStep {
		return []resource.TestStep{
			{Config: role("otherwise", "access = \"reader\"\nstatement_timeout = \"90s\"\nvalid_until = \"2099-12-31T00:00:00Z\"")},
			{
				Config:           role("otherwise", "access = \"reader\"\nstatement_timeout = \"1m30s\"\nvalid_until = \"2099-12-31T01:00:00+01:00\""),
				ConfigPlanChecks: planned("brownie_role.otherwise", plancheck.ResourceActionNoop),
			},
		}
	})
}

func role(name, arguments string) string {
	return fmt.Sprintf("resource \"brownie_role\" %q {\n  name = %q\n  %s\n}\n", strings.ReplaceAll(name, " ", "-"), name, arguments)
}

func TestAccRoleIsRenamedInPlace(t *testing.T) {
	var oid string
	acceptance(t, func(database string) []resource.TestStep {
		sameOID := func(s *terraform.State) error {
			now := s.RootModule().Resources["brownie_role.r"].Primary.Attributes["oid"]
			if oid != "" && oid != now {
				return fmt.Errorf("the role was replaced: oid %s became %s", oid, now)
			}
			oid = now
			return nil
		}
		named := func(name string) string {
			return `resource "brownie_role" "r" {
  name   = "` + name + `"
  access = "writer"
}
data "brownie_role" "r" {
  name       = brownie_role.r.name
  depends_on = [brownie_role.r]
}`
		}
		return []resource.TestStep{
			{Config: named("renamed-1"), Check: sameOID},
			{
				Config: named("renamed-2"), ConfigPlanChecks: planned("brownie_role.r", plancheck.ResourceActionUpdate),
				Check: resource.ComposeAggregateTestCheckFunc(sameOID,
					attributes("brownie_role.r", map[string]string{"id": "renamed-2", "member_of.#": "3"}),
					attributes("data.brownie_role.r", map[string]string{"access": "writer", "pooled": "true", "member_of.0": "brownie_all_tenants"})),
			},
			{
				Config: strings.Replace(named("renamed-2"), "access = ", "locked = true\n  access = ", 1), ConfigPlanChecks: planned("brownie_role.r", plancheck.ResourceActionUpdate),
				Check: resource.ComposeAggregateTestCheckFunc(sameOID, attributes("brownie_role.r", map[string]string{"locked": "true", "attributes.#": "2"}),
					attributes("data.brownie_role.r", map[string]string{"locked": "true"})),
			},
			{Config: named("renamed-2"), Check: attributes("brownie_role.r", map[string]string{"locked": "false", "attributes.#": "3"})},
			{ // somebody else made a role of the next name
				PreConfig: behindTerraformsBack(t, database, `CREATE ROLE "renamed-3"`),
				Config:    named("renamed-3"), ExpectError: says(`a role named "renamed-3" exists already`),
			},
			{
				PreConfig: behindTerraformsBack(t, database, `DROP ROLE "renamed-3"`), Config: named("renamed-2"),
				ConfigPlanChecks: planned("brownie_role.r", plancheck.ResourceActionNoop),
			},
		}
	})
}

// What somebody changed behind Terraform's back shows in the plan, attribute by attribute.
func TestAccDriftOfARoleShowsInThePlan(t *testing.T) {
	for name, drift := range map[string]string{
		"password":   `ALTER ROLE "drift-role" PASSWORD 'x'`,
		"membership": `REVOKE brownie_pooled FROM "drift-role"`,
		"escalation": `GRANT brownie_all_tenants TO "drift-role"`,
		"binding":    `DELETE FROM brownie.role_bindings`,
		"connect":    `DO $$ BEGIN EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM "drift-role"', current_database()); END $$`,
		"superuser":  `ALTER ROLE "drift-role" SUPERUSER`,
	} {
		t.Run(name, func(t *testing.T) {
			roleName := "drift-role-" + name
			config := acme + fmt.Sprintf(`
resource "brownie_role" "drift" {
  name            = %q
  access          = "reader"
  organization_id = brownie_organization.acme.id
}`, roleName)
			acceptance(t, func(database string) []resource.TestStep {
				return []resource.TestStep{
					{Config: config},
					{
						PreConfig:        behindTerraformsBack(t, database, strings.ReplaceAll(drift, "drift-role", roleName)),
						Config:           config,
						ConfigPlanChecks: planned("brownie_role.drift", plancheck.ResourceActionUpdate),
						Check: attributes("brownie_role.drift", map[string]string{
							"attributes.0": "CONNECT", "attributes.1": "INHERIT", "attributes.2": "LOGIN", "attributes.#": "3", "member_of.#": "2", "access": "reader",
						}),
					},
				}
			})
		})
	}
}

func TestAccBadRoles(t *testing.T) {
	const organization = `organization_id = "0b2a6a3c-9f5c-4c8e-8d0e-3f1f6d6a2b11"`
	acceptance(t, func(string) []resource.TestStep {
		bad := func(config, words string) resource.TestStep {
			return resource.TestStep{Config: config, PlanOnly: true, ExpectError: says(words)}
		}
		return []resource.TestStep{
			bad(role("r", `access = "owner"`), `access value must be one of`),
			bad(role("r", `access = "monitor"`+"\n"+organization), `access is "monitor", which is never for one organization`),
			bad(role("r", `access = "pooler"`+"\n"+`pooled = true`), `the pooler's own role cannot log in through the pooler`),
			bad(role("r", `access = "reader"`+"\n"+`statement_timeout = "0s"`), `statement_timeout is "0s"`),
			bad(role("r", `access = "reader"`+"\n"+`statement_timeout = "1500us"`), `it must be a duration of whole milliseconds`),
			bad(role("r", `access = "reader"`+"\n"+`connection_limit = -2`), `connection_limit value must be between -1 and`),
			bad(role("r", `access = "reader"`+"\n"+`valid_until = "tomorrow"`), `valid_until`),
			bad(role("r", `access = "reader"`+"\n"+`valid_until = "0000-01-01T00:00:00Z"`), `it must be a time after the year 0`),
			bad(role("r", `access = "reader"`+"\n"+`reassign_owned_to = "r"`), `reassign_owned_to is the role itself`),
			bad(role("pg_reader", `access = "reader"`), `name is "pg_reader"`),
			bad(role("brownie_admin", `access = "reader"`), `name is "brownie_admin"`),
			bad(role("with space", `access = "reader"`), `name is "with space"`),
			bad(role(strings.Repeat("x", 64), `access = "reader"`), `at most 63 characters`),
			{
				Config:      role("nowhere", `access = "reader"`+"\n"+organization),
				ExpectError: says(`there is no organization with id 0b2a6a3c-9f5c-4c8e-8d0e-3f1f6d6a2b11`),
			},
		}
	})
}

// Which roles do not end with valid_until is told before somebody relies on it.
func TestAccValidUntilOfRolesWithoutRows(t *testing.T) {
	for level, warned := range map[string]bool{"monitor": true, "migrator": true, "backup": false} {
		config := role("r", fmt.Sprintf("access = %q\nvalid_until = \"2030-01-01T00:00:00Z\"", level))
		output := newWorkspaceWith(t, nil, config).mustRun("validate")
		if says("valid_until does not stop a "+level).MatchString(output) != warned {
			t.Errorf("%s: a warning must be %t:\n%s", level, warned, output)
		}
	}
}

func TestAccProtectedRole(t *testing.T) {
	acceptance(t, func(string) []resource.TestStep {
		return []resource.TestStep{
			{Config: role("protected", "access = \"monitor\"\ndeletion_protection = true")},
			{Config: acme, ExpectError: says(`role "protected" is protected`)},
			{Config: role("protected", `access = "monitor"`)},
		}
	})
}

// The plan of a destroy says what will be in its way, and destroys nothing.
func TestAccRoleWithObjects(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	w := newWorkspace(t, database, role("owning", `access = "migrator"`)+role("heir", `access = "migrator"`))
	w.mustRun("apply", "-auto-approve")
	testdb.Exec(t, database, `CREATE TABLE reports (id int); ALTER TABLE reports OWNER TO owning`)
	plan := w.mustRun("plan", "-destroy")
	for _, part := range []string{"table public.reports", "reassign_owned_to"} {
		if !strings.Contains(plan, part) {
			t.Errorf("the plan of the destroy does not mention %s:\n%s", part, plan)
		}
	}
	if output, err := w.run("destroy", "-auto-approve"); err == nil || !strings.Contains(output, "table public.reports") {
		t.Errorf("the role was destroyed: %s", output)
	}
	heir := role("heir", "access = \"migrator\"\nreassign_owned_to = \"postgres\"")
	w.write(role("owning", "access = \"migrator\"\nreassign_owned_to = \"heir\"") + heir)
	w.mustRun("apply", "-auto-approve")
	w.write(heir)
	w.mustRun("apply", "-auto-approve")
	if owner := testdb.Value[string](t, database, `SELECT tableowner FROM pg_tables WHERE tablename = 'reports'`); owner != "heir" {
		t.Errorf("the table belongs to %s", owner)
	}
	w.mustRun("destroy", "-auto-approve")
}

// Several applies create, change and drop 20 roles each at once.
func TestAccRolesOfSeveralAppliesAtOnce(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	var group sync.WaitGroup
	for n := range 3 {
		config := func(access string) string {
			return fmt.Sprintf(`
resource "brownie_role" "r" {
  count  = 20
  name   = "several-%d-${count.index}"
  access = %q
}`, n, access)
		}
		w := newWorkspace(t, database, config("reader"))
		group.Go(func() {
			for _, step := range []struct{ config, command string }{{config("reader"), "apply"}, {config("admin"), "apply"}, {config("admin"), "destroy"}} {
				w.write(step.config)
				if output, err := w.run(step.command, "-auto-approve", "-parallelism=20"); err != nil {
					t.Errorf("%s: %s\n%s", step.command, err, output)
					return
				}
			}
		})
	}
	group.Wait()
	if left := testdb.Value[int](t, database, `SELECT count(*) FROM pg_roles WHERE rolname LIKE 'several-%'`); left != 0 {
		t.Errorf("%d roles are left", left)
	}
}
