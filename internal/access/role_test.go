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
		if err := access.New(testdb.DB(t, database)).DropRole(context.Background(), access.Role{Name: name}, "postgres"); err != nil {
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

func TestRoleLifecycle(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t, testdb.Certificates)
	store := access.New(testdb.DB(t, database))
	acme := newOrganization(t, database, "acme")
	role := newRole(t, database, "acme-app", "writer", &acme)
	timeout, until := 1500*time.Millisecond, time.Now().Add(time.Hour).Truncate(time.Microsecond).UTC()
	role.StatementTimeout, role.ValidUntil, role.ConnectionLimit = &timeout, &until, 7

	created := testdb.Must(store.CreateRole(t.Context(), role))(t)
	want := role
	want.OID, want.Attributes, want.MemberOf = created.OID, access.Role{}.WantedAttributes(), []string{"brownie_pooled", "brownie_writer"}
	if got := inUTC(created); !reflect.DeepEqual(got, inUTC(want)) || created.OID == 0 {
		t.Errorf("created %+v, want %+v", got, want)
	}
	if read := testdb.Must(store.Role(t.Context(), role.Name))(t); !reflect.DeepEqual(inUTC(read), inUTC(created)) {
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
	renamed := testdb.Must(store.UpdateRole(t.Context(), role, after))(t)
	if renamed.OID != created.OID || !slices.Equal(renamed.MemberOf, []string{"brownie_reader"}) || renamed.ValidUntil != nil ||
		renamed.StatementTimeout != nil || *renamed.OrganizationID != acme {
		t.Errorf("renamed to %+v", renamed)
	}
	if _, err := conn.Exec(t.Context(), `DELETE FROM teams`); !strings.Contains(fmt.Sprint(err), "permission denied") {
		t.Errorf("an open session kept its right to write: %v", err)
	}

	if err := store.DropRole(t.Context(), after, ""); err != nil {
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
	created := testdb.Must(store.CreateRole(t.Context(), role))(t)
	other := newRole(t, database, "other-group", "reader", nil)
	testdb.Must(store.CreateRole(t.Context(), other))(t)
	name, onward := pgx.Identifier{role.Name}.Sanitize(), pgx.Identifier{other.Name}.Sanitize()
	connectGroup := "brownie_connect_" + database
	// What others granted for reasons of their own, and must stay.
	testdb.Exec(t, database, `GRANT `+onward+` TO `+name)
	testdb.Exec(t, database, `GRANT SELECT ON alembic_version TO `+name)
	keeps := func() bool {
		return testdb.Value[bool](t, database, `SELECT pg_has_role($1, $2, 'MEMBER') AND has_table_privilege($1, 'alembic_version', `+
			`'SELECT')`,
			role.Name, other.Name)
	}
	has := func(attribute string) func(access.Role) bool {
		return func(r access.Role) bool { return slices.Contains(r.Attributes, attribute) }
	}
	for drift, check := range map[string]func(access.Role) bool{
		`ALTER ROLE ` + name + ` PASSWORD 'secret'`:               has("PASSWORD"),
		`ALTER ROLE ` + name + ` NOLOGIN`:                         func(r access.Role) bool { return !has("LOGIN")(r) },
		`ALTER ROLE ` + name + ` SUPERUSER BYPASSRLS CREATEROLE`:  func(r access.Role) bool { return len(r.Attributes) == 6 },
		`ALTER ROLE ` + name + ` REPLICATION CREATEDB NOINHERIT`:  has("REPLICATION"),
		`ALTER ROLE ` + name + ` VALID UNTIL '2020-01-01'`:        func(r access.Role) bool { return r.ValidUntil != nil },
		`ALTER ROLE ` + name + ` SET statement_timeout = '2min'`:  func(r access.Role) bool { return *r.StatementTimeout == 2*time.Minute },
		`GRANT brownie_admin, brownie_all_tenants TO ` + name:     func(r access.Role) bool { return len(r.MemberOf) == 4 },
		`REVOKE brownie_reader, brownie_pooled FROM ` + name:      func(r access.Role) bool { return len(r.MemberOf) == 0 && !r.Pooled },
		`GRANT brownie_reader TO ` + name + ` WITH INHERIT FALSE`: has("brownie_reader WITH NOINHERIT"),
		`GRANT brownie_migrator TO ` + name + ` WITH INHERIT FALSE, SET TRUE`: func(r access.Role) bool {
			return slices.Contains(r.MemberOf, "brownie_migrator")
		},
		`GRANT brownie_reader TO ` + name + ` WITH ADMIN OPTION; SET ROLE ` + name + `; GRANT brownie_reader TO ` + onward +
			`; RESET ROLE`: has("brownie_reader WITH ADMIN"),
		`ALTER ROLE ` + name + ` IN DATABASE ` + database + ` SET statement_timeout = '0x3e8'`: func(r access.Role) bool {
			return *r.StatementTimeout == time.Second
		},
		`ALTER ROLE ` + name + ` VALID UNTIL '-infinity'`:                  func(r access.Role) bool { return r.ValidUntil.Year() == 1 },
		`ALTER ROLE ` + name + ` VALID UNTIL '20000-01-01'`:                func(r access.Role) bool { return r.ValidUntil.Year() == 9999 },
		`REVOKE ` + connectGroup + ` FROM ` + name:                         func(r access.Role) bool { return !has("CONNECT")(r) },
		`GRANT ` + connectGroup + ` TO ` + name + ` WITH ADMIN OPTION`:     has(connectGroup + " WITH ADMIN"),
		`REVOKE CONNECT ON DATABASE ` + database + ` FROM ` + connectGroup: func(r access.Role) bool { return !has("CONNECT")(r) },
		`DELETE FROM brownie.role_bindings WHERE organization_id IS NOT NULL`: func(r access.Role) bool {
			return r.Access == "" && r.OrganizationID == nil
		},
		`UPDATE brownie.role_bindings SET valid_until = now()`: func(r access.Role) bool {
			return !slices.Equal(r.Attributes, access.Role{}.WantedAttributes())
		},
	} {
		testdb.Exec(t, database, drift)
		if drifted := testdb.Must(store.Role(t.Context(), role.Name))(t); !check(drifted) {
			t.Errorf("%s: read as %+v", drift, drifted)
		}
		repaired := testdb.Must(store.UpdateRole(t.Context(), role, role))(t)
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
	testdb.Must(store.CreateRole(t.Context(), role))(t)
	conn := login(t, database, role.Name)
	moved := role
	moved.OrganizationID = &globex
	var sessions *access.SessionsError
	if _, err := store.UpdateRole(t.Context(), role, moved); !errors.As(err, &sessions) {
		t.Fatalf("got %v", err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The server notices the end of a session a little later.
	testdb.Until(t, database, `SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = $1)`, role.Name)
	if got := testdb.Must(store.UpdateRole(t.Context(), role, moved))(t); *got.OrganizationID != globex {
		t.Errorf("got %+v", got)
	}
	missing := role
	nowhere := "00000000-0000-4000-8000-000000000000"
	missing.OrganizationID = &nowhere
	var unknown *access.MissingError
	if _, err := store.UpdateRole(t.Context(), role, missing); !errors.As(err, &unknown) {
		t.Errorf("an organization that does not exist: %v", err)
	}
}

func TestARoleThatOwnsObjectsIsNotDropped(t *testing.T) {
	t.Parallel()
	database, elsewhere := testdb.Migrated(t, testdb.Certificates), testdb.Empty(t, testdb.Certificates)
	store := access.New(testdb.DB(t, database))
	role, heir := newRole(t, database, "owning", "migrator", nil), newRole(t, database, "heir", "migrator", nil)
	testdb.Must(store.CreateRole(t.Context(), role))(t)
	testdb.Must(store.CreateRole(t.Context(), heir))(t)
	name := pgx.Identifier{role.Name}.Sanitize()
	testdb.Exec(t, database, `CREATE TABLE reports (id int); ALTER TABLE reports OWNER TO `+name)
	testdb.Exec(t, elsewhere, `CREATE TABLE notes (id int); GRANT SELECT ON notes TO `+name)

	var blocked *access.BlockedError
	err := store.DropRole(t.Context(), role, "")
	if !errors.As(err, &blocked) || len(blocked.Blockers) != 2 {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"table reports", elsewhere, "reassign_owned_to"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not mention %s", err, part)
		}
	}
	if read := testdb.Must(store.Role(t.Context(), role.Name))(t); !slices.Equal(read.Attributes, access.Role{}.WantedAttributes()) {
		t.Errorf("the refusal changed the role: %+v", read)
	}
	testdb.Exec(t, elsewhere, `DROP OWNED BY `+name)
	if err := store.DropRole(t.Context(), role, "nobody-of-that-name"); !errors.As(err, &blocked) {
		t.Errorf("got %v", err)
	}
	if err := store.DropRole(t.Context(), role, heir.Name); err != nil {
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
						if _, err := store.UpdateRole(t.Context(), role, changed); err != nil {
							t.Errorf("change: %s", err)
						}
						if err := store.DropRole(t.Context(), role, ""); err != nil {
							t.Errorf("drop: %s", err)
						}
					}
				})
			}
		}
	}
	group.Wait()
}

