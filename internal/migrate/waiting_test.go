package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// While a long transaction keeps an ALTER TABLE from its lock, others go on writing: they wait behind it for no longer
// than lock_timeout.
func TestAlterWaitsInSlices(t *testing.T) {
	t.Parallel()
	held := time.Minute
	if testing.Short() {
		held = 10 * time.Second
	}
	database := testdb.Empty(t)
	testdb.Exec(t, database, `CREATE TABLE data (n int); INSERT INTO data VALUES (1)`)
	open := func() *pgx.Conn {
		conn := testdb.Must(pgx.Connect(t.Context(), testdb.Server(t, database).URL(database)))(t)
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		if _, err := conn.Exec(t.Context(), "SET statement_timeout = 0; SET default_transaction_isolation = 'read committed'"); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	reader, writer := open(), open()
	for _, sql := range []string{"BEGIN", "SELECT * FROM data"} {
		if _, err := reader.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	waits := 0
	engine := migrate.New(testdb.DB(t, database), migrate.Source{
		Name:  "app",
		Files: fstest.MapFS{"0001_x.sql": file(`ALTER TABLE data ADD COLUMN m int;`)},
	}, migrate.Options{
		Log: func(_ context.Context, message string, _ map[string]any) {
			if message == "migration waits for a lock" {
				waits++
			}
		},
	})
	go func() {
		_, err := engine.Up(t.Context(), 1)
		ended <- err
	}()
	longest, writes := time.Duration(0), 0
	write := func() {
		began := time.Now()
		if _, err := writer.Exec(t.Context(), `UPDATE data SET n = n + 1`); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, time.Since(began))
		writes++
		time.Sleep(time.Millisecond)
	}
	for began := time.Now(); time.Since(began) < held; {
		write()
	}
	if len(ended) > 0 {
		t.Fatal("the migration did not wait for the reader")
	}
	if _, err := reader.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	for len(ended) == 0 {
		write()
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	t.Logf("%d writes, the longest took %s; the migration gave up its place %d times", writes, longest, waits)
	if longest > migrate.DefaultLockTimeout+time.Second {
		t.Errorf("a writer waited %s", longest)
	}
	if waits == 0 {
		t.Error("the migration kept its place in the queue")
	}
}

// A lock that is never to be had ends in an error that names who has it, and nobody else, also to a login that is no superuser and
// must not see what others do.
func TestTheHolderOfALockIsNamed(t *testing.T) {
	t.Parallel()
	database, engine := ownedDatabase(t)
	testdb.Must(engine.Up(t.Context(), 1))(t)
	owner := "owner-without-superuser-" + database
	session := func(name string) *pgx.Conn {
		conn := testdb.Must(pgx.Connect(t.Context(), testdb.Server(t, database).URL(database)+"&application_name="+name))(t)
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
	for name, sql := range map[string]string{
		"nightly-report": "BEGIN; UPDATE teams SET name = name; SELECT * FROM users", "reader": "BEGIN; SELECT * FROM teams",
		"bystander": "BEGIN; UPDATE users SET email = email",
	} {
		if _, err := session(name).Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, prefix := range []string{"", "-- +goose NO TRANSACTION\n"} {
		for connections, says := range map[int]string{
			1: "These sessions hold locks on tables: process ", 4: "These sessions held it: process ",
		} {
			config := testdb.ConfigAs(t, database, owner)
			config.MaxConnections = connections
			db := postgres.New(config)
			t.Cleanup(db.Close)
			text := prefix + "-- +goose Up\nCREATE INDEX extra_idx ON public.teams (name);\n"
			_, err := migrate.New(db, migrate.Source{Name: "app", Files: fstest.MapFS{"0001_x.sql": {Data: []byte(text)}}},
				migrate.Options{LockTimeout: 20 * time.Millisecond}).Up(t.Context(), 1)
			for _, want := range []string{
				"no lock was to be had in 30 attempts of 20ms", "of role postgres (nightly-report)", says, "public.teams", "0001_x.sql",
			} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%d connections: %q does not contain %q", connections, err, want)
				}
			}
			if connections > 1 && (strings.Contains(err.Error(), "reader") || strings.Contains(err.Error(), "bystander")) {
				t.Errorf("sessions are named that are not in the way: %s", err)
			}
		}
	}
}

// Somebody who presses Ctrl-C is told that, and not to repair anything.
func TestAnInterruptIsCalledThat(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	files := fstest.MapFS{"0001_a.sql": file(`CREATE TABLE a (n int);`), "0002_b.sql": file(`SELECT pg_sleep(60);`)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	db := testdb.DB(t, database)
	engine := migrate.New(db, migrate.Source{Name: "app", Files: files}, migrate.Options{
		Log: func(_ context.Context, message string, fields map[string]any) {
			if fields["file"] == "0002_b.sql" {
				time.AfterFunc(100*time.Millisecond, cancel)
			}
		},
	})
	current, err := engine.Up(ctx, 2)
	var step *migrate.StepError
	if !errors.As(err, &step) || current != 1 || !errors.Is(err, context.Canceled) {
		t.Fatalf("got version %d, %v", current, err)
	}
	const want = "migration 0002_b.sql was interrupted. Applied before it: 0001_a.sql. Nothing of 0002_b.sql was applied. " +
		"The database stays at version 1; apply again"
	if err.Error() != want {
		t.Errorf("got %q", err)
	}
	// Also while it waits for another run.
	other := testdb.Must(pgx.Connect(t.Context(), testdb.Server(t, database).URL(database)))(t)
	defer func() { _ = other.Close(context.Background()) }()
	plan := testdb.Must(engine.Plan(t.Context(), 2, false))(t)
	if _, err := other.Exec(t.Context(), `SELECT pg_advisory_lock(4097083626)`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	time.AfterFunc(100*time.Millisecond, stop)
	waits := make(chan any, 1)
	current, err = migrate.New(db, migrate.Source{Name: "app", Files: files}, migrate.Options{
		Log: func(_ context.Context, _ string, fields map[string]any) { waits <- fields["for"] },
	}).Run(ctx, plan)
	if holder := fmt.Sprint(<-waits); !strings.HasPrefix(holder, "process ") || !strings.Contains(holder, " of role postgres (") {
		t.Errorf("it waits for %q", holder)
	}
	if err == nil || current != 1 || err.Error() != "the run was interrupted before a migration began. The database is at version 1. Apply again" {
		t.Errorf("got version %d, %v", current, err)
	}
}

// Nobody is told a version that nobody has read.
func TestAFailureAfterWhichNobodyAnswers(t *testing.T) {
	t.Parallel()
	database, owned := ownedDatabase(t)
	owner := "owner-without-superuser-" + database
	testdb.Must(owned.Up(t.Context(), 1))(t)
	db := postgres.New(testdb.ConfigAs(t, database, owner))
	t.Cleanup(db.Close)
	files := fstest.MapFS{"0001_a.sql": file(`SELECT 1;`), "0002_b.sql": file(`SELECT pg_sleep(60);`)}
	engine := migrate.New(db, migrate.Source{Name: "app", Files: files}, migrate.Options{
		Log: func(_ context.Context, _ string, fields map[string]any) {
			if fields["file"] == "0002_b.sql" {
				time.AfterFunc(100*time.Millisecond, func() {
					testdb.Exec(t, database, `ALTER ROLE "`+owner+`" NOLOGIN`)
					testdb.Exec(t, database, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1`, owner)
				})
			}
		},
	})
	current, err := engine.Up(t.Context(), 2)
	const want = "The database was at version 1 before; nobody answered what it is at now. When the server is back, repair the cause"
	if err == nil || current != 1 || !strings.Contains(err.Error(), want) {
		t.Errorf("got version %d, %v", current, err)
	}
}

// Up leaves a database alone that somebody else took further meanwhile, and says where it is.
func TestUpOfADatabaseThatWentFurther(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	files := fstest.MapFS{"0001_a.sql": file(`SELECT 1;`), "0002_b.sql": file(`SELECT 1;`), "0003_c.sql": file(`SELECT 1;`)}
	testdb.Must(newEngine(t, database, files).Up(t.Context(), 3))(t)
	testdb.Exec(t, database, `UPDATE brownie.goose_db_version_app SET is_applied = false WHERE version_id > 0`)
	other := testdb.Must(pgx.Connect(t.Context(), testdb.Server(t, database).URL(database)))(t)
	defer func() { _ = other.Close(context.Background()) }()
	if _, err := other.Exec(t.Context(), `SELECT pg_advisory_lock(4097083626)`); err != nil {
		t.Fatal(err)
	}
	engine := migrate.New(testdb.DB(t, database), migrate.Source{Name: "app", Files: files}, migrate.Options{
		Log: func(context.Context, string, map[string]any) {
			if _, err := other.Exec(context.Background(), `UPDATE brownie.goose_db_version_app SET is_applied = true;
				SELECT pg_advisory_unlock_all()`); err != nil {
				t.Error(err)
			}
		},
	})
	if current, err := engine.Up(t.Context(), 2); err != nil || current != 3 {
		t.Errorf("got version %d, %v", current, err)
	}
}
