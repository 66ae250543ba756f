// Package testdb gives tests databases on a real server: one server per test binary, one database per test.
package testdb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/migrations"
)

const template = "brownie_template"

var (
	started   atomic.Pointer[devstack.Postgres]
	databases atomic.Int64
	server    = sync.OnceValues(start)
)

// Main runs a package's tests and stops the server that they used, if any. Call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if running := started.Load(); running != nil {
		if err := running.Stop(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "cannot stop the test server:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// start starts the server and migrates the template that test databases are cloned from.
func start() (*devstack.Postgres, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	running, err := devstack.StartPostgres(ctx, devstack.Options{Log: func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}})
	if err != nil {
		return nil, err
	}
	started.Store(running)
	// An existing server may serve several test binaries at once, so that names carry the process.
	if err := running.CreateDatabase(ctx, name(template), ""); err != nil {
		return nil, err
	}
	config, err := Config(running, name(template))
	if err != nil {
		return nil, err
	}
	db := postgres.New(config)
	defer db.Close()
	engine := migrate.New(db, migrations.Files)
	latest, err := engine.Latest()
	if err != nil {
		return nil, err
	}
	_, err = engine.Up(ctx, latest)
	return running, err
}

func name(base string) string { return fmt.Sprintf("%s_%d", base, os.Getpid()) }

// Server returns the test binary's server and starts it at the first call.
func Server(t testing.TB) *devstack.Postgres {
	t.Helper()
	running, err := server()
	if err != nil {
		t.Fatalf("no PostgreSQL server to test with: %s", err)
	}
	return running
}

// Migrated returns the name of a new database with the latest schema. It is dropped when the test ends.
func Migrated(t testing.TB) string {
	t.Helper()
	return create(t, name(template))
}

// Empty returns the name of a new empty database. It is dropped when the test ends.
func Empty(t testing.TB) string {
	t.Helper()
	return create(t, "")
}

func create(t testing.TB, from string) string {
	t.Helper()
	running := Server(t)
	database := fmt.Sprintf("%s_%d", name("brownie_test"), databases.Add(1))
	if err := running.CreateDatabase(t.Context(), database, from); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if err := running.DropDatabase(context.Background(), database); err != nil {
			t.Errorf("cannot drop the test's database: %s", err)
		}
	})
	return database
}

// Config returns how the administrator reaches a database.
func Config(running *devstack.Postgres, database string) (postgres.Config, error) {
	environment := map[string]string{}
	for _, setting := range running.Env(database) {
		variable, value, _ := strings.Cut(setting, "=")
		environment[variable] = value
	}
	config, err := postgres.Config{ApplicationName: "test"}.WithEnvironment(func(variable string) string { return environment[variable] })
	return config.WithDefaults(), err
}

// ConfigAs returns how a role reaches a database, with a client certificate of its own.
func ConfigAs(running *devstack.Postgres, database, role string) (postgres.Config, error) {
	certificate, err := running.ClientCertificate(role)
	if err != nil {
		return postgres.Config{}, err
	}
	return postgres.Config{
		Host: running.Host(), Port: running.Port(), Database: database, Username: role,
		SSLRootCert: running.CAFile(), SSLCert: certificate.CertFile, SSLKey: certificate.KeyFile,
		ApplicationName: "test",
	}.WithDefaults(), nil
}

// DB returns a connected pool, which is closed when the test ends.
func DB(t testing.TB, database string) *postgres.DB {
	t.Helper()
	config, err := Config(Server(t), database)
	if err != nil {
		t.Fatal(err)
	}
	db := postgres.New(config)
	t.Cleanup(db.Close)
	return db
}

// Exec runs SQL as the administrator, as somebody would behind Terraform's back.
func Exec(t testing.TB, database, sql string, args ...any) {
	t.Helper()
	if err := TryExec(t, database, sql, args...); err != nil {
		t.Fatalf("%s: %s", sql, err)
	}
}

// TryExec is [Exec] for SQL that the database may refuse.
func TryExec(t testing.TB, database, sql string, args ...any) error {
	t.Helper()
	conn := connect(t, database)
	defer func() { _ = conn.Close(context.Background()) }()
	_, err := conn.Exec(context.Background(), sql, args...)
	return err
}

// Value returns the one value that a query returns.
func Value[T any](t testing.TB, database, sql string, args ...any) T {
	t.Helper()
	conn := connect(t, database)
	defer func() { _ = conn.Close(context.Background()) }()
	var value T
	if err := conn.QueryRow(context.Background(), sql, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %s", sql, err)
	}
	return value
}

func connect(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), Server(t).URL(database))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// Repository returns the path of the repository's root.
func Repository(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; folder != filepath.Dir(folder); folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		}
	}
	t.Fatal("there is no go.mod above the working folder")
	return ""
}