// Names that look like a number, a qualified name or a keyword, and ones with capitals.
func TestOddNames(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t, testdb.Certificates)
	store := access.New(testdb.DB(t, database))
	acme := newOrganization(t, database, "acme")
	suffix := strings.TrimPrefix(database, "brownie_test_")
	for _, name := range []string{"Acme_" + suffix, "a.b_" + suffix, strings.ReplaceAll(suffix, "_", "0"), "select." + suffix, "x@y-" +
		suffix} {
		forget(t, database, name)
		role := access.Role{Name: name, Access: "reader", OrganizationID: &acme, Pooled: true, ConnectionLimit: -1}
		testdb.Must(store.CreateRole(t.Context(), role))(t)
		changed := role
		changed.Access = "admin"
		if got := testdb.Must(store.UpdateRole(t.Context(), role, changed))(t); !slices.Equal(got.MemberOf, changed.Groups()) ||
			!slices.Equal(got.Attributes, access.Role{}.WantedAttributes()) {
			t.Errorf("%s: changed to %+v", name, got)
		}
	}
	if proof := prove(t, store, database); !proof.Isolated {
		t.Error("not isolated")
	}
}

func TestARoleThatWasReplacedIsLeftAlone(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t, testdb.Certificates)
	store := access.New(testdb.DB(t, database))
	role := testdb.Must(store.CreateRole(t.Context(), newRole(t, database, "replaced", "reader", nil)))(t)
	name := pgx.Identifier{role.Name}.Sanitize()
	testdb.Exec(t, database, `DROP OWNED BY `+name+`; DROP ROLE `+name+`; CREATE ROLE `+name+` SUPERUSER`)
	var replaced *access.ReplacedError
	if _, err := store.UpdateRole(t.Context(), role, role); !errors.As(err, &replaced) {
		t.Errorf("update: %v", err)
	}
	if err := store.DropRole(t.Context(), role, ""); !errors.As(err, &replaced) {
		t.Errorf("drop: %v", err)
	}
	if !testdb.Value[bool](t, database, `SELECT rolsuper FROM pg_roles WHERE rolname = $1`, role.Name) {
		t.Error("somebody else's role was changed")
	}
}

