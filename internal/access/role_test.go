package access_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// newOrganization returns the ID of a new organization with one team.
func newOrganization(t *testing.T, database, slug string) string {
	t.Helper()
	return testdb.Value[string](t, database, `
		WITH o AS (INSERT INTO organizations (name, slug) VALUES ($1, $1) RETURNING id),
			t AS (INSERT INTO teams (organization_id, name, slug) SELECT id, 'core', 'core' FROM o)
		SELECT id::text FROM o`, slug)
}

// newRole returns a role that does not exist yet, under a name that no other test has: roles belong to the cluster. The
// role is dropped when the test ends.
func newRole(t *testing.T, database, base, level string, organizationID *string) access.Role {
	t.Helper()
	name := strings.Replace(database, "brownie_test", base, 1)
	forget(t, database, name)
	return access.Role{Name: name, Access: level, OrganizationID: organizationID, Pooled: true, ConnectionLimit: -1}
}

func forget(t *testing.T, database, name string) {
	t.Helper()
	t.Cleanup(func() {
		if err := access.New(testdb.DB(t, database)).DropRole(context.Background(), name, "postgres"); err != nil {
			t.Errorf("cannot drop the test's role: %s", err)
		}
	})
}

func login(t *testing.T, database, role string) *pgx.Conn {
	t.Helper()
	conn, err := connect(t.Context(), testdb.ConfigAs(t, database, role))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func TestRoleLifecycle(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t, testdb.Certificates)
	store := access.New(testdb.DB(t, database))
	acme := newOrganization(t, database, "acme")
	role := newRole(t, database, "acme-app", "writer", &acme)
	timeout, until := int64(1500), time.Now().Add(time.Hour).Truncate(time.Microsecond).UTC()
	role.StatementTimeout, role.ValidUntil, role.ConnectionLimit = &timeout, &until, 7

	created := must(store.CreateRole(t.Context(), role))(t)
	want := role
	want.OID, want.Attributes, want.MemberOf = created.OID, access.Attributes, []string{"brownie_pooled", "brownie_writer"}
	if got := inUTC(created); !reflect.DeepEqual(got, inUTC(want)) || created.OID == 0 {
		t.Errorf("created %+v, want %+v", got, want)
	}
	if read := must(store.Role(t.Context(), role.Name))(t); !reflect.DeepEqual(inUTC(read), inUTC(created)) {
		t.Errorf("read %+v, created %+v", read, created)
	}
	var duplicate *access.DuplicateError
	if _, err := store.CreateRole(t.Context(), role); !errors.As(err, &duplicate) {
		t.Errorf("creating it twice: %v", err)
	}

	conn := login(t, database, role.Name)
	var rows int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM teams`).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("the role sees %d teams, %v", rows, err)
	}

	after := role
	after.Name = strings.Replace(database, "brownie_test", "acme-renamed", 1)
	after.Access, after.Pooled, after.StatementTimeout, after.ValidUntil, after.ConnectionLimit = "reader", false, nil, nil, -1
	forget(t, database, after.Name)
	renamed := must(store.UpdateRole(t.Context(), role.Name, after))(t)
	if renamed.OID != created.OID || !slices.Equal(renamed.MemberOf, []string{"brownie_reader"}) || renamed.ValidUntil != nil ||
		renamed.StatementTimeout != nil || *renamed.OrganizationID != acme {
		t.Errorf("renamed to %+v", renamed)
	}
	if _, err := conn.Exec(t.Context(), `DELETE FROM teams`); !strings.Contains(fmt.Sprint(err), "permission denied") {
		t.Errorf("an open session kept its right to write: %v", err)
	}

	if err := store.DropRole(t.Context(), after.Name, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Role(t.Context(), after.Name); !errors.Is(err, postgres.ErrNotFound) {
		t.Errorf("the dropped role: %v", err)
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a session of the dropped role goes on")
	}
	if n := testdb.Value[int](t, database, `SELECT count(*) FROM brownie.role_bindings`); n != 0 {
		t.Errorf("%d bindings are left", n)
	}
}

// inUTC brings times into one zone, for reflect.DeepEqual.
func inUTC(r access.Role) access.Role {
	if r.ValidUntil != nil {
		utc := r.ValidUntil.UTC()
		r.ValidUntil = &utc
	}
	return r
}

func TestDriftOfARoleIsSeenAndRepaired(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t, testdb.Certificates)
	store := access.New(testdb.DB(t, database))
	acme := newOrganization(t, database, "acme")
	role := newRole(t, database, "drifting", "reader", &acme)
	created := must(store.CreateRole(t.Context(), role))(t)
	other := newRole(t, database, "other-group", "reader", nil)
	must(store.CreateRole(t.Context(), other))(t)
	name := pgx.Identifier{role.Name}.Sanitize()
	// What others granted for reasons of their own, and must stay.
	testdb.Exec(t, database, `GRANT `+pgx.Identifier{other.Name}.Sanitize()+` TO `+name)
	testdb.Exec(t, database, `GRANT SELECT ON alembic_version TO `+name)
	keeps := func() bool {
		return testdb.Value[bool](t, database, `SELECT pg_has_role($1, $2, 'MEMBER') AND has_table_privilege($1, 'alembic_version', 'SELECT')`,
			role.Name, other.Name)
	}
	for drift, check := range map[string]func(access.Role) bool{
		`ALTER ROLE ` + name + ` PASSWORD 'secret'`:                           func(r access.Role) bool { return slices.Contains(r.Attributes, "PASSWORD") },
		`ALTER ROLE ` + name + ` NOLOGIN`:                                     func(r access.Role) bool { return !slices.Contains(r.Attributes, "LOGIN") },
		`ALTER ROLE ` + name + ` SUPERUSER BYPASSRLS CREATEROLE`:              func(r access.Role) bool { return len(r.Attributes) == 6 },
		`ALTER ROLE ` + name + ` REPLICATION CREATEDB NOINHERIT`:              func(r access.Role) bool { return slices.Contains(r.Attributes, "REPLICATION") },
		`ALTER ROLE ` + name + ` VALID UNTIL '2020-01-01'`:                    func(r access.Role) bool { return r.ValidUntil != nil },
		`ALTER ROLE ` + name + ` SET statement_timeout = '2min'`:              func(r access.Role) bool { return *r.StatementTimeout == 120_000 },
		`GRANT brownie_admin, brownie_all_tenants TO ` + name:                 func(r access.Role) bool { return len(r.MemberOf) == 4 },
		`REVOKE brownie_reader, brownie_pooled FROM ` + name:                  func(r access.Role) bool { return len(r.MemberOf) == 0 && !r.Pooled },
		`GRANT brownie_reader TO ` + name + ` WITH INHERIT FALSE`:             func(r access.Role) bool { return !slices.Contains(r.MemberOf, "brownie_reader") },
		`REVOKE CONNECT ON DATABASE ` + database + ` FROM ` + name:            func(r access.Role) bool { return !slices.Contains(r.Attributes, "CONNECT") },
		`DELETE FROM brownie.role_bindings WHERE organization_id IS NOT NULL`: func(r access.Role) bool { return r.Access == "" && r.OrganizationID == nil },
		`UPDATE brownie.role_bindings SET valid_until = now()`:                func(r access.Role) bool { return !slices.Equal(r.Attributes, access.Attributes) },
	} {
		testdb.Exec(t, database, drift)
		if drifted := must(store.Role(t.Context(), role.Name))(t); !check(drifted) {
			t.Errorf("%s: read as %+v", drift, drifted)
		}
		repaired := must(store.UpdateRole(t.Context(), role.Name, role))(t)
		if !reflect.DeepEqual(inUTC(repaired), inUTC(created)) {
			t.Errorf("%s: repaired to %+v", drift, repaired)
		}
		if !keeps() {
			t.Errorf("%s: the repair took away what others granted", drift)
		}
	}
}

func TestTheOrganizationOfARoleWithSessionsStays(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t, testdb.Certificates)
	store := access.New(testdb.DB(t, database))
	acme, globex := newOrganization(t, database, "acme"), newOrganization(t, database, "globex")
	role := newRole(t, database, "moving", "reader", &acme)
	must(store.CreateRole(t.Context(), role))(t)
	conn := login(t, database, role.Name)
	moved := role
	moved.OrganizationID = &globex
	var sessions *access.SessionsError
	if _, err := store.UpdateRole(t.Context(), role.Name, moved); !errors.As(err, &sessions) {
		t.Fatalf("got %v", err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for testdb.Value[bool](t, database, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = $1)`, role.Name) {
		time.Sleep(10 * time.Millisecond) // the server notices the end of a session a little later
	}
	if got := must(store.UpdateRole(t.Context(), role.Name, moved))(t); *got.OrganizationID != globex {
		t.Errorf("got %+v", got)
	}
	missing := role
	nowhere := "00000000-0000-4000-8000-000000000000"
	missing.OrganizationID = &nowhere
	var unknown *access.MissingError
	if _, err := store.UpdateRole(t.Context(), role.Name, missing); !errors.As(err, &unknown) {
		t.Errorf("an organization that does not exist: %v", err)
	}
}

