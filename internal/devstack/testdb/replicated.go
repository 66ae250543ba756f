package testdb

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

// Replicated is a server of the test's own with a standby. Its migrated database "d" belongs to the role "administrator", which may
// make roles; the role "service" reads the rows of tenants as a service role does.
type Replicated struct{ Primary, Standby *devstack.Postgres }

// NewReplicated starts them. The test is skipped where no standby can be started.
func NewReplicated(t testing.TB) Replicated {
	t.Helper()
	r := Replicated{Primary: Must(devstack.StartPostgres(t.Context(), devstack.Options{HBA: []string{devstack.ReplicationHBA}}))(t)}
	t.Cleanup(func() { _ = r.Primary.Stop(context.Background()) })
	r.Exec(t, "postgres", `CREATE ROLE administrator LOGIN CREATEROLE`, `CREATE DATABASE d OWNER administrator`)
	Migrate(t, ConfigOn(t, r.Primary, "d", "administrator"))
	r.Exec(t, "d", `CREATE ROLE service LOGIN IN ROLE brownie_admin, brownie_all_tenants`, `GRANT CONNECT ON DATABASE d TO service`,
		`INSERT INTO brownie.role_bindings (role_name, access) VALUES ('service', 'admin')`)
	standby, err := r.Primary.StartStandby(t.Context(), options())
	if errors.Is(err, devstack.ErrNoStandby) {
		t.Skip(err)
	}
	r.Standby = Must(standby, err)(t)
	return r
}

// Exec runs statements on the primary, as the administrator, and waits until the standby has seen them.
func (r Replicated) Exec(t testing.TB, database string, statements ...string) {
	t.Helper()
	conn := Must(pgx.Connect(t.Context(), r.Primary.URL(database)))(t)
	defer func() { _ = conn.Close(context.Background()) }()
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if r.Standby == nil {
		return
	}
	var written string
	if err := conn.QueryRow(t.Context(), `SELECT pg_current_wal_insert_lsn()::text`).Scan(&written); err != nil {
		t.Fatal(err)
	}
	standby := Must(pgx.Connect(t.Context(), r.Standby.URL("postgres")))(t)
	defer func() { _ = standby.Close(context.Background()) }()
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(20 * time.Millisecond) {
		var seen bool
		if err := standby.QueryRow(t.Context(), `SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn`, written).Scan(&seen); err != nil {
			t.Fatal(err)
		}
		if seen {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the standby does not follow")
		}
	}
}
