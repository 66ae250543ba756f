package access_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

func TestAccRole(t *testing.T) {
	acctest.Lifecycle{
		Address: "brownie_role.app", Key: "lifecycle-app", IDIsKey: true,
		Created: acctest.Acme + `
resource "brownie_role" "app" {
  name            = "lifecycle-app"
  access          = "reader"
  organization_id = brownie_organization.acme.id
}`,
		Updated: acctest.Acme + `
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
		Check: acctest.Attributes("brownie_role.app", map[string]string{
			"id": "lifecycle-app", "access": "writer", "pooled": "false", "connection_limit": "5", "statement_timeout": "90s",
			"valid_until": "2099-12-31T00:00:00+01:00", "member_of.#": "1", "member_of.0": "brownie_writer", "attributes.#": "3",
		}),
		Drift: `ALTER ROLE "lifecycle-app" NOLOGIN BYPASSRLS PASSWORD 'x' CONNECTION LIMIT 7 VALID UNTIL '2020-01-01'; ` +
			`ALTER ROLE "lifecycle-app" SET statement_timeout = '1min'; GRANT brownie_all_tenants TO "lifecycle-app"`,
		Remove: `DROP OWNED BY "lifecycle-app"; DROP ROLE "lifecycle-app"; DELETE FROM brownie.role_bindings`,
		// Known to Terraform only; and the same times and durations, written otherwise, for which nothing is planned.
		IgnoredByImport: []string{"reassign_owned_to", "deletion_protection", "valid_until", "statement_timeout"},
	}.Run(t)
}

// Another way to write the same time or duration is no change.
func TestAccRoleWrittenOtherwise(t *testing.T) {
	acctest.Run(t, func(string) []resource.TestStep {
		return []resource.TestStep{
			{Config: role("otherwise", "access = \"reader\"\nstatement_timeout = \"90s\"\nvalid_until = \"2099-12-31T00:00:00Z\"")},
			{
				Config: role("otherwise", "access = \"reader\"\nstatement_timeout = \"1m30s\"\nvalid_until = "+
					"\"2099-12-31T01:00:00+01:00\""),
				ConfigPlanChecks: acctest.Planned("brownie_role.otherwise", plancheck.ResourceActionNoop),
			},
		}
	})
}

func role(name, arguments string) string {
	return fmt.Sprintf("resource \"brownie_role\" %q {\n  name = %q\n  %s\n}\n", strings.ReplaceAll(name, " ", "-"), name, arguments)
}

func TestAccRoleIsRenamedInPlace(t *testing.T) {
	var oid string
	acctest.Run(t, func(database string) []resource.TestStep {
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
				Config: named("renamed-2"), ConfigPlanChecks: acctest.Planned("brownie_role.r", plancheck.ResourceActionUpdate),
				Check: resource.ComposeAggregateTestCheckFunc(sameOID,
					acctest.Attributes("brownie_role.r", map[string]string{"id": "renamed-2", "member_of.#": "3"}),
					acctest.Attributes("data.brownie_role.r", map[string]string{
						"access": "writer", "pooled": "true",
						"member_of.0": "brownie_all_tenants",
					})),
			},
			{
				Config:           strings.Replace(named("renamed-2"), "access = ", "locked = true\n  access = ", 1),
				ConfigPlanChecks: acctest.Planned("brownie_role.r", plancheck.ResourceActionUpdate),
				Check: resource.ComposeAggregateTestCheckFunc(sameOID,
					acctest.Attributes("brownie_role.r", map[string]string{"locked": "true", "attributes.#": "2"}),
					acctest.Attributes("data.brownie_role.r", map[string]string{"locked": "true"})),
			},
			{
				Config: named("renamed-2"),
				Check:  acctest.Attributes("brownie_role.r", map[string]string{"locked": "false", "attributes.#": "3"}),
			},
			{ // somebody else made a role of the next name
				PreConfig: acctest.BehindTerraformsBack(t, database, `CREATE ROLE "renamed-3"`),
				Config:    named("renamed-3"), ExpectError: acctest.Says(`a role named "renamed-3" exists already`),
			},
			{
				PreConfig: acctest.BehindTerraformsBack(t, database, `DROP ROLE "renamed-3"`), Config: named("renamed-2"),
				ConfigPlanChecks: acctest.Planned("brownie_role.r", plancheck.ResourceActionNoop),
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
		"connect":    `DO $$ BEGIN EXECUTE format('REVOKE %I FROM "drift-role"', 'brownie_connect_' || current_database()); END $$`,
		"superuser":  `ALTER ROLE "drift-role" SUPERUSER`,
	} {
		t.Run(name, func(t *testing.T) {
			roleName := "drift-role-" + name
			config := acctest.Acme + fmt.Sprintf(`
resource "brownie_role" "drift" {
  name            = %q
  access          = "reader"
  organization_id = brownie_organization.acme.id
}`, roleName)
			acctest.Run(t, func(database string) []resource.TestStep {
				return []resource.TestStep{
					{Config: config},
					{
						PreConfig:        acctest.BehindTerraformsBack(t, database, strings.ReplaceAll(drift, "drift-role", roleName)),
						Config:           config,
						ConfigPlanChecks: acctest.Planned("brownie_role.drift", plancheck.ResourceActionUpdate),
						Check: acctest.Attributes("brownie_role.drift", map[string]string{
							"attributes.0": "CONNECT", "attributes.1": "INHERIT", "attributes.2": "LOGIN", "attributes.#": "3",
							"member_of.#": "2", "access": "reader",
						}),
					},
				}
			})
		})
	}
}

func TestAccBadRoles(t *testing.T) {
	const organization = `organization_id = "0b2a6a3c-9f5c-4c8e-8d0e-3f1f6d6a2b11"`
	acctest.Run(t, func(string) []resource.TestStep {
		bad := func(config, words string) resource.TestStep {
			return resource.TestStep{Config: config, PlanOnly: true, ExpectError: acctest.Says(words)}
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
			bad(role("pg_reader", `access = "reader"`), `name is "pg_reader", which begins with pg_ as PostgreSQL's own roles do: it `+
				`must consist of`),
			bad(role("brownie_admin", `access = "reader"`), `name is "brownie_admin", which is the group role of an access level: it `+
				`must consist of`),
			bad(role("PUBLIC", `access = "reader"`), `name is "PUBLIC", which is a keyword of PostgreSQL's and no role: it must `+
				`consist of`),
			bad(role("none", `access = "reader"`), `name is "none", which is a keyword of PostgreSQL's`),
			bad(role("Current_User", `access = "reader"`), `name is "Current_User", which is a keyword of PostgreSQL's`),
			bad(role("session_user", `access = "reader"`), `name is "session_user", which is a keyword of PostgreSQL's`),
			bad(role("current_role", `access = "reader"`), `name is "current_role", which is a keyword of PostgreSQL's`),
			bad(role("user", `access = "reader"`), `name is "user", which is a keyword of PostgreSQL's`),
			bad(role("r", `access = "reader"`+"\n"+`reassign_owned_to = "current_user"`), `reassign_owned_to is "current_user", which `+
				`is a keyword of PostgreSQL's and no role`),
			bad(role("r", `access = "reader"`+"\n"+`reassign_owned_to = "public"`), `reassign_owned_to is "public", which is a `+
				`keyword of PostgreSQL's and no role`),
			bad(role("pgbouncer", `access = "reader"`), `name is "pgbouncer", the name of the pooler, whose certificate opens the `+
				`roles that may use it: choose another name, unless access is "pooler".`),
			bad(role("PgBouncer", `access = "writer"`), `name is "PgBouncer", the name of the pooler`),
			bad(role("with space", `access = "reader"`), `name is "with space"`),
			bad(role(strings.Repeat("x", 64), `access = "reader"`), `at most 63 characters`),
			{
				Config:      role("nowhere", `access = "reader"`+"\n"+organization),
				ExpectError: acctest.Says(`there is no organization with id 0b2a6a3c-9f5c-4c8e-8d0e-3f1f6d6a2b11`),
			},
		}
	})
}

