package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// replicated is a primary at 127.0.0.1 and its standby at 127.0.0.2, behind one port.
type replicated struct{ testdb.Replicated }

const (
	atPrimary = "127.0.0.1"
	atStandby = "127.0.0.2"
)

func newReplicated(t *testing.T) replicated {
	t.Helper()
	r := replicated{testdb.NewReplicated(t)}
	relay(t, fmt.Sprintf("%s:%d", atStandby, r.Primary.Port()), fmt.Sprintf("%s:%d", r.Standby.Host(), r.Standby.Port()))
	return r
}

func (r replicated) config(t *testing.T, role, hosts, attrs string) postgres.Config {
	t.Helper()
	config := testdb.ConfigOn(t, r.Primary, "d", role)
	config.Host, config.SSLMode, config.TargetSessionAttrs = hosts, "verify-ca", attrs
	return config
}

func TestReadsFromAStandby(t *testing.T) {
	t.Parallel()
	r := newReplicated(t)
	t.Run("which server", r.testWhichServer)
	t.Run("bound", r.testBound)
	t.Run("attacker", r.testAttacker)
}

func (r replicated) testWhichServer(t *testing.T) {
	const both, reversed = atStandby + "," + atPrimary, atPrimary + "," + atStandby
	const standbySQL = `SELECT pg_is_in_recovery()::text AS value FROM public.organizations RIGHT JOIN (SELECT) AS always ON true`
	for _, test := range []struct{ attrs, hosts, reads, writes string }{
		{postgres.ReadWrite, both, "false", "false"},
		{postgres.AnyServer, both, "true", "false"},
		{postgres.AnyServer, reversed, "false", "false"},
		{postgres.PreferStandby, reversed, "true", "false"},
		{postgres.PreferStandby, both, "true", "false"},
		{postgres.PreferStandby, atPrimary, "false", "false"},
		{postgres.AnyServer, atStandby, "true", "does not accept writes"},
		{postgres.PreferStandby, atStandby, "true", "does not accept writes"},
		{postgres.ReadWrite, atStandby, "does not accept writes", "does not accept writes"},
	} {
		db := postgres.New(r.config(t, "service", test.hosts, test.attrs))
		reader := db.Reader()
		for what, asked := range map[string]struct {
			db   *postgres.DB
			want string
		}{"reads": {reader, test.reads}, "reads as the owner": {reader.AsOwner(), test.reads}, "writes": {db.AsOwner(), test.writes}} {
			got, err := postgres.QueryOne[one](t.Context(), asked.db, standbySQL)
			if !strings.Contains(got.Value+fmt.Sprint(err), asked.want) || err == nil && got.Value != asked.want {
				t.Errorf("%s of %s, %s: got %q, %v; want %s", test.attrs, test.hosts, what, got.Value, err, asked.want)
			}
		}
		reader.Close()
		db.Close()
	}
}

// Both kinds of connections together stay within the bound.
func (r replicated) testBound(t *testing.T) {
	config := r.config(t, "service", atPrimary, postgres.AnyServer)
	config.MaxConnections, config.ApplicationName = 3, "bounded"
	db := postgres.New(config)
	defer db.Close()
	reader := db.Reader()
	defer reader.Close()
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			if _, err := postgres.Query[one](t.Context(), []*postgres.DB{db, reader}[i%2], `SELECT pg_sleep(0.05)::text AS value`); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	conn := testdb.Must(pgx.Connect(t.Context(), r.Primary.URL("postgres")))(t)
	defer func() { _ = conn.Close(context.Background()) }()
	var open int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bounded'`).Scan(&open); err != nil ||
		open != 3 {
		t.Errorf("%d connections, %v; want 3", open, err)
	}
	config.MaxConnections = 1
	if err := config.Validate(); !strings.Contains(fmt.Sprint(err), "at least 2") {
		t.Errorf("one connection: %v", err)
	}
}

// Whoever owns the schema puts code into the way of the reads of an administrator. It must not run with the administrator's rights.
func (r replicated) testAttacker(t *testing.T) {
	r.Exec(t, "d", `SET ROLE brownie_migrator`,
		`CREATE FUNCTION brownie.attack() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
			BEGIN SET ROLE postgres; EXCEPTION WHEN OTHERS THEN NULL; END;
			BEGIN RESET ROLE; EXCEPTION WHEN OTHERS THEN NULL; END;
			RETURN current_user; END $$`,
		`CREATE VIEW brownie.bait AS SELECT brownie.attack() AS value`)
	for hosts, want := range map[string]string{
		atStandby + "," + atPrimary: "brownie_migrator", atPrimary + "," + atStandby: "brownie_migrator", atStandby: "only as the schema's owner",
	} {
		for _, login := range []string{"postgres", "administrator"} {
			reader := postgres.New(r.config(t, login, hosts, postgres.PreferStandby)).Reader()
			got, err := postgres.QueryOne[one](t.Context(), reader.AsOwner(), `SELECT value FROM brownie.bait`)
			if told := got.Value + fmt.Sprint(err); !strings.Contains(told, want) {
				t.Errorf("%s at %s: got %s, want %s", login, hosts, told, want)
			}
			reader.Close()
		}
	}
	// Nor does a login that becomes an administrator while it is connected.
	r.Exec(t, "d", `CREATE ROLE late_admin LOGIN`, `GRANT CONNECT ON DATABASE d TO late_admin`)
	reader := postgres.New(r.config(t, "late_admin", atStandby, postgres.AnyServer)).Reader()
	defer reader.Close()
	if _, err := postgres.QueryOne[one](t.Context(), reader, `SELECT '' AS value`); err != nil {
		t.Fatal(err)
	}
	r.Exec(t, "d", `ALTER ROLE late_admin SUPERUSER`)
	if got, err := postgres.QueryOne[one](t.Context(), reader.AsOwner(), `SELECT value FROM brownie.bait`); !strings.Contains(fmt.Sprint(err), "read-only") &&
		!strings.Contains(fmt.Sprint(err), "does not accept writes") {
		t.Errorf("the owner's code ran as %q, %v", got.Value, err)
	}
}
