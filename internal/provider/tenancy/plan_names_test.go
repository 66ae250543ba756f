package tenancy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

const globexID, globexTeam = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"

// others are rows that the workspace does not manage.
const others = `
	INSERT INTO organizations (id, name, slug, max_teams, max_users_per_team)
		VALUES ('` + globexID + `', 'Globex', 'globex', 2, 1), (gen_random_uuid(), 'Initech', 'initech', 10, 50);
	INSERT INTO teams (id, organization_id, name, slug) VALUES ('` + globexTeam + `', '` + globexID + `', 'Core', 'core');
	INSERT INTO users (organization_id, team_id, email, username, role, oidc_subject)
		VALUES ('` + globexID + `', '` + globexTeam + `', 'hank@globex.example', 'hank', 'MEMBER', 'sub');
	INSERT INTO agent_configs (organization_id, team_id, name, agent_type, config)
		VALUES ('` + globexID + `', '` + globexTeam + `', 'triage', 'CUSTOM', '{}');
	INSERT INTO configs (organization_id, name, config_type) VALUES ('` + globexID + `', 'routing', 'ALERT');`

func user(name, organization, team, email, username, more string) string {
	return fmt.Sprintf(`
resource "brownie_user" %q {
  organization_id = %s
  team_id         = %s
  email           = %q
  username        = %q
  %s
}
`, name, organization, team, email, username, more)
}

func plainTeam(name, organization, slug string) string {
	return fmt.Sprintf(`
resource "brownie_team" %q {
  organization_id = %s
  name            = "Team"
  slug            = %q
}
`, name, organization, slug)
}

