package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Who gives up a change before it is sent need not find out what became of it.
func TestWhatWasNotSentIsNotInterrupted(t *testing.T) {
	t.Parallel()
	config := testdb.Config(t, testdb.Empty(t))
	config.MaxConnections = 1
	db := postgres.New(config)
	t.Cleanup(db.Close)
	change := func(ctx context.Context, sql string) error {
		_, err := postgres.Change[one](ctx, db, postgres.Statement{SQL: sql})
		return err
	}
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/4)
		t.Cleanup(cancel)
		return ctx
	}
	given, giveUp := context.WithCancel(t.Context())
	giveUp()
	if err := change(given, `SELECT 'a' AS value`); !errors.Is(err, context.Canceled) || postgres.Interrupted(err) {
		t.Errorf("given up before: %v", err)
	}
	if err := db.Borrow(t.Context(), nil, func(*pgx.Conn) error { return change(soon(), `SELECT 'a' AS value`) }); err == nil ||
		postgres.Interrupted(err) {
		t.Errorf("given up while no connection was free: %v", err)
	}
	serialize := `DO $$ BEGIN RAISE serialization_failure; END $$`
	if err := change(soon(), serialize); err == nil || postgres.Interrupted(err) {
		t.Errorf("given up after all was rolled back: %v", err)
	}
	if err := change(soon(), `SELECT pg_sleep(600)::text AS value`); !postgres.Interrupted(err) {
		t.Errorf("given up in the middle: %v", err)
	}
}

// Whoever cancels what several share means none of them: it is not begun anew.
func TestACancelledChangeIsNotSplit(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	db := testdb.DB(t, database)
	for end, words := range map[string]string{
		"pg_cancel_backend":    "was cancelled",
		"pg_terminate_backend": "an administrator ended the session",
	} {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for !testdb.Value[bool](t, database, `SELECT coalesce(bool_or(`+end+`(pid)), false) FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event = 'PgSleep'`) {
				time.Sleep(10 * time.Millisecond)
			}
		}()
		statements := func([]int) ([]postgres.Statement, error) {
			return []postgres.Statement{{SQL: `SELECT pg_sleep(600)::text AS value`}}, nil
		}
		var told error
		alone := postgres.ChangeTogether(t.Context(), db, []int{1, 2}, statements, func(_ []one, err error) { told = err })
		<-ended
		if alone || told == nil || !strings.Contains(told.Error(), words) || !strings.Contains(told.Error(), "terraform apply again") {
			t.Errorf("%s: alone is %v, told was %v", end, alone, told)
		}
	}
}

// Whoever lacks a right on any of the tenants' tables is told with which role to log in.
func TestADeniedTableOfTenants(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t, testdb.Certificates)
	role := "denied-" + database
	testdb.Exec(t, database, `CREATE ROLE "`+role+`" LOGIN; GRANT CONNECT ON DATABASE `+database+` TO "`+role+
		`"; GRANT USAGE ON SCHEMA brownie TO "`+role+`"`)
	t.Cleanup(func() { testdb.Exec(t, database, `DROP OWNED BY "`+role+`"; DROP ROLE "`+role+`"`) })
	db := postgres.New(testdb.ConfigAs(t, database, role))
	t.Cleanup(db.Close)
	for _, table := range testdb.Value[[]string](t, database, `SELECT array_agg(DISTINCT n.nspname || '.' || c.relname)
		FROM pg_constraint k JOIN pg_class c ON c.oid IN (k.conrelid, k.confrelid) JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE k.confrelid = 'public.organizations'::regclass`) {
		_, err := postgres.Query[one](t.Context(), db, `SELECT '' AS value FROM `+table)
		if err == nil || !strings.Contains(err.Error(), "permission denied for table") || !strings.Contains(err.Error(), "brownie_migrator") {
			t.Errorf("%s: %v", table, err)
		}
	}
}
