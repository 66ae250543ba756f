package tenancy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// tenants are organizations under for_each keys that begin with prefix, with all that can belong to one, but with the same names.
func tenants(prefix string) string {
	return fmt.Sprintf(`
locals { tenants = { for n in range(4) : "%s-${n}" => n } }
resource "brownie_organization" "keyed" {
  for_each            = local.tenants
  name                = "Tenant ${each.value}"
  slug                = "tenant-${each.value}"
  deletion_protection = false
}
`, prefix) + keyed(prefix)
}

// Where Terraform works on one object at a time, a plan that waited for the row that is in the way would wait for itself; so would an
// apply, which says so.
func TestAccRenamedKeysOneAtATime(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t, testdb.Migrated(t), tenants("a"))
	w.MustRun("apply", "-auto-approve")
	w.Write(tenants("b"))
	w.MustRun("plan", "-parallelism=1")
	w.MustRun("plan", "-parallelism=2")
	w.MustRun("plan", "-parallelism=1", "-refresh=false")
	w.Env = append(w.Env, "TF_CLI_ARGS_plan=-parallelism=1", "TF_CLI_ARGS_apply=-parallelism=1")
	w.MustRun("plan")
	for again := range 5 {
		output, err := w.Apply()
		if err == nil {
			break
		}
		if again == 4 || !acctest.Says("if the plan frees what is in the way, apply again").MatchString(output) {
			t.Fatalf("%v\n%s", err, output)
		}
	}
	w.NoChanges()
}

// A team that is planned after the new one whose slug it has: it frees it, or it keeps it.
func TestAccPlanDoubtsWhatItCannotKnow(t *testing.T) {
	t.Parallel()
	const acme = "brownie_organization.acme.id"
	team := func(name, slug, more string) string {
		return strings.Replace(plainTeam(name, acme, slug), "\n}", "\n  "+more+"\n}", 1)
	}
	w := acctest.NewWorkspace(t, testdb.Migrated(t), acctest.Acme+team("late", "x", ""))
	w.MustRun("apply", "-auto-approve")
	const after = "depends_on = [brownie_team.early]"
	w.Write(acctest.Acme + team("early", "x", "") + team("late", "y", after))
	output := w.MustRun("plan", "-parallelism=1")
	if !acctest.Says("Warning: Read before you create the team").MatchString(output) ||
		!acctest.Says(`already has slug "x" in organization "acme", and Terraform has not told yet whether this plan frees it`).MatchString(output) {
		t.Error(output)
	}
	output, err := w.Run("apply", "-auto-approve", "-parallelism=1")
	if err == nil || strings.Count(output, "has not told yet") != 1 || strings.Contains(output, "similar warning") {
		t.Errorf("the apply does not repeat the doubt of its plan: %v\n%s", err, output)
	}
	w.Write(acctest.Acme + team("early", "x", "") + team("late", "x", after))
	output, err = w.Run("plan", "-parallelism=1")
	if err == nil || !acctest.Says(`team "x": another block is to have slug "x", too`).MatchString(output) {
		t.Errorf("%v\n%s", err, output)
	}
}

// The same of the place of a team that is planned later.
func TestAccPlanDoubtsWhetherThereIsRoom(t *testing.T) {
	t.Parallel()
	full := strings.Replace(acctest.Acme, "deletion_protection", "max_teams = 1\n  deletion_protection", 1)
	const acme = "brownie_organization.acme.id"
	w := acctest.NewWorkspace(t, testdb.Migrated(t), full+plainTeam("late", acme, "x"))
	w.MustRun("apply", "-auto-approve")
	w.Write(full + plainTeam("early", acme, "y") + strings.Replace(plainTeam("late", acme, "x"), "\n}",
		"\n  depends_on = [brownie_team.early]\n}", 1))
	output := w.MustRun("plan", "-parallelism=1")
	if !acctest.Says(`organization "acme" has 1 teams, and its limit max_teams is 1, and Terraform has not told yet whether this plan makes room`).
		MatchString(output) {
		t.Error(output)
	}
}

// As many names are taken, and as many users are too many, as Terraform works on at once.
func TestAccPlanRefusesAsManyAsItWaitsFor(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	testdb.Exec(t, database, others+`INSERT INTO teams (organization_id, name, slug)
		SELECT organization_id, 'Team', 'team-' || n FROM teams, generate_series(1, 10) n`)
	for name, c := range map[string]struct{ config, says string }{
		"names": {plainTeam("t", `"`+globexID+`"`, "team-${count.index + 1}"), `already has slug "team-`},
		"places": {
			user("u", `"`+globexID+`"`, `"`+globexTeam+`"`, "h${count.index}@h.example", "h${count.index}", ""),
			`team "core" of organization "globex" has 1 users, and its limit max_users_per_team is 1`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := acctest.NewWorkspace(t, database, strings.Replace(c.config, "{\n", "{\n  count = 10\n", 1))
			output, err := w.Run("plan", "-input=false")
			if err == nil || !acctest.Says(c.says).MatchString(output) {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
}
