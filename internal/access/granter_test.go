package access_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// recommended is a server of its own with the login of the guide: it owns its database and may create roles. Roles belong to the
// cluster, so that the granter of other tests is not this one.
type recommended struct {
	server *devstack.Postgres
	admin  *pgx.Conn
	config postgres.Config
	store  *access.Store
}

const recommendedLogin = "brownie-terraform"

func newRecommended(t *testing.T, before ...string) recommended {
	t.Helper()
	server := testdb.Must(devstack.StartPostgres(t.Context(), devstack.Options{HBA: []string{"# a server of its own"}}))(t)
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	admin := testdb.Must(pgx.Connect(t.Context(), server.URL("postgres")))(t)
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	r := recommended{server: server, admin: admin}
	for _, sql := range append([]string{
		`CREATE ROLE "` + recommendedLogin + `" LOGIN CREATEROLE`, `CREATE DATABASE brownie OWNER "` + recommendedLogin + `"`,
	}, before...) {
		r.exec(t, sql)
	}
	r.config = testdb.ConfigOn(t, server, "brownie", recommendedLogin)
	testdb.Migrate(t, r.config)
	db := postgres.New(r.config)
	t.Cleanup(db.Close)
	r.store = access.New(db)
	return r
}

func (r recommended) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := r.admin.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %s", sql, err)
	}
}

// granted tells who granted the groups to a role, and how many.
func (r recommended) granted(t *testing.T, role string) string {
	t.Helper()
	var grantors string
	if err := r.admin.QueryRow(t.Context(), `SELECT coalesce(string_agg(DISTINCT grantor::regrole || ' ' || n, ', '), 'nobody') FROM (
		SELECT grantor, count(*) AS n FROM pg_auth_members WHERE member = $1::text::regrole AND roleid::regrole::text LIKE 'brownie%'
		GROUP BY grantor) AS g`, `"`+role+`"`).Scan(&grantors); err != nil {
		t.Fatal(err)
	}
	return grantors
}

func (r recommended) make(t *testing.T, name, level string) access.Role {
	t.Helper()
	return testdb.Must(r.store.CreateRole(t.Context(), access.Role{Name: name, Access: level, Pooled: true, ConnectionLimit: -1}))(t)
}

// Whoever made many roles is a member of each, and PostgreSQL walks all of that at each GRANT. The granter has few.
func TestTheGranterHandsOutTheGroups(t *testing.T) {
	t.Parallel()
	r := newRecommended(t)
	role := r.make(t, "acme-app", "writer")
	if got := r.granted(t, role.Name); got != "brownie_granter 4" {
		t.Fatalf("the groups were granted by %s", got)
	}
	// What the login granted itself, as an earlier version did, stays as it is.
	r.exec(t, fmt.Sprintf(`REVOKE brownie_pooled FROM "acme-app" GRANTED BY brownie_granter; SET ROLE "%s"; `+
		`GRANT brownie_pooled TO "acme-app" WITH INHERIT TRUE, SET FALSE; RESET ROLE`, recommendedLogin))
	changed := role
	changed.Access = "reader"
	testdb.Must(r.store.UpdateRole(t.Context(), role, changed))(t)
	if got := r.granted(t, role.Name); got != `brownie_granter 3, "brownie-terraform" 1` && got != `"brownie-terraform" 1, brownie_granter 3` {
		t.Errorf("after a change, the groups were granted by %s", got)
	}
	var may string
	if err := r.admin.QueryRow(t.Context(), `SELECT concat_ws(' ', rolcanlogin, rolinherit, rolcreaterole, rolsuper,
		(SELECT count(*) FROM pg_auth_members WHERE roleid = r.oid AND member <> $1::text::regrole),
		(SELECT bool_or(inherit_option OR set_option) FROM pg_auth_members WHERE member = r.oid),
		(SELECT bool_or(inherit_option) FROM pg_auth_members WHERE roleid = r.oid))
		FROM pg_roles r WHERE rolname = 'brownie_granter'`, `"`+recommendedLogin+`"`).Scan(&may); err != nil {
		t.Fatal(err)
	}
	if may != "f t f f 0 f f" {
		t.Errorf("the granter may more than hand out groups: %s", may)
	}
	if err := r.store.DropRole(t.Context(), changed, ""); err != nil {
		t.Error(err)
	}
	if _, err := r.store.Role(t.Context(), role.Name); !errors.Is(err, problem.ErrNotFound) {
		t.Errorf("the role is still there: %v", err)
	}
}

