package tenancy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// tenantWithMembers has one of each that belongs to an organization, and refers to it by what organization and team say.
func tenantWithMembers(role, organization, team string) string {
	return acctest.Platform + strings.NewReplacer("ORG", organization, "TEAM", team, "ROLE", role).Replace(`
resource "brownie_user" "members" {
  for_each        = toset(["ada", "bob", "eve"])
  organization_id = ORG
  team_id         = TEAM
  email           = "${each.key}@acme.example"
  username        = each.key
}
resource "brownie_agent_config" "triage" {
  organization_id = ORG
  team_id         = TEAM
  name            = "triage"
  agent_type      = "custom"
  config          = "{}"
}
resource "brownie_config" "routing" {
  organization_id = ORG
  name            = "routing"
  config_type     = "alert"
}
resource "brownie_role" "app" {
  name            = "ROLE"
  access          = "writer"
  organization_id = ORG
}
`)
}

const unmanaged = `
	WITH team AS (SELECT id, organization_id FROM teams),
		i AS (INSERT INTO incidents (organization_id, team_id, title) SELECT organization_id, id, 'x' FROM team),
		s AS (INSERT INTO stats (organization_id, team_id, metric_name, metric_type, value)
			SELECT organization_id, id, 'x', 'x', 1 FROM team)
	INSERT INTO users (organization_id, team_id, email, username, role)
	SELECT organization_id, id, 'signed@up.example', 'signed-up', 'MEMBER' FROM team`

// What nothing manages is counted while planning, however the destroy is asked for, and what the plan destroys itself is not.
func TestAccDestroyCountsWhatIsNotManaged(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	config := tenantWithMembers("counted-app", "brownie_organization.acme.id", "brownie_team.platform.id")
	w := acctest.NewWorkspace(t, database, config)
	w.MustRun("apply", "-auto-approve")
	testdb.Exec(t, database, unmanaged)

	refused := acctest.Says(`organization "acme" still has 1 user, 1 incident, 1 statistic, which Terraform does not destroy here`)
	refuse := func(arguments ...string) {
		t.Helper()
		output, err := w.Run(append(arguments, "-input=false")...)
		if err == nil || !refused.MatchString(output) {
			t.Errorf("terraform %s: %v\n%s", strings.Join(arguments, " "), err, output)
		}
	}
	refuse("destroy", "-auto-approve")
	refuse("plan", "-destroy", "-refresh=false")
	refuse("plan", "-destroy", "-target=brownie_organization.acme")
	refuse("plan", "-destroy", "-parallelism=1")
	w.Write("") // all blocks removed
	refuse("apply", "-auto-approve")
	refuse("plan", "-refresh=false")
	if n := testdb.Value[int](t, database, `SELECT count(*) FROM users`); n != 4 {
		t.Errorf("%d users are left of 4", n)
	}

	testdb.Exec(t, database, `DELETE FROM users WHERE username = 'signed-up'; DELETE FROM incidents; DELETE FROM stats`)
	w.Write(`
removed {
  from = brownie_user.members
  lifecycle { destroy = false }
}`)
	output, err := w.Run("plan", "-input=false")
	if err == nil || !acctest.Says(`organization "acme" still has 3 users`).MatchString(output) {
		t.Errorf("users that Terraform forgets: %v\n%s", err, output)
	}
	w.Write(config)
	// A session of a role that the plan drops ends with it; one of a role that stays is in use.
	w.MustRun("state", "rm", "brownie_role.app")
	session, err := acctest.ConnectAs(t, testdb.Server(t, database), database, "counted-app")
	if err != nil {
		t.Fatal(err)
	}
	output, err = w.Run("plan", "-destroy", "-refresh=false") // without the usual plan that Terraform makes first: it would make the role
	if err == nil || !acctest.Says(`organization "acme" still has 1 role, 1 open session`).MatchString(output) {
		t.Errorf("a session of the organization's role: %v\n%s", err, output)
	}
	w.MustRun("import", "brownie_role.app", "counted-app")
	w.MustRun("destroy", "-auto-approve")
	if err := session.Ping(t.Context()); err == nil {
		t.Error("the session outlived its role")
	}
}

