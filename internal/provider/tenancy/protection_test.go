package tenancy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

const ada = `
resource "brownie_user" "ada" {
  organization_id = brownie_organization.acme.id
  team_id         = brownie_team.platform.id
  email           = "ada@acme.example"
  username        = "ada"
  MORE
}
`

func adaWith(more string) string { return acctest.Platform + strings.Replace(ada, "MORE", more, 1) }

func TestAccProtectedTeamAndUser(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	config := func(team, user string) string {
		return strings.Replace(adaWith("deletion_protection = "+user), `slug            = "platform"`,
			"slug            = \"platform\"\n  deletion_protection = "+team, 1)
	}
	w := acctest.NewWorkspace(t, database, config("true", "true"))
	w.MustRun("apply", "-auto-approve")
	refuse := func(what string, arguments ...string) {
		t.Helper()
		output, err := w.Run(append(arguments, "-input=false")...)
		if err == nil || !acctest.Says(what+` is protected. To destroy it, set deletion_protection = false`).MatchString(output) ||
			!acctest.Says("write a moved block").MatchString(output) {
			t.Errorf("%v\n%s", err, output)
		}
	}
	refuse(`user "ada@acme.example"`, "plan", "-destroy")
	refuse(`user "ada@acme.example"`, "apply", "-auto-approve", "-replace=brownie_user.ada")
	w.Write(acctest.Acme) // the blocks were removed
	refuse(`user "ada@acme.example"`, "plan")
	if n := testdb.Value[int](t, database, `SELECT count(*) FROM users`); n != 1 {
		t.Errorf("%d users", n)
	}
	w.Write(config("true", "false"))
	w.MustRun("apply", "-auto-approve")
	refuse(`team "platform"`, "destroy", "-auto-approve")
	w.Write(config("false", "false"))
	w.MustRun("apply", "-auto-approve")
	w.MustRun("destroy", "-auto-approve")
}

// A destroyed user is kept as deleted, and comes back with its e-mail address.
func TestAccUserKeptAsDeleted(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	w := acctest.NewWorkspace(t, database, adaWith(`on_destroy = "soft_delete"`))
	w.MustRun("apply", "-auto-approve")
	id := testdb.Value[string](t, database, `SELECT id::text FROM users`)
	w.Write(acctest.Platform)
	w.MustRun("apply", "-auto-approve")
	if !testdb.Value[bool](t, database, `SELECT deleted_at IS NOT NULL AND NOT is_active AND email = 'ada@acme.example' FROM users`) {
		t.Error("the user is not kept as the platform keeps deleted users")
	}
	w.Write(acctest.Platform + strings.NewReplacer("MORE", "", `"ada@`, `"other@`).Replace(ada))
	output, err := w.Run("plan")
	if err == nil || !acctest.Says(`(id `+id+`) still has username "ada"`).MatchString(output) ||
		!acctest.Says(`or remove that row for good (DELETE FROM public.users WHERE id = '`+id+`')`).MatchString(output) {
		t.Errorf("%v\n%s", err, output)
	}
	w.Write(strings.ReplaceAll(adaWith(`on_destroy = "soft_delete"`), `"ada"`, `"renamed"`)) // another address
	w.MustRun("apply", "-auto-approve")
	w.NoChanges()
	if !testdb.Value[bool](t, database, `SELECT deleted_at IS NULL AND is_active AND username = 'renamed' AND id = $1 FROM users`, id) {
		t.Error("the user was not revived")
	}
	w.MustRun("destroy", "-auto-approve") // the team goes, and the row with it
	if n := testdb.Value[int](t, database, `SELECT count(*) FROM users`); n != 0 {
		t.Errorf("%d users", n)
	}
}

// A state that an earlier version of the provider wrote is no difference.
func TestAccStateOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspace(t, testdb.Migrated(t), adaWith(""))
	w.MustRun("apply", "-auto-approve")
	file := filepath.Join(w.Dir, "terraform.tfstate")
	state := string(testdb.Must(os.ReadFile(file))(t))
	old := regexp.MustCompile(`"on_destroy": "delete",|"deletion_protection": false,`).ReplaceAllString(state, "")
	if strings.Count(old, "\n") != strings.Count(state, "\n") || len(old) == len(state) {
		t.Fatal("the state has no such attributes")
	}
	// The organization's own attribute is not new.
	old = strings.Replace(old, `"force_destroy":`, `"deletion_protection": false, "force_destroy":`, 1)
	for _, arguments := range [][]string{{}, {"-refresh=false"}} {
		if err := os.WriteFile(file, []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
		if output, err := w.Run(append([]string{"plan", "-detailed-exitcode"}, arguments...)...); err != nil {
			t.Errorf("%v: %v\n%s", arguments, err, output)
		}
	}
	w.MustRun("destroy", "-auto-approve")
}