// PostgreSQL revokes nothing, and only warns, where a statement does not say who granted.
func TestTheRemedyRevokesWhatAnotherRoleGranted(t *testing.T) {
	t.Parallel()
	r := newRecommended(t)
	role := r.make(t, "acme-app", "writer")
	r.exec(t, `CREATE DATABASE other`)
	for _, sql := range []string{
		`CREATE ROLE brownie_connect_other`, `GRANT CONNECT ON DATABASE other TO brownie_connect_other`,
		`GRANT brownie_connect_other TO brownie_granter WITH ADMIN OPTION`,
		`GRANT brownie_connect_other TO "acme-app" GRANTED BY brownie_granter`,
	} {
		r.exec(t, sql)
	}
	blockers := testdb.Must(r.store.CheckDrop(t.Context(), role.Name, ""))(t)
	if len(blockers) != 1 {
		t.Fatalf("got the blockers %v, want the right to connect to the other database", blockers)
	}
	_, remedy, _ := strings.Cut(strings.TrimSuffix(blockers[0].Remedy, "."), ": ")
	r.exec(t, remedy)
	if err := r.store.DropRole(t.Context(), role, ""); err != nil {
		t.Errorf("after %s: %s", remedy, err)
	}
}

// A membership that another role granted, that role or a superuser must revoke.
func TestWhoGrantedAMembershipIsNamed(t *testing.T) {
	t.Parallel()
	r := newRecommended(t)
	role := r.make(t, "acme-app", "writer")
	r.exec(t, `CREATE ROLE other; GRANT brownie_admin TO other WITH ADMIN OPTION; SET ROLE other; GRANT brownie_admin TO "acme-app"; RESET ROLE`)
	_, err := r.store.UpdateRole(t.Context(), role, role)
	const remedy = `REVOKE brownie_admin FROM "acme-app" GRANTED BY other`
	if !strings.Contains(fmt.Sprint(err), remedy) {
		t.Fatalf("got %v, want %s", err, remedy)
	}
	r.exec(t, remedy)
	testdb.Must(r.store.UpdateRole(t.Context(), role, role))(t)
}

// A role of that name which is somebody else's is not used, and gets no right that its members lack.
func TestAGranterOfSomebodyElseGetsNothing(t *testing.T) {
	t.Parallel()
	for name, before := range map[string][]string{
		"of another owner": {`CREATE ROLE other LOGIN CREATEROLE`, `SET ROLE other`, `CREATE ROLE brownie_granter`, `RESET ROLE`},
		"that logs in":     {`CREATE ROLE brownie_granter LOGIN`, `GRANT brownie_granter TO "brownie-terraform" WITH ADMIN OPTION`},
		"with another member": {
			`CREATE ROLE other LOGIN`, `CREATE ROLE brownie_granter`, `GRANT brownie_granter TO other`,
			`GRANT brownie_granter TO "brownie-terraform" WITH ADMIN OPTION`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRecommended(t, before...)
			r.make(t, "acme-app", "writer")
			if got := r.granted(t, "acme-app"); got != `"brownie-terraform" 4` {
				t.Errorf("the groups were granted by %s", got)
			}
			if got := r.granted(t, "brownie_granter"); got != "nobody" {
				t.Errorf("the granter was given groups by %s", got)
			}
		})
	}
}

