package access_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

func roleBlock(address, name string) string {
	return fmt.Sprintf("resource \"brownie_role\" %q {\n  name   = %q\n  access = \"reader\"\n}\n", address, name)
}

// A name that is taken is an error of the plan, unless the plan itself frees it.
func TestAccRoleNameThatIsTaken(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	testdb.Exec(t, database, `CREATE ROLE "taken-1"`)
	t.Cleanup(func() { testdb.Exec(t, database, `DROP ROLE IF EXISTS "taken-1"`) })
	w := acctest.NewWorkspace(t, database, roleBlock("r", "taken-1"))
	refuse := func(says string, arguments ...string) {
		t.Helper()
		output, err := w.Run(append([]string{"plan", "-input=false"}, arguments...)...)
		if err == nil || !acctest.Says(says).MatchString(output) {
			t.Errorf("%v\n%s", err, output)
		}
	}
	refuse(`a role named "taken-1" exists already`)
	refuse(`for_each = { KEY = "taken-1" }`)
	w.Write(roleBlock("a", "taken-2") + roleBlock("b", "taken-2"))
	refuse(`another block is to have name "taken-2", too`)

	w.Write(roleBlock("a", "taken-2"))
	w.MustRun("apply", "-auto-approve")
	w.Write(roleBlock("b", "taken-2")) // another address
	w.MustRun("apply", "-auto-approve")
	w.Write(roleBlock("b", "taken-3") + roleBlock("c", "taken-2")) // renamed, and made anew
	w.MustRun("apply", "-auto-approve")
	w.MustRun("apply", "-auto-approve", "-replace=brownie_role.b")
	w.Write(roleBlock("b", "taken-1") + roleBlock("c", "taken-2"))
	refuse(`a role named "taken-1" exists already`)
	w.Write(roleBlock("b", "taken-3") + roleBlock("c", "taken-2"))
	w.NoChanges()
	w.Write(roleBlock("b", "taken-2") + roleBlock("c", "taken-3"))
	if output, err := w.Apply(); err == nil || !acctest.Says("this is a swap: the role (id taken-").MatchString(output) {
		t.Errorf("%v\n%s", err, output)
	}
	w.MustRun("destroy", "-auto-approve")
}

// Where Terraform works on one object at a time, nobody can tell whether a role that has the name keeps it.
func TestAccRoleNamesOneAtATime(t *testing.T) {
	t.Parallel()
	keyed := func(prefix string) string {
		return fmt.Sprintf(`
resource "brownie_role" "keyed" {
  for_each = { for n in range(6) : "%s-${n}" => n }
  name     = "one-at-a-time-${each.value}"
  access   = "reader"
}
`, prefix)
	}
	const last = "one-at-a-time-last"
	w := acctest.NewWorkspace(t, testdb.Migrated(t), keyed("a")+roleBlock("late", last))
	w.MustRun("apply", "-auto-approve")
	w.Write(keyed("b") + roleBlock("late", last))
	w.MustRun("plan", "-parallelism=1")
	for again := range 5 {
		output, err := w.Run("apply", "-auto-approve", "-parallelism=1")
		if err == nil {
			break
		}
		if again == 4 || !acctest.Says("if the plan frees what is in the way, apply again").MatchString(output) {
			t.Fatalf("%v\n%s", err, output)
		}
	}
	w.NoChanges()

	early := strings.Replace(roleBlock("early", last), "}", "  depends_on = [brownie_role.keyed]\n}", 1) // so that something was read
	late := func(name string) string {
		return strings.Replace(roleBlock("late", name), "}", "  depends_on = [brownie_role.early]\n}", 1)
	}
	w.Write(keyed("b") + early + late(last+"-2"))
	if output := w.MustRun("plan", "-parallelism=1"); !acctest.Says("Terraform has not told yet whether this plan frees it").MatchString(output) {
		t.Error(output)
	}
	w.Write(keyed("b") + early + late(last))
	output, err := w.Run("plan", "-parallelism=1")
	if err == nil || !acctest.Says(`another block is to have name "`+last+`", too`).MatchString(output) {
		t.Errorf("%v\n%s", err, output)
	}
	w.Write(keyed("b") + roleBlock("late", last))
	w.MustRun("destroy", "-auto-approve")
}