// The same with members that refer by literal IDs, so that Terraform knows no order among them: they may be planned last.
func TestAccDestroyWithLiteralIDs(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	w := acctest.NewWorkspace(t, database, acctest.Platform)
	w.MustRun("apply", "-auto-approve")
	organization := testdb.Value[string](t, database, `SELECT id::text FROM organizations`)
	team := testdb.Value[string](t, database, `SELECT id::text FROM teams`)
	w.Write(tenantWithMembers("literal-app", `"`+organization+`"`, `"`+team+`"`))
	w.MustRun("apply", "-auto-approve")
	w.MustRun("plan", "-destroy")
	w.MustRun("plan", "-destroy", "-refresh=false")

	testdb.Exec(t, database, unmanaged)
	output, err := w.Run("plan", "-destroy")
	if err == nil || !acctest.Says(`organization "acme" still has 1 user, 1 incident, 1 statistic`).MatchString(output) {
		t.Errorf("%v\n%s", err, output)
	}
	testdb.Exec(t, database, `INSERT INTO brownie.organization_options SELECT id, true FROM organizations
		ON CONFLICT (organization_id) DO UPDATE SET force_destroy = true`)
	output, err = w.Run("plan", "-destroy")
	if err != nil || !acctest.Says(`organization "acme" has 1 user, 1 incident, 1 statistic, which this plan does not list`).MatchString(output) {
		t.Errorf("what force_destroy deletes: %v\n%s", err, output)
	}
}

// One element of a for_each is planned before what refers to it: what Terraform has created may go with it, and is no reason to warn;
// what others have is.
func TestAccDestroyOfOneElement(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	config := func(slugs string) string {
		return `
locals { slugs = toset([` + slugs + `]) }
resource "brownie_organization" "all" {
  for_each            = local.slugs
  name                = each.key
  slug                = each.key
  deletion_protection = false
}
resource "brownie_team" "all" {
  for_each        = local.slugs
  organization_id = brownie_organization.all[each.key].id
  name            = "Core"
  slug            = "core"
}
resource "brownie_user" "all" {
  for_each        = local.slugs
  organization_id = brownie_organization.all[each.key].id
  team_id         = brownie_team.all[each.key].id
  email           = "${each.key}@acme.example"
  username        = each.key
}
resource "brownie_agent_config" "all" {
  for_each        = local.slugs
  organization_id = brownie_organization.all[each.key].id
  team_id         = brownie_team.all[each.key].id
  name            = "triage"
  agent_type      = "custom"
  config          = "{}"
}
resource "brownie_config" "all" {
  for_each        = local.slugs
  organization_id = brownie_organization.all[each.key].id
  name            = "routing"
  config_type     = "alert"
}
resource "brownie_role" "all" {
  for_each        = local.slugs
  name            = "one-element-${each.key}"
  access          = "writer"
  organization_id = brownie_organization.all[each.key].id
}
`
	}
	w := acctest.NewWorkspace(t, database, config(`"a", "b", "c"`))
	w.MustRun("apply", "-auto-approve")
	w.Write(config(`"a", "b"`))
	if output := w.MustRun("apply", "-auto-approve"); strings.Contains(output, "Warning: Read") {
		t.Errorf("all of it is Terraform's:\n%s", output)
	}
	w.Write(config(`"a"`))
	const ofB = ` SELECT t.organization_id, t.id, 'x'%s FROM teams t JOIN organizations o ON o.id = t.organization_id WHERE o.slug = 'b'`
	testdb.Exec(t, database, fmt.Sprintf(`INSERT INTO users (organization_id, team_id, email, username, role)`+ofB, `, 'x', 'MEMBER'::userrole`))
	output, err := w.Run("plan", "-input=false")
	for _, says := range []string{
		`organization "b" still has 1 user, and Terraform has not told yet which of them`,
		`team "core" of organization "b" still has 1 user, and Terraform has not told yet which of them`,
	} {
		if err != nil || !acctest.Says(says).MatchString(output) {
			t.Errorf("%v\n%s", err, output)
		}
	}
	testdb.Exec(t, database, fmt.Sprintf(`INSERT INTO incidents (organization_id, team_id, title)`+ofB, ""))
	output, err = w.Run("plan", "-input=false")
	if err == nil || !acctest.Says(`organization "b" still has 1 incident, which`).MatchString(output) {
		t.Errorf("%v\n%s", err, output)
	}
	testdb.Exec(t, database, `UPDATE brownie.organization_options SET force_destroy = true`)
	output, err = w.Run("plan", "-input=false")
	const says = `organization "b" has 1 user, 1 incident, which Terraform has not created (what it has imported counts)`
	if err != nil || !acctest.Says(says).MatchString(output) {
		t.Errorf("%v\n%s", err, output)
	}
	w.MustRun("destroy", "-auto-approve")
}