// transactions counts those of the login while it does something. No other process of the server may make any meanwhile.
func (r recommended) transactions(t *testing.T, do func(*access.Store) error) int64 {
	t.Helper()
	r.exec(t, `ALTER SYSTEM SET autovacuum = off`)
	r.exec(t, `SELECT pg_reload_conf()`)
	count := func() (n int64) {
		t.Helper()
		const sql = `SELECT xact_commit, (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counted') FROM pg_stat_database
			WHERE datname = 'brownie'`
		for open := int64(1); open > 0; time.Sleep(20 * time.Millisecond) { // A session tells its counters when it ends.
			if err := r.admin.QueryRow(t.Context(), sql).Scan(&n, &open); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	config := r.config
	config.ApplicationName = "counted"
	before, db := count(), postgres.New(config)
	if err := do(access.New(db)); err != nil {
		t.Error(err)
	}
	db.Close()
	return count() - before
}

// A drop of an idle role has nobody to lock out first.
func TestAnIdleRoleIsDroppedInOneTransaction(t *testing.T) {
	t.Parallel()
	r := newRecommended(t)
	role := r.make(t, "acme-app", "writer")
	read := func(s *access.Store) error { _, err := s.Role(t.Context(), role.Name); return err }
	alone := r.transactions(t, read)
	with := r.transactions(t, func(s *access.Store) error { return errors.Join(read(s), s.DropRole(t.Context(), role, "")) })
	if with != alone+1 {
		t.Errorf("reading takes %d transactions, and with a drop %d", alone, with)
	}
}

// The proof names the membership by which a tenant's role gets above tenants, and roles that others are members of and that log in.
func TestTheProofSeesWhoHandsOutGroups(t *testing.T) {
	t.Parallel()
	r := newRecommended(t)
	conn := testdb.Must(pgx.Connect(t.Context(), r.server.URL("brownie")))(t)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	var organization string
	if err := conn.QueryRow(t.Context(), `INSERT INTO organizations (name, slug) VALUES ('Acme', 'acme') RETURNING id::text`).
		Scan(&organization); err != nil {
		t.Fatal(err)
	}
	testdb.Must(r.store.CreateRole(t.Context(), access.Role{
		Name: "acme-app", Access: "writer", OrganizationID: &organization, Pooled: true, ConnectionLimit: 5,
	}))(t)
	r.make(t, "server-app", "writer")
	open := func() (found []access.Finding) {
		t.Helper()
		for _, finding := range testdb.Must(r.store.ProveIsolation(t.Context()))(t).Findings {
			if !finding.Stopped {
				found = append(found, finding)
			}
		}
		return found
	}
	if found := open(); len(found) > 0 {
		t.Fatalf("before anything is wrong: %+v", found)
	}
	const others = "brownie_maker_1_1"
	r.exec(t, `CREATE ROLE former LOGIN; CREATE ROLE `+others+` ADMIN former`)
	var maker string
	if err := r.admin.QueryRow(t.Context(), `SELECT rolname FROM pg_roles WHERE rolname LIKE 'brownie\_maker\_%' AND rolcreaterole`).Scan(&maker); err != nil {
		t.Fatal(err)
	}
	for sql, want := range map[string][2]string{
		`GRANT ` + others + ` TO "acme-app"`:       {"set role", "REVOKE " + others + " FROM \"acme-app\" GRANTED BY "},
		`ALTER ROLE ` + others + ` CREATEROLE`:     {"attributes", "ALTER ROLE " + others + " NOCREATEROLE"},
		`ALTER ROLE ` + maker + ` LOGIN`:           {"login", "ALTER ROLE " + maker + " NOLOGIN"},
		`GRANT brownie_granter TO "acme-app"`:      {"set role", "REVOKE brownie_granter FROM \"acme-app\" GRANTED BY "},
		`GRANT "server-app" TO "acme-app"`:         {"set role", "REVOKE \"server-app\" FROM \"acme-app\" GRANTED BY "},
		`GRANT pg_read_all_data TO brownie_writer`: {"set role", "REVOKE pg_read_all_data FROM brownie_writer GRANTED BY "},
		`ALTER ROLE brownie_reader LOGIN`:          {"login", "ALTER ROLE brownie_reader NOLOGIN"},
		`ALTER ROLE brownie_all_tenants LOGIN`:     {"login", "ALTER ROLE brownie_all_tenants NOLOGIN"},
		`ALTER ROLE brownie_granter LOGIN`:         {"login", "ALTER ROLE brownie_granter NOLOGIN"},
		`ALTER ROLE brownie_connect_brownie LOGIN`: {"login", "ALTER ROLE brownie_connect_brownie NOLOGIN"},
	} {
		r.exec(t, sql)
		found := open()
		if len(found) == 0 {
			t.Errorf("%s: it was not found", sql)
		}
		for _, finding := range found {
			_, remedy, _ := strings.Cut(finding.Detail, ": ")
			if finding.Attack == want[0] && strings.HasPrefix(remedy, want[1]) {
				r.exec(t, remedy)
				break
			}
		}
		if found := open(); len(found) > 0 {
			t.Fatalf("%s: after the remedy: %+v", sql, found)
		}
	}
}