func TestARoleThatOwnsObjectsIsNotDropped(t *testing.T) {
	t.Parallel()
	database, elsewhere := testdb.Migrated(t, testdb.Certificates), testdb.Empty(t, testdb.Certificates)
	store := access.New(testdb.DB(t, database))
	role, heir := newRole(t, database, "owning", "migrator", nil), newRole(t, database, "heir", "migrator", nil)
	must(store.CreateRole(t.Context(), role))(t)
	must(store.CreateRole(t.Context(), heir))(t)
	name := pgx.Identifier{role.Name}.Sanitize()
	testdb.Exec(t, database, `CREATE TABLE reports (id int); ALTER TABLE reports OWNER TO `+name)
	testdb.Exec(t, elsewhere, `CREATE TABLE notes (id int); GRANT SELECT ON notes TO `+name)

	var blocked *access.BlockedError
	err := store.DropRole(t.Context(), role.Name, "")
	if !errors.As(err, &blocked) || len(blocked.Blockers) != 2 {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"table reports", elsewhere, "reassign_owned_to"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not mention %s", err, part)
		}
	}
	if read := must(store.Role(t.Context(), role.Name))(t); !slices.Equal(read.Attributes, access.Attributes) {
		t.Errorf("the refusal changed the role: %+v", read)
	}
	testdb.Exec(t, elsewhere, `DROP OWNED BY `+name)
	var missing *access.MissingError
	if err := store.DropRole(t.Context(), role.Name, "nobody-of-that-name"); !errors.As(err, &missing) {
		t.Errorf("got %v", err)
	}
	if err := store.DropRole(t.Context(), role.Name, heir.Name); err != nil {
		t.Fatal(err)
	}
	if owner := testdb.Value[string](t, database, `SELECT tableowner FROM pg_tables WHERE tablename = 'reports'`); owner != heir.Name {
		t.Errorf("the table belongs to %s", owner)
	}
}

// Several applies, each with connections of its own, on two databases of one cluster.
func TestManyRolesAtOnce(t *testing.T) {
	t.Parallel()
	var group sync.WaitGroup
	for range 2 {
		database := testdb.Migrated(t, testdb.Certificates)
		acme := newOrganization(t, database, "acme")
		for apply := range 4 {
			store := access.New(testdb.DB(t, database))
			for n := range 5 {
				role := newRole(t, database, fmt.Sprintf("many-%d-%d", apply, n), "writer", &acme)
				group.Go(func() {
					for range 3 {
						if _, err := store.CreateRole(t.Context(), role); err != nil {
							t.Errorf("create: %s", err)
						}
						changed := role
						changed.Access, changed.Pooled, changed.OrganizationID = "reader", false, nil
						if _, err := store.UpdateRole(t.Context(), role.Name, changed); err != nil {
							t.Errorf("change: %s", err)
						}
						if err := store.DropRole(t.Context(), role.Name, ""); err != nil {
							t.Errorf("drop: %s", err)
						}
					}
				})
			}
		}
	}
	group.Wait()
}
