package access_test

import (
	"fmt"
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
	w.MustRun("destroy", "-auto-approve")
}
