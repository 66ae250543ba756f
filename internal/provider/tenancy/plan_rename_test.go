package tenancy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// keyed are teams, users and configs under for_each keys that begin with prefix, but with the same names.
func keyed(prefix string) string {
	return acctest.Platform + fmt.Sprintf(`
locals { keys = { for n in range(3) : "%s-${n}" => n } }
resource "brownie_team" "keyed" {
  for_each        = local.keys
  organization_id = brownie_organization.acme.id
  name            = "Team"
  slug            = "team-${each.value}"
}
resource "brownie_user" "keyed" {
  for_each        = local.keys
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  email           = "user-${each.value}@acme.example"
  username        = "user-${each.value}"
}
resource "brownie_config" "keyed" {
  for_each        = local.keys
  organization_id = brownie_organization.acme.id
  name            = "config-${each.value}"
  config_type     = "alert"
}
`, prefix)
}

// A renamed for_each key is a destroy and a create of the same names, in no certain order.
func TestAccRenamedKeys(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	w := acctest.NewWorkspace(t, database, keyed("a"))
	w.MustRun("apply", "-auto-approve")
	for _, prefix := range []string{"b", "c", "d", "e"} {
		w.Write(keyed(prefix))
		w.MustRun("apply", "-auto-approve")
	}
	w.NoChanges()
	if n := testdb.Value[int](t, database, `SELECT count(*) FROM users`); n != 3 {
		t.Errorf("%d users of 3", n)
	}
}

func TestAccChainOfRenamesAndSwap(t *testing.T) {
	t.Parallel()
	teams := func(slugs ...string) string {
		config := acctest.Acme
		for i, slug := range slugs {
			config += fmt.Sprintf(`
resource "brownie_team" "t%d" {
  organization_id = brownie_organization.acme.id
  name            = "Team"
  slug            = %q
}
`, i, slug)
		}
		return config
	}
	w := acctest.NewWorkspace(t, testdb.Migrated(t), teams("a", "b", "c"))
	w.MustRun("apply", "-auto-approve")
	w.Write(teams("b", "c", "d"))
	w.MustRun("apply", "-auto-approve")
	w.Write(teams("c", "b", "d"))
	output, err := w.Run("plan")
	if err == nil || strings.Count(output, "this is a swap") != 2 ||
		!acctest.Says(`that has slug "b" in organization "acme" now`).MatchString(output) ||
		!acctest.Says("give one of them a third slug and apply, then give both what they shall have and apply again").MatchString(output) {
		t.Errorf("%v\n%s", err, output)
	}
	w.Write(teams("x", "b", "d"))
	w.MustRun("apply", "-auto-approve")
	w.Write(teams("c", "b", "d"))
	w.MustRun("apply", "-auto-approve")
}

// Terraform deletes a team before it moves its users, unless the team is to be created before it is destroyed.
func TestAccUserLeavesATeamThatGoes(t *testing.T) {
	t.Parallel()
	user := func(team string) string {
		return fmt.Sprintf(`
resource "brownie_user" "ada" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.%s.id
  email           = "ada@acme.example"
  username        = "ada"
}
`, team)
	}
	w := acctest.NewWorkspace(t, testdb.Migrated(t), acctest.Platform+`
resource "brownie_team" "old" {
  organization_id     = brownie_organization.acme.id
  name                = "Old"
  slug                = "old"
  deletion_protection = false
  lifecycle { create_before_destroy = true }
}
`+user("old"))
	w.MustRun("apply", "-auto-approve")
	w.Write(acctest.Platform + user("platform"))
	w.MustRun("apply", "-auto-approve")
	w.NoChanges()
}