func TestAccPlanRefusesWhatIsTaken(t *testing.T) {
	t.Parallel()
	const globex, core = `"` + globexID + `"`, `"` + globexTeam + `"`
	database := testdb.Migrated(t)
	testdb.Exec(t, database, others)
	agent := func(name string) string {
		return `
resource "brownie_agent_config" "a" {
  organization_id = ` + globex + `
  team_id         = ` + core + `
  name            = "` + name + `"
  agent_type      = "custom"
  config          = "{}"
}`
	}
	config := func(name string) string {
		return `
resource "brownie_config" "c" {
  organization_id = ` + globex + `
  name            = "` + name + `"
  config_type     = "alert"
}`
	}
	organization := func(name, slug string) string {
		return fmt.Sprintf("resource \"brownie_organization\" \"o\" {\n  name = %q\n  slug = %q\n}\n", name, slug)
	}
	const acme, platform = "brownie_organization.acme.id", "brownie_team.platform.id"
	for name, c := range map[string]struct{ config, says string }{
		"organization name": {organization("Globex", "other"), `another organization (id ` + globexID + `) already has name "Globex"`},
		"organization slug": {organization("Other", "globex"), `already has slug "globex". Choose another slug; or, if no other`},
		"team slug":         {plainTeam("t", globex, "core"), `already has slug "core" in organization "globex"`},
		"email": {
			acctest.Platform + user("u", acme, platform, "hank@globex.example", "h", ""),
			`of organization "globex", already has email "hank@globex.example"`,
		},
		"username":     {acctest.Platform + user("u", acme, platform, "h@h.example", "hank", ""), `already has username "hank"`},
		"oidc":         {acctest.Platform + user("u", acme, platform, "h@h.example", "h", `oidc_subject = "sub"`), `already has oidc_subject "sub"`},
		"agent config": {agent("triage"), `already has name "triage" in team "core" of organization "globex"`},
		"config":       {config("routing"), `already has name "routing" in organization "globex"`},
		"two blocks":   {plainTeam("a", globex, "x") + plainTeam("b", globex, "x"), `another block is to have slug "x", too`},
		"max_teams": {
			plainTeam("a", globex, "a") + plainTeam("b", globex, "b"),
			`organization "globex" has 2 teams, and its limit max_teams is 2`,
		},
		"max_users_per_team": {
			user("u", globex, core, "h@h.example", "h", ""),
			`team "core" of organization "globex" has 1 users, and its limit max_users_per_team is 1`,
		},
		"another organization's team": {
			`data "brownie_organization" "initech" { slug = "initech" }` + user("u", "data.brownie_organization.initech.id", core, "h@h.example", "h", ""),
			`team "core" (id ` + globexTeam + `) belongs to organization "globex", but the user to organization "initech"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := acctest.NewWorkspace(t, database, c.config)
			output, err := w.Run("plan", "-input=false")
			if err == nil || !acctest.Says(c.says).MatchString(output) {
				t.Errorf("%v\n%s", err, output)
			}
			block := acctest.Says("KEY = \"")
			if strings.Contains(c.says, "already has") && !block.MatchString(output) {
				t.Errorf("no import block for for_each:\n%s", output)
			}
			if block.MatchString(output) && !acctest.Says("write a moved block instead. If the state was lost, the guide").MatchString(output) {
				t.Errorf("no word of moved or of a lost state:\n%s", output)
			}
		})
	}
}

// The name is in the way only until the same plan has destroyed or renamed the row, whatever comes first, and however many there are.
func TestAccPlanLeavesWhatBecomesFree(t *testing.T) {
	t.Parallel()
	const full = `
resource "brownie_organization" "acme" {
  name                = "Acme"
  slug                = "acme"
  max_teams           = 2
  max_users_per_team  = 1
  deletion_protection = false
}
`
	const acme = "brownie_organization.acme.id"
	team := func(name, slug string) string { return plainTeam(name, acme, slug) }
	w := acctest.NewWorkspace(t, testdb.Migrated(t), full+team("a", "a")+team("b", "b")+
		user("a", acme, "brownie_team.a.id", "a@a.example", "a", ""))
	w.MustRun("apply", "-auto-approve")
	replaced := user("z", acme, "brownie_team.a.id", "a@a.example", "a", "")
	w.Write(full + team("z", "a") + team("b", "b") + strings.ReplaceAll(replaced, "team.a.id", "team.z.id")) // another address
	w.MustRun("apply", "-auto-approve")
	w.Write(full + team("z", "a") + team("y", "b") + strings.ReplaceAll(replaced, "team.a.id", "team.z.id"))
	w.MustRun("plan", "-refresh=false")
	w.MustRun("plan", "-replace=brownie_team.z", "-replace=brownie_user.z")
	w.MustRun("apply", "-auto-approve")
	w.MustRun("apply", "-auto-approve", "-replace=brownie_user.z")
	w.MustRun("taint", "brownie_user.z")
	w.MustRun("apply", "-auto-approve")
	w.NoChanges()
	// The limit is raised by the same plan; then it is not.
	more := team("z", "a") + team("y", "b") + team("x", "x")
	w.Write(strings.Replace(full, "max_teams           = 2", "max_teams           = 3", 1) + more +
		strings.ReplaceAll(replaced, "team.a.id", "team.z.id"))
	w.MustRun("plan")
	w.Write(full + more + strings.ReplaceAll(replaced, "team.a.id", "team.z.id"))
	if output, err := w.Run("plan"); err == nil || !acctest.Says(`has 2 teams, and its limit max_teams is 2`).MatchString(output) {
		t.Errorf("%v\n%s", err, output)
	}
}

// The limits that count are those that the same plan gives the organization.
func TestAccPlanKnowsTheLimitsThatItChanges(t *testing.T) {
	t.Parallel()
	organization := func(teams, users int) string {
		return strings.Replace(acctest.Acme, "deletion_protection", fmt.Sprintf("max_teams = %d\n  max_users_per_team = %d\n  "+
			"deletion_protection", teams, users), 1)
	}
	const acme, a = "brownie_organization.acme.id", "brownie_team.a.id"
	before := plainTeam("a", acme, "a") + user("a", acme, a, "a@a.example", "a", "")
	team, another := plainTeam("b", acme, "b"), user("b", acme, a, "b@a.example", "b", "")
	w := acctest.NewWorkspace(t, testdb.Migrated(t), organization(2, 2)+before)
	w.MustRun("apply", "-auto-approve")
	refuse := func(config, says string) {
		t.Helper()
		w.Write(config)
		if output, err := w.Run("plan", "-input=false"); err == nil || !acctest.Says(says).MatchString(output) {
			t.Errorf("%v\n%s", err, output)
		}
	}
	w.Write(organization(2, 2) + before + team + another)
	w.MustRun("plan")
	refuse(organization(1, 2)+before+team, `organization "acme" has 1 teams, and its limit max_teams is 1`)
	refuse(organization(2, 1)+before+another, `team "a" of organization "acme" has 1 users, and its limit max_users_per_team is 1`)
	w.Write(organization(1, 1) + before)
	w.MustRun("apply", "-auto-approve")
	refuse(organization(1, 1)+before+another, `team "a" of organization "acme" has 1 users, and its limit max_users_per_team is 1`)
	w.Write(organization(2, 2) + before + team + another)
	w.MustRun("apply", "-auto-approve")
}

// The checks of many objects are few statements.
func TestAccPlanChecksInFewStatements(t *testing.T) {
	t.Parallel()
	const n = 200
	database := testdb.Migrated(t)
	testdb.Exec(t, database, others+`UPDATE organizations SET max_users_per_team = 1000`)
	w := acctest.NewWorkspace(t, database, fmt.Sprintf(`
resource "brownie_user" "many" {
  count           = %d
  organization_id = %q
  team_id         = %q
  email           = "user-${count.index}@globex.example"
  username        = "user-${count.index}"
}
`, n, globexID, globexTeam))
	statements := func() int {
		time.Sleep(1500 * time.Millisecond) // statistics are reported late
		return testdb.Value[int](t, database, `SELECT xact_commit::int FROM pg_stat_database WHERE datname = current_database()`)
	}
	before := statements()
	w.MustRun("plan")
	if made := statements() - before; made > n*2/3 {
		t.Errorf("planning %d users took %d statements", n, made)
	} else {
		t.Logf("planning %d users took %d statements", n, made)
	}
}

// A plan that only creates needs no database.
func TestAccPlanWithoutDatabase(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspaceWith(t, []string{"PGHOST=127.0.0.1", "PGPORT=1", "PGSSLMODE=disable"}, acctest.Acme)
	w.MustRun("plan")
}
