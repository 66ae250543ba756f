package access_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// hardened is a database as PostgreSQL 14 left it, hardened for CVE-2018-1058: its schema public belongs to the
// administrator, and PUBLIC may do nothing there. Its owner is no superuser.
type hardened struct {
	database, owner string
	config          postgres.Config
	db              *postgres.DB
}

func newHardened(t *testing.T) hardened {
	t.Helper()
	h := hardened{database: testdb.Empty(t, testdb.Certificates)}
	h.owner = "owner-" + h.database
	testdb.Exec(t, h.database, `CREATE ROLE "`+h.owner+`" LOGIN CREATEROLE`)
	testdb.Exec(t, h.database, `ALTER DATABASE `+h.database+` OWNER TO "`+h.owner+`"`)
	testdb.Exec(t, h.database, `ALTER SCHEMA public OWNER TO CURRENT_USER; REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT CREATE, `+
		`USAGE ON SCHEMA public TO "`+h.owner+`"`)
	// As the guide says where several owners share a cluster.
	testdb.Exec(t, h.database, `GRANT brownie_reader, brownie_writer, brownie_admin, brownie_all_tenants, brownie_migrator, brownie_monitor,
		brownie_backup, brownie_pooler, brownie_pooled TO "`+h.owner+`" WITH ADMIN OPTION`)
	testdb.Exec(t, h.database, `ALTER ROLE "`+h.owner+`" SET createrole_self_grant = 'set, inherit'`)
	t.Cleanup(func() {
		// Other tests change memberships in the group roles at the same moment.
		var err error
		for range 10 {
			if err = testdb.TryExec(t, h.database, `REASSIGN OWNED BY "`+h.owner+`" TO CURRENT_USER; DROP OWNED BY "`+h.owner+`" `+
				`CASCADE; DROP ROLE "`+h.owner+`"`); err == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Error(err)
	})
	h.config = testdb.ConfigAs(t, h.database, h.owner)
	h.db = postgres.New(h.config)
	t.Cleanup(h.db.Close)
	return h
}

// A migration whose GRANT had no effect fails, and says what to run as whom; then it goes on.
func TestGrantsWithoutEffectAreErrors(t *testing.T) {
	t.Parallel()
	h := newHardened(t)
	err := testdb.TryMigrate(t, h.config)
	if err == nil {
		t.Fatal("the migration went through, but tenants may not use the schema")
	}
	for _, words := range []string{
		h.owner, "brownie_reader lacks USAGE on schema public", "As postgres (the owner) or a superuser", `GRANT USAGE ON SCHEMA ` +
			`public TO brownie_reader;`,
	} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("the error does not say %q: %s", words, err)
		}
	}
	_, remedy, _ := strings.Cut(err.Error(), "then apply again: ")
	for statement := range strings.SplitSeq(remedy, ";") {
		if statement = strings.TrimSpace(statement); strings.HasPrefix(statement, "GRANT") || strings.HasPrefix(statement, "REVOKE") {
			testdb.Exec(t, h.database, statement)
		}
	}
	if err := testdb.TryMigrate(t, h.config); err != nil {
		t.Fatalf("the remedy did not help: %s", err)
	}
}

// As the guide says, the owner may hand on what it has in the schema.
func TestTheGuidesGrantsAreEnough(t *testing.T) {
	t.Parallel()
	h := newHardened(t)
	testdb.Exec(t, h.database, `GRANT CREATE, USAGE ON SCHEMA public TO "`+h.owner+`" WITH GRANT OPTION`)
	testdb.Migrate(t, h.config)
	acme := newOrganization(t, h.database, "acme")
	store := access.New(h.db)
	tenant := testdb.Must(store.CreateRole(t.Context(), newRole(t, h.database, "acme-app", "reader", &acme)))(t)
	var count int
	if err := login(t, h.database, tenant.Name).QueryRow(t.Context(), `SELECT count(*) FROM teams`).Scan(&count); err != nil || count != 1 {
		t.Errorf("the tenant sees %d teams: %v", count, err)
	}
	// Nobody but a superuser can take these from tenants, so the proof and the guide name them.
	var counters, objects int
	if err := login(t, h.database, tenant.Name).QueryRow(t.Context(), `SELECT pg_stat_get_xact_tuples_fetched('users'::regclass), `+
		`lo_create(0)::int`).Scan(&counters, &objects); err != nil {
		t.Errorf("the guide says that a tenant can read counters and store large objects; mend the guide: %v", err)
	}
	told := testdb.Must(store.ProveIsolation(t.Context()))(t).KnownChannels
	for _, channel := range []string{"statistics functions", "large objects"} {
		if !slices.ContainsFunc(told, func(f access.Finding) bool { return f.Attack == channel }) {
			t.Errorf("the proof does not tell of %s: %+v", channel, told)
		}
	}
}