// A tenant cannot take all connections unless somebody asked for that. What another version of the provider, or somebody
// else, left without a limit gets one in place.
func TestAccConnectionLimitOfARole(t *testing.T) {
	ofAcme := "access = \"reader\"\norganization_id = brownie_organization.acme.id\n"
	limit := func(name, value string) resource.TestCheckFunc {
		return acctest.Attributes("brownie_role."+name, map[string]string{"connection_limit": value})
	}
	config := func(tenant string) string {
		return acctest.Acme + role("limited", tenant) + role("limited-server", `access = "admin"`) + role("limited-migrator", `access `+
			`= "migrator"`)
	}
	acctest.Run(t, func(database string) []resource.TestStep {
		inDatabase := func(want int) resource.TestCheckFunc {
			return func(*terraform.State) error {
				if got := testdb.Value[int](t, database, `SELECT rolconnlimit FROM pg_roles WHERE rolname = 'limited'`); got != want {
					return fmt.Errorf("the role may have %d connections, want %d", got, want)
				}
				return nil
			}
		}
		update := acctest.Planned("brownie_role.limited", plancheck.ResourceActionUpdate)
		return []resource.TestStep{
			{
				Config: config(ofAcme),
				Check: resource.ComposeAggregateTestCheckFunc(limit("limited", "20"), inDatabase(20),
					limit("limited-server", "-1"), limit("limited-migrator", "-1")),
			},
			{
				Config: config(ofAcme + "connection_limit = -1"), ConfigPlanChecks: update,
				Check: resource.ComposeAggregateTestCheckFunc(limit("limited", "-1"), inDatabase(-1)),
			},
			{
				Config: config(ofAcme), ConfigPlanChecks: update,
				Check: resource.ComposeAggregateTestCheckFunc(limit("limited", "20"), inDatabase(20)),
			},
			{
				PreConfig: acctest.BehindTerraformsBack(t, database, `ALTER ROLE limited CONNECTION LIMIT -1`),
				Config:    config(ofAcme), ConfigPlanChecks: update, Check: inDatabase(20),
			},
			{Config: config(`access = "reader"`), ConfigPlanChecks: update, Check: limit("limited", "-1")},
			{Config: config(ofAcme), ConfigPlanChecks: update, Check: limit("limited", "20")},
		}
	})
}

