package access_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

// ledger are the events of one organization or role, in their order.
func ledger(t *testing.T, database, name string) string {
	t.Helper()
	return testdb.Value[string](t, database, `SELECT coalesce(string_agg(event, ' ' ORDER BY at), '') FROM brownie.backup_ledger WHERE name = $1`, name)
}

// TestLedgerOfRoles: what is dropped, locked or renamed is in the ledger, and what was never gone is not.
func TestLedgerOfRoles(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	store := access.New(testdb.DB(t, database))
	acme := newOrganization(t, database, "acme")
	role := testdb.Must(store.CreateRole(t.Context(), newRole(t, database, "noted", "writer", &acme)))(t)
	lock := role
	lock.Locked = true
	renamed := newRole(t, database, "renamed", "writer", &acme)
	steps := []struct {
		what, want string
		do         func() error
	}{
		{"made", "", func() error { return nil }},
		{"changed", "", func() error {
			role.ConnectionLimit = 5
			_, err := store.UpdateRole(t.Context(), role, role)
			return err
		}},
		{"locked", "locked", func() error { _, err := store.UpdateRole(t.Context(), role, lock); return err }},
		{"locked again", "locked", func() error { _, err := store.UpdateRole(t.Context(), lock, lock); return err }},
		{"unlocked", "locked back", func() error { _, err := store.UpdateRole(t.Context(), lock, role); return err }},
		{"renamed", "locked back deleted", func() error { _, err := store.UpdateRole(t.Context(), role, renamed); return err }},
		{"renamed back", "locked back deleted back", func() error { _, err := store.UpdateRole(t.Context(), renamed, role); return err }},
		{"dropped", "locked back deleted back deleted", func() error { return store.DropRole(t.Context(), role, "") }},
		{"made anew", "locked back deleted back deleted back", func() error { _, err := store.CreateRole(t.Context(), role); return err }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		if got := ledger(t, database, role.Name); got != step.want {
			t.Errorf("%s: the ledger says %q, want %q", step.what, got, step.want)
		}
	}
	if got := ledger(t, database, renamed.Name); got != "deleted" {
		t.Errorf("of the other name it says %q", got)
	}

	// What somebody does by hand, the runner finds.
	byHand := testdb.Must(store.CreateRole(t.Context(), newRole(t, database, "by-hand", "reader", nil)))(t)
	testdb.Exec(t, database, fmt.Sprintf(`ALTER ROLE %s NOLOGIN`, pgx.Identifier{byHand.Name}.Sanitize()))
	entries := testdb.Value[int64](t, database, `SELECT brownie.note_roles()`)
	if got := ledger(t, database, byHand.Name); got != "locked" {
		t.Errorf("the ledger says %q", got)
	}
	if again := testdb.Value[int64](t, database, `SELECT brownie.note_roles()`); again != entries {
		t.Errorf("it has %d entries, and then %d", entries, again)
	}
	testdb.Exec(t, database, fmt.Sprintf(`DROP OWNED BY %[1]s; DROP ROLE %[1]s`, pgx.Identifier{byHand.Name}.Sanitize()))
	testdb.Value[int64](t, database, `SELECT brownie.note_roles()`)
	if got := ledger(t, database, byHand.Name); got != "locked deleted" {
		t.Errorf("the ledger says %q", got)
	}
}

// TestLedgerOfOrganizations: whoever may delete an organization leaves an entry, and nobody can take it away.
func TestLedgerOfOrganizations(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t, testdb.Certificates)
	store := access.New(testdb.DB(t, database))
	service := testdb.Must(store.CreateRole(t.Context(), newRole(t, database, "service", "admin", nil)))(t)
	acme, other, third := newOrganization(t, database, "acme"), newOrganization(t, database, "other"), newOrganization(t, database, "third")
	bound := testdb.Must(store.CreateRole(t.Context(), newRole(t, database, "bound", "reader", &acme)))(t)
	conn := login(t, database, service.Name)
	for _, statement := range []string{
		`DELETE FROM public.organizations WHERE slug = 'acme'`,
		`INSERT INTO public.organizations (id, name, slug) VALUES ('` + acme + `', 'acme', 'acme')`,
		`DELETE FROM public.organizations WHERE slug = 'other'`,
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	for name, want := range map[string]string{acme: "deleted back", other: "deleted", third: "", bound.Name: "deleted", service.Name: ""} {
		if got := ledger(t, database, name); got != want {
			t.Errorf("of %s the ledger says %q, want %q", name, got, want)
		}
	}
	if slug := testdb.Value[string](t, database, `SELECT slug FROM brownie.backup_ledger WHERE name = $1`, other); slug != "other" {
		t.Errorf("the slug is %q", slug)
	}

	backups := testdb.Must(store.CreateRole(t.Context(), newRole(t, database, "backups", "backup", nil)))(t)
	for role, rights := range map[string]string{service.Name: "", backups.Name: "SELECT"} {
		conn := login(t, database, role)
		for statement, right := range map[string]string{
			`SELECT count(*) FROM brownie.backup_ledger`: "SELECT", `DELETE FROM brownie.backup_ledger`: "DELETE",
			`UPDATE brownie.backup_ledger SET event = 'back'`: "UPDATE", `TRUNCATE brownie.backup_ledger`: "TRUNCATE",
			`INSERT INTO brownie.backup_ledger (at, kind, name, event) VALUES (now(), 'role', 'x', 'back')`: "INSERT",
			`SELECT brownie.note('role', '{x}', '{back}')`:                                                  "EXECUTE",
		} {
			_, err := conn.Exec(t.Context(), statement)
			if allowed := right == rights; (err == nil) != allowed {
				t.Errorf("%s: %s: %v", role, statement, err)
			}
		}
	}
	if n := testdb.Value[int](t, database, `SELECT count(*)::int FROM brownie.backup_ledger`); n != 4 {
		t.Errorf("the ledger has %d entries", n)
	}

	testdb.Exec(t, database, `TRUNCATE public.organizations CASCADE`)
	if got := ledger(t, database, acme) + ", " + ledger(t, database, third) + ", " + ledger(t, database, backups.Name); got != "deleted back deleted, deleted, deleted" {
		t.Errorf("after TRUNCATE the ledger says %q", got)
	}
}

// TestManyInLedger: making organizations writes nothing, and deleting many at once writes as many entries by one statement.
func TestManyInLedger(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	testdb.Exec(t, database, `INSERT INTO public.organizations (name, slug) SELECT 'n' || n, 'n' || n FROM generate_series(1, 5000) AS n`)
	count := `SELECT count(*)::int FROM brownie.backup_ledger`
	if n := testdb.Value[int](t, database, count); n != 0 {
		t.Errorf("making organizations writes %d entries", n)
	}
	conn := testdb.Must(pgx.Connect(t.Context(), testdb.Server(t, database).URL(database)))(t)
	defer func() { _ = conn.Close(t.Context()) }()
	rows := testdb.Must(conn.Query(t.Context(), `EXPLAIN (ANALYZE, COSTS off, TIMING off) DELETE FROM public.organizations`))(t)
	lines := testdb.Must(pgx.CollectRows(rows, pgx.RowTo[string]))(t)
	var fired string
	for _, line := range lines {
		if strings.Contains(line, "note_delete") || strings.Contains(line, "Execution Time") {
			fired += line + "\n"
		}
	}
	t.Log(fired)
	if !strings.Contains(fired, "note_delete") || !strings.Contains(fired, "calls=1\n") {
		t.Errorf("the trigger ran thus: %s", fired)
	}
	if n := testdb.Value[int](t, database, count); n != 5000 {
		t.Errorf("%d entries", n)
	}
}
