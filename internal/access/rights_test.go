package access_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

// What the check refuses, the change refuses too, and after the remedy neither does.
func TestARoleOfSomebodyElseIsRefusedBeforeItIsChanged(t *testing.T) {
	t.Parallel()
	r := newRecommended(t, `CREATE ROLE "Other" CREATEROLE`, `CREATE ROLE team CREATEROLE`, `GRANT team TO "`+recommendedLogin+`"`,
		`SET ROLE "Other"`, `CREATE ROLE "theirs-1" LOGIN`, `SET ROLE team`, `CREATE ROLE "teams-1" LOGIN`, `RESET ROLE`,
		`CREATE ROLE "postgres-1" LOGIN SUPERUSER`)
	r.make(t, "mine-1", "writer")
	for _, name := range []string{"mine-1", "teams-1", "missing-1", recommendedLogin} {
		_, err := r.store.CheckDrop(t.Context(), name, "")
		if err = errors.Join(err, r.store.CheckChange(t.Context(), name)); err != nil {
			t.Errorf("%s: %s", name, err)
		}
	}
	for name, by := range map[string]string{"theirs-1": `"Other", or a superuser`, "postgres-1": "a superuser"} {
		role := testdb.Must(r.store.Role(t.Context(), name))(t)
		wanted := role
		wanted.Access, wanted.ConnectionLimit = "reader", 7
		if _, err := r.store.UpdateRole(t.Context(), role, wanted); err == nil {
			t.Errorf("%s was changed without the right", name)
		}
		var lacking *access.ManagerError
		if err := r.store.CheckChange(t.Context(), name); !errors.As(err, &lacking) || !strings.Contains(err.Error(), `"`+name+`"`) {
			t.Fatalf("%s: got %v", name, err)
		}
		if _, err := r.store.CheckDrop(t.Context(), name, ""); !errors.As(err, &lacking) {
			t.Errorf("%s: dropping it got %v", name, err)
		}
		who, remedy, _ := strings.Cut(lacking.Remedy(), ": ")
		if who != "As "+by || strings.Contains(remedy, "role_bindings") {
			t.Errorf("%s: got the remedy %s", name, lacking.Remedy())
		}
		r.exec(t, remedy)
		if err := r.store.CheckChange(t.Context(), name); err != nil {
			t.Errorf("after %s: %s", remedy, err)
		}
		made := testdb.Must(r.store.UpdateRole(t.Context(), role, wanted))(t)
		if err := r.store.DropRole(t.Context(), made, ""); err != nil {
			t.Errorf("after %s: %s", remedy, err)
		}
	}
}