// Whether there is an organization may be known at the apply only.
func TestAccConnectionLimitThatIsKnownLater(t *testing.T) {
	acctest.Run(t, func(string) []resource.TestStep {
		return []resource.TestStep{{
			Config: acctest.Acme + `resource "terraform_data" "later" { input = "none" }` + "\n" +
				role("later-none", "access = \"reader\"\norganization_id = terraform_data.later.output == \"none\" ? null : "+
					"brownie_organization.acme.id") +
				role("later-acme", "access = \"reader\"\norganization_id = terraform_data.later.output == \"none\" ? "+
					"brownie_organization.acme.id : null"),
			Check: resource.ComposeAggregateTestCheckFunc(acctest.Attributes("brownie_role.later-none",
				map[string]string{"connection_limit": "-1"}),
				acctest.Attributes("brownie_role.later-acme", map[string]string{"connection_limit": "20"})),
		}}
	})
}

func TestAccWhichRolesArePooled(t *testing.T) {
	levels := map[string]string{
		"reader": "true", "writer": "true", "admin": "true", "migrator": "false", "monitor": "false", "backup": "false", "pooler": "false",
	}
	var defaults string
	var checks []resource.TestCheckFunc
	for level, pooled := range levels {
		defaults += role("pooled-"+level, fmt.Sprintf("access = %q", level))
		checks = append(checks, acctest.Attributes("brownie_role.pooled-"+level, map[string]string{"pooled": pooled}))
	}
	const asked = "access = \"migrator\"\npooled = true"
	acctest.Run(t, func(string) []resource.TestStep {
		return []resource.TestStep{
			{Config: defaults, Check: resource.ComposeAggregateTestCheckFunc(checks...)},
			{ // as it was made when that was the default
				Config: role("pooled-migrator", asked), Check: acctest.Attributes("brownie_role.pooled-migrator",
					map[string]string{"pooled": "true", "member_of.#": "2"}),
			},
			{
				Config:           role("pooled-migrator", `access = "migrator"`),
				ConfigPlanChecks: acctest.Planned("brownie_role.pooled-migrator", plancheck.ResourceActionUpdate),
				Check: acctest.Attributes("brownie_role.pooled-migrator",
					map[string]string{"pooled": "false", "member_of.#": "1"}),
			},
		}
	})
}

