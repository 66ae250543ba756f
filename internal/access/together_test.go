package access_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Roles that are made or dropped at the same time share transactions. What is wrong with one of them is its own matter.
func TestRolesAreMadeAndDroppedTogether(t *testing.T) {
	t.Parallel()
	const roles = 30
	r := newRecommended(t)
	r.exec(t, `CREATE ROLE "acme-7" LOGIN`)
	nobody := "00000000-0000-4000-8000-000000000000"
	wanted := func(i int) access.Role {
		role := access.Role{Name: fmt.Sprintf("acme-%d", i), Access: "writer", ConnectionLimit: int32(i)}
		if i == 5 {
			role.OrganizationID = &nobody
		}
		return role
	}
	bad := func(i int) bool { return i == 5 || i == 7 }
	// together returns what each call said.
	together := func(do func(i int) error) (all [roles]error) {
		var group sync.WaitGroup
		for i := range roles {
			group.Go(func() { all[i] = do(i) })
		}
		group.Wait()
		return all
	}
	var made [roles]access.Role
	n := r.transactions(t, func(s *access.Store) error {
		errs := together(func(i int) (err error) { made[i], err = s.CreateRole(t.Context(), wanted(i)); return err })
		var duplicate *access.DuplicateError
		var missing *access.MissingError
		if !errors.As(errs[7], &duplicate) || !errors.As(errs[5], &missing) {
			t.Errorf("of a name that is taken: %v; of an organization that does not exist: %v", errs[7], errs[5])
		}
		errs[5], errs[7] = nil, nil
		return errors.Join(errs[:]...)
	})
	t.Logf("making %d roles, two of them in vain, took %d transactions", roles, n)
	for i := range roles {
		if bad(i) {
			continue
		}
		read := testdb.Must(r.store.Role(t.Context(), made[i].Name))(t)
		if read.OID != made[i].OID || read.ConnectionLimit != int32(i) || r.granted(t, read.Name) != "brownie_granter 3" {
			t.Errorf("made %+v, read %+v, the groups were granted by %s", made[i], read, r.granted(t, read.Name))
		}
	}

	r.exec(t, `DROP ROLE "acme-7"`)
	made[7], made[5] = r.make(t, "acme-7", "writer"), r.make(t, "acme-5", "writer")
	owner := testdb.Must(pgx.Connect(t.Context(), r.server.URL("brownie")))(t)
	defer func() { _ = owner.Close(t.Context()) }()
	if _, err := owner.Exec(t.Context(), `CREATE TABLE public.kept (); ALTER TABLE public.kept OWNER TO "acme-3"`); err != nil {
		t.Fatal(err)
	}
	busy := postgres.New(testdb.ConfigOn(t, r.server, "brownie", "acme-9"))
	defer busy.Close()
	testdb.Must(postgres.Query[struct{ One int }](t.Context(), busy, `SELECT 1 AS one`))(t)
	n = r.transactions(t, func(s *access.Store) error {
		errs := together(func(i int) error { return s.DropRole(t.Context(), made[i], "") })
		var blocked *access.BlockedError
		if !errors.As(errs[3], &blocked) {
			t.Errorf("of a role that owns a table: %v", errs[3])
		}
		errs[3] = nil
		return errors.Join(errs[:]...)
	})
	t.Logf("dropping %d roles, one of them in vain, took %d transactions", roles, n)
	var left []string
	if err := r.admin.QueryRow(t.Context(), `SELECT array_agg(rolname::text || CASE WHEN rolcanlogin THEN '' ELSE ' locked' END) || (
			SELECT array_agg('a session'::text) FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename IS NULL)
		FROM pg_roles WHERE rolname LIKE 'acme-%'`).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if len(left) != 1 || left[0] != "acme-3" {
		t.Errorf("left are %v", left)
	}

	whole := r.transactions(t, func(s *access.Store) error {
		errs := together(func(i int) error { _, err := s.CreateRole(t.Context(), wanted(i+100)); return err })
		return errors.Join(errs[:]...)
	})
	gone := r.transactions(t, func(s *access.Store) error {
		errs := together(func(i int) error { return s.DropRole(t.Context(), wanted(i+100), "") })
		return errors.Join(errs[:]...)
	})
	if t.Logf("making %d roles took %d transactions, dropping them %d", roles, whole, gone); whole > roles/2 || gone > roles/2 {
		t.Error("those are too many")
	}
}