// A change whose connection breaks before it began is no success, whatever the role looks like.
func TestAnInterruptedChangeIsNoSuccess(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t, testdb.Certificates)
	store := access.New(testdb.DB(t, database))
	role := testdb.Must(store.CreateRole(t.Context(), newRole(t, database, "interrupted", "reader", nil)))(t)
	held, release := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() { // holds the lock that all changes of roles take
		err := testdb.DB(t, database).Borrow(t.Context(), nil, func(conn *pgx.Conn) error {
			_, err := conn.Exec(t.Context(), `BEGIN; LOCK TABLE brownie.role_bindings IN SHARE UPDATE EXCLUSIVE MODE`)
			close(held)
			<-release
			_, rollback := conn.Exec(t.Context(), "ROLLBACK")
			return errors.Join(err, rollback)
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-held
	for what, change := range map[string]func() error{
		"update": func() error { _, err := store.UpdateRole(t.Context(), role, role); return err },
		"create": func() error { _, err := store.CreateRole(t.Context(), role); return err },
		"drop":   func() error { return store.DropRole(t.Context(), role, "") },
	} {
		result := make(chan error, 1)
		go func() { result <- change() }()
		testdb.Until(t, database, `SELECT coalesce(bool_or(pg_terminate_backend(pid)), false) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'relation'`)
		if err := <-result; err == nil {
			t.Errorf("%s: an interrupted change is reported as a success", what)
		}
	}
	close(release)
	group.Wait()
	if read := testdb.Must(store.Role(t.Context(), role.Name))(t); !reflect.DeepEqual(inUTC(read), inUTC(role)) {
		t.Errorf("the role became %+v", read)
	}
}

// Somebody's long transaction makes a drop fail after a while, and locks nobody out.
func TestADropDoesNotWaitForever(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t, testdb.Certificates)
	store := access.New(testdb.DB(t, database))
	role := testdb.Must(store.CreateRole(t.Context(), newRole(t, database, "waiting", "migrator", nil)))(t)
	testdb.Exec(t, database, `CREATE TABLE reports (id int); ALTER TABLE reports OWNER TO `+pgx.Identifier{role.Name}.Sanitize())
	reader, err := connect(t.Context(), testdb.Config(t, database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close(context.Background()) })
	if _, err := reader.Exec(t.Context(), `BEGIN; SELECT * FROM reports`); err != nil {
		t.Fatal(err)
	}
	err = store.DropRole(t.Context(), role, "postgres")
	if err == nil || !strings.Contains(err.Error(), "another session kept a lock") {
		t.Errorf("got %v", err)
	}
	if read := testdb.Must(store.Role(t.Context(), role.Name))(t); !slices.Equal(read.Attributes, access.Role{}.WantedAttributes()) {
		t.Errorf("the role was locked out: %+v", read)
	}
	if _, err := reader.Exec(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
}

func TestWhatElseKeepsARoleFromBeingDropped(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t, testdb.Certificates)
	elsewhere := testdb.Migrated(t, testdb.Certificates)
	store, there := access.New(testdb.DB(t, database)), access.New(testdb.DB(t, elsewhere))
	role := testdb.Must(store.CreateRole(t.Context(), newRole(t, database, "shared", "reader", nil)))(t)
	other := testdb.Must(store.CreateRole(t.Context(), newRole(t, database, "member", "reader", nil)))(t)
	wantBlocked := func(words string) {
		t.Helper()
		var blocked *access.BlockedError
		if err := store.DropRole(t.Context(), role, "postgres"); !errors.As(err, &blocked) || !strings.Contains(err.Error(), words) {
			t.Errorf("got %v, want %s", err, words)
		}
	}
	// Another database uses the role, too.
	testdb.Must(there.UpdateRole(t.Context(), role, role))(t)
	wantBlocked("REVOKE brownie_connect_" + elsewhere)
	name, group := pgx.Identifier{role.Name}.Sanitize(), pgx.Identifier{other.Name}.Sanitize()
	testdb.Exec(t, elsewhere, `REVOKE brownie_connect_`+elsewhere+` FROM `+name)
	// It has handed out a membership.
	testdb.Exec(t, database, `GRANT pg_signal_backend TO `+name+` WITH ADMIN OPTION; SET ROLE `+name+`; GRANT pg_signal_backend TO `+
		group+`; RESET ROLE`)
	wantBlocked("pg_signal_backend")
	testdb.Exec(t, database, `REVOKE pg_signal_backend FROM `+name+` CASCADE`)
	// A temporary table, which goes away by itself, does not block.
	testdb.Exec(t, database, `GRANT CONNECT, TEMPORARY ON DATABASE `+database+` TO `+name)
	conn := login(t, database, role.Name)
	if _, err := conn.Exec(t.Context(), `CREATE TEMPORARY TABLE scratch (id int)`); err != nil {
		t.Fatal(err)
	}
	if err := store.DropRole(t.Context(), role, ""); err != nil {
		t.Error(err)
	}
}

// Whatever a tenant's login has open, its own role and others can be changed and dropped, by whom they are managed.
func TestATenantDoesNotBlockChangesOfRoles(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		`SELECT pg_advisory_lock(5031202603)`, // what the lock on changes of roles once was
		`BEGIN; SELECT * FROM brownie.current_binding; SELECT * FROM teams FOR UPDATE`,
		`BEGIN; ALTER ROLE CURRENT_USER PASSWORD NULL`,
		`BEGIN; ALTER ROLE CURRENT_USER SET work_mem = '4MB'`,
		`BEGIN; ALTER ROLE CURRENT_USER IN DATABASE DATABASE SET statement_timeout = '1h'`,
		`BEGIN; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC`,
		`BEGIN; SELECT lo_create(0)`,
	} {
		t.Run(sql, func(t *testing.T) {
			t.Parallel()
			i := newIsolated(t)
			testdb.Exec(t, i.database, `GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC`) // as where no superuser migrated
			session := login(t, i.database, i.role.Name)
			for range 2 { // an update may have ended it
				if session.Ping(t.Context()) != nil {
					session = login(t, i.database, i.role.Name)
				}
				if _, err := session.Exec(t.Context(), strings.ReplaceAll(sql, "DATABASE DATABASE", "DATABASE "+i.database)); err != nil {
					t.Fatal(err)
				}
				past := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
				changed := i.role
				changed.ValidUntil = &past
				i.role = testdb.Must(i.store.UpdateRole(t.Context(), i.role, changed))(t)
			}
			testdb.Must(i.store.CreateRole(t.Context(), newRole(t, i.database, "other", "reader", i.role.OrganizationID)))(t)
			if err := i.store.DropRole(t.Context(), i.role, ""); err != nil {
				t.Error(err)
			}
			if _, err := i.store.Role(t.Context(), i.role.Name); !errors.Is(err, postgres.ErrNotFound) {
				t.Errorf("after the drop: %v", err)
			}
		})
	}
}

// A binding ends at its time also for a transaction that began before.
func TestAnOpenTransactionEndsWithItsRole(t *testing.T) {
	t.Parallel()
	i := newIsolated(t)
	session := login(t, i.database, i.role.Name)
	teams := func() (count int) {
		t.Helper()
		if err := session.QueryRow(t.Context(), `SELECT count(*) FROM teams`).Scan(&count); err != nil {
			t.Fatal(err)
		}
		return count
	}
	if _, err := session.Exec(t.Context(), `BEGIN ISOLATION LEVEL READ COMMITTED`); err != nil {
		t.Fatal(err)
	}
	if got := teams(); got != 1 {
		t.Fatalf("the tenant sees %d teams", got)
	}
	now := time.Now()
	changed := i.role
	changed.ValidUntil = &now
	testdb.Must(i.store.UpdateRole(t.Context(), i.role, changed))(t)
	if got := teams(); got != 0 {
		t.Errorf("an open transaction sees %d teams after its role has expired", got)
	}
}