// A later major version of PostgreSQL has more statistics functions, which it gives to everybody.
func TestTheProofTellsOfEachStatisticsFunction(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t, testdb.Certificates)
	store := access.New(testdb.DB(t, database))
	told := func() (details []string) {
		for _, f := range testdb.Must(store.ProveIsolation(t.Context()))(t).KnownChannels {
			if f.Attack == "statistics functions" {
				details = append(details, f.Detail)
			}
		}
		return details
	}
	if details := told(); len(details) > 0 {
		t.Errorf("a superuser migrated, and still: %q", details)
	}
	testdb.Exec(t, database, `GRANT EXECUTE ON FUNCTION pg_stat_get_lastscan(oid) TO PUBLIC`)
	if details := told(); len(details) != 1 || !strings.Contains(details[0], "(pg_stat_get_lastscan(oid)) tell") {
		t.Errorf("the proof tells %q", details)
	}
}

// The binding view reads as the owner of the bindings, and must not ask policies that hold for whatever that inherits.
func TestPoliciesDoNotRecurse(t *testing.T) {
	t.Parallel()
	h := newHardened(t)
	testdb.Exec(t, h.database, `GRANT USAGE ON SCHEMA public TO brownie_reader, brownie_writer, brownie_admin, brownie_all_tenants, `+
		`brownie_backup`)
	testdb.Migrate(t, h.config)
	store := access.New(h.db)
	acme := newOrganization(t, h.database, "acme")
	newOrganization(t, h.database, "globex")
	tenant := testdb.Must(store.CreateRole(t.Context(), newRole(t, h.database, "acme-app", "admin", &acme)))(t)
	server := testdb.Must(store.CreateRole(t.Context(), newRole(t, h.database, "server", "admin", nil)))(t)
	for _, inherits := range []string{
		`SELECT`, // what createrole_self_grant and the guide's grants do
		`GRANT brownie_reader, brownie_writer, brownie_admin, brownie_all_tenants, brownie_backup TO "` + h.owner + `" WITH INHERIT TRUE`,
		`GRANT "` + tenant.Name + `", "` + server.Name + `" TO "` + h.owner + `" WITH INHERIT TRUE`,
	} {
		testdb.Exec(t, h.database, inherits)
		for role, organizations := range map[string]int{tenant.Name: 1, server.Name: 2} {
			conn := login(t, h.database, role)
			var count int
			if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM organizations`).Scan(&count); err != nil || count != organizations {
				t.Errorf("after %s, role %s sees %d organizations: %v", inherits, role, count, err)
			}
			if tag, err := conn.Exec(t.Context(), `UPDATE teams SET description = 'x'`); err != nil ||
				tag.RowsAffected() != int64(organizations) {
				t.Errorf("after %s, role %s changes %s: %v", inherits, role, tag, err)
			}
		}
		if proof := prove(t, store, h.database); !proof.Isolated {
			t.Errorf("after %s: %s", inherits, proof.Summary())
		}
	}
}

// Where the schema's owner is the group of the migrators, it may belong to what it likes, too.
func TestMigratorsMayInheritTenants(t *testing.T) {
	t.Parallel()
	i := newIsolated(t)
	testdb.Exec(t, i.database, `GRANT "`+i.role.Name+`", "`+i.server.Name+`" TO brownie_migrator WITH INHERIT TRUE`)
	t.Cleanup(func() {
		testdb.Exec(t, i.database, `REVOKE "`+i.role.Name+`", "`+i.server.Name+`" FROM brownie_migrator`)
	})
	rows, err := login(t, i.database, i.role.Name).Query(t.Context(), `SELECT slug FROM organizations`)
	if err != nil {
		t.Fatal(err)
	}
	slugs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	var refused *pgconn.PgError
	if errors.As(err, &refused) || len(slugs) != 1 || !strings.HasPrefix(slugs[0], "acme") {
		t.Errorf("the tenant sees %q: %v", slugs, err)
	}
}