// What pg_ident.conf says is met at the apply, and told with the line.
func TestAccNameFromWhichCertificatesAreMapped(t *testing.T) {
	t.Parallel()
	server, err := devstack.StartPostgres(t.Context(), devstack.Options{HBA: []string{"# a server of its own, whose pg_ident.conf is " +
		"changed"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	admin, err := acctest.ConnectAs(t, server, "postgres", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	const mapping = `DO $$ BEGIN EXECUTE format('COPY (SELECT %L) TO PROGRAM %L', 'brownie gateway +brownie_pooled', 'cat >> ' || ` +
		`current_setting('ident_file')); END $$`
	if _, err := admin.Exec(t.Context(), mapping); err != nil {
		t.Fatal(err)
	}
	config := func(access string) string {
		return "resource \"brownie_migration\" \"schema\" {}\n" + role("gateway", fmt.Sprintf("access = %q\ndepends_on = "+
			"[brownie_migration.schema]", access))
	}
	w := acctest.NewWorkspaceWith(t, server.Env("postgres"), config("reader"))
	output, err := w.Apply()
	if err == nil || !acctest.Says(`Error: Cannot create role`).MatchString(output) ||
		!acctest.Says(`(map brownie) lets a certificate of that name log in as +brownie_pooled. Nothing was changed. Only the pooler's `+
			`role may have such a name`).MatchString(output) {
		t.Errorf("%v\n%s", err, output)
	}
	w.Write(config("pooler"))
	w.MustRun("apply", "-auto-approve")
	w.NoChanges()
}

// Which roles do not end with valid_until is told before somebody relies on it.
func TestAccValidUntilOfRolesWithoutRows(t *testing.T) {
	for level, warned := range map[string]bool{"monitor": true, "migrator": true, "backup": false} {
		config := role("r", fmt.Sprintf("access = %q\nvalid_until = \"2030-01-01T00:00:00Z\"", level))
		output := acctest.NewWorkspaceWith(t, nil, config).MustRun("validate")
		if acctest.Says("valid_until does not stop a "+level).MatchString(output) != warned {
			t.Errorf("%s: a warning must be %t:\n%s", level, warned, output)
		}
	}
}

func TestAccProtectedRole(t *testing.T) {
	acctest.Run(t, func(string) []resource.TestStep {
		return []resource.TestStep{
			{Config: role("protected", "access = \"monitor\"\ndeletion_protection = true")},
			{Config: acctest.Acme, ExpectError: acctest.Says(`role "protected" is protected`)},
			{Config: role("protected", `access = "monitor"`)},
		}
	})
}

// The plan of a destroy says what will be in its way, and destroys nothing.
func TestAccRoleWithObjects(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	w := acctest.NewWorkspace(t, database, role("owning", `access = "migrator"`)+role("heir", `access = "migrator"`))
	w.MustRun("apply", "-auto-approve")
	testdb.Exec(t, database, `CREATE TABLE reports (id int); ALTER TABLE reports OWNER TO owning`)
	plan := w.MustRun("plan", "-destroy")
	for _, part := range []string{"table reports", "reassign_owned_to"} {
		if !strings.Contains(plan, part) {
			t.Errorf("the plan of the destroy does not mention %s:\n%s", part, plan)
		}
	}
	if output, err := w.Run("destroy", "-auto-approve"); err == nil || !strings.Contains(output, "table reports") {
		t.Errorf("the role was destroyed: %s", output)
	}
	heir := role("heir", "access = \"migrator\"\nreassign_owned_to = \"postgres\"")
	w.Write(role("owning", "access = \"migrator\"\nreassign_owned_to = \"heir\"") + heir)
	w.MustRun("apply", "-auto-approve")
	w.Write(heir)
	w.MustRun("apply", "-auto-approve")
	if owner := testdb.Value[string](t, database, `SELECT tableowner FROM pg_tables WHERE tablename = 'reports'`); owner != "heir" {
		t.Errorf("the table belongs to %s", owner)
	}
	w.MustRun("destroy", "-auto-approve")
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
		w := acctest.NewWorkspace(t, database, config("reader"))
		group.Go(func() {
			for _, step := range []struct{ config, command string }{{
				config("reader"), "apply",
			}, {
				config("admin"), "apply",
			}, {
				config("admin"), "destroy",
			}} {
				w.Write(step.config)
				if output, err := w.Run(step.command, "-auto-approve", "-parallelism=20"); err != nil {
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
