// Package testdb gives tests databases on a real server: one server per test binary, one database per test.
package testdb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

const template = "brownie_template"

// Need is what a test needs beyond a database.
type Need int

// Certificates are needed by a test that logs in as other roles than the administrator. An existing server, which
// BROWNIE_POSTGRES_URL names, trusts none that we could sign, so that such a test gets a server that is our own.
const Certificates Need = iota

var (
	common = sync.OnceValues(func() (*devstack.Postgres, error) { return start(options()) })
	own    = sync.OnceValues(func() (*devstack.Postgres, error) {
		if os.Getenv("BROWNIE_POSTGRES_URL") == "" {
			return common() // is our own already
		}
		o := options()
		o.HBA = []string{"# makes it a server of our own"}
		return start(o)
	})
	pooler = sync.OnceValues(startPooler)

	mu        sync.Mutex
	started   []*devstack.Postgres
	databases = map[string]*devstack.Postgres{} // the server that each test's database is on
)

// Main runs a package's tests and stops the servers that they used, if any, and with stops others. Call it from TestMain.
func Main(m *testing.M, stops ...func() error) {
	code := m.Run()
	for _, stop := range stops {
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, "cannot stop a test server:", err)
			code = max(code, 1)
		}
	}
	for _, running := range started {
		if err := running.Stop(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "cannot stop the test server:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// start starts a server and migrates the template that test databases are cloned from.
func start(o devstack.Options) (*devstack.Postgres, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	running, err := devstack.StartPostgres(ctx, o)
	if err != nil {
		return nil, err
	}
	mu.Lock()
	started = append(started, running)
	mu.Unlock()
	// An existing server may serve several test binaries at once, so that names carry the process.
	usual, err := usualKind()
	if err != nil {
		return nil, err
	}
	if err := usual.make(ctx, running, name(template), ""); err != nil {
		return nil, err
	}
	config, err := running.Config(name(template))
	if err != nil {
		return nil, err
	}
	return running, migrateAs(ctx, config)
}

// migrateAs brings a database to the latest schema.
func migrateAs(ctx context.Context, config postgres.Config) error {
	db := postgres.New(config)
	defer db.Close()
	engine := migrate.New(db, migrate.Platform, migrate.Options{})
	latest, err := engine.Latest()
	if err != nil {
		return err
	}
	_, err = engine.Up(ctx, latest)
	return err
}

// Migrate gives a database the latest schema, as the role of the config.
func Migrate(t testing.TB, config postgres.Config) {
	t.Helper()
	if err := TryMigrate(t, config); err != nil {
		t.Fatal(err)
	}
}

// TryMigrate is [Migrate] where the database may refuse.
func TryMigrate(t testing.TB, config postgres.Config) error {
	t.Helper()
	return migrateAs(t.Context(), config)
}

// startPooler starts a PgBouncer, and lets it ask the server who may log in.
func startPooler() (*devstack.Pooler, error) {
	running, err := own()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, running.URL("postgres"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, `CREATE ROLE pgbouncer LOGIN IN ROLE brownie_pooler`); err != nil {
		return nil, err
	}
	// Few connections for each role, so that its clients take turns on them.
	o := options()
	o.PoolSize = 2
	return running.StartPooler(ctx, o)
}

func options() devstack.Options {
	return devstack.Options{Log: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
}

func name(base string) string { return fmt.Sprintf("%s_%d", base, os.Getpid()) }

// Migrated returns the name of a new database with the latest schema. It is dropped when the test ends.
func Migrated(t testing.TB, needs ...Need) string {
	t.Helper()
	return create(t, name(template), needs)
}

// Empty returns the name of a new empty database. It is dropped when the test ends.
func Empty(t testing.TB, needs ...Need) string {
	t.Helper()
	return create(t, "", needs)
}

func create(t testing.TB, from string, needs []Need) string {
	t.Helper()
	get, special := common, false
	usual, err := usualKind()
	if err != nil {
		t.Fatal(err)
	}
	for _, need := range needs {
		if need == Certificates {
			get = own
		} else {
			usual, special = kinds[need], true
		}
	}
	running, err := get()
	if err != nil {
		t.Fatalf("no PostgreSQL server to test with: %s", err)
	}
	wanted := from
	if special {
		from = "" // the template is of another kind
	}
	mu.Lock()
	database := fmt.Sprintf("%s_%d", name("brownie_test"), len(databases)+1)
	databases[database] = running
	mu.Unlock()
	if err := usual.make(t.Context(), running, database, from); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if err := running.DropDatabase(context.Background(), database); err != nil {
			t.Errorf("cannot drop the test's database: %s", err)
		}
	})
	if wanted != from {
		Migrate(t, Config(t, database))
	}
	return database
}

// Server returns the server that a test's database is on.
func Server(t testing.TB, database string) *devstack.Postgres {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	running, ok := databases[database]
	if !ok {
		t.Fatalf("%s is no database that this test binary made", database)
	}
	return running
}

// Config returns how the administrator reaches a test's database.
func Config(t testing.TB, database string) postgres.Config {
	t.Helper()
	config, err := Server(t, database).Config(database)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// ConfigAs returns how a role reaches a test's database that was made with the need for [Certificates].
func ConfigAs(t testing.TB, database, role string) postgres.Config {
	t.Helper()
	return ConfigOn(t, Server(t, database), database, role)
}

// ConfigOn is [ConfigAs] for a server of the test's own.
func ConfigOn(t testing.TB, server *devstack.Postgres, database, role string) postgres.Config {
	t.Helper()
	config := Must(server.Config(database))(t)
	certificate := Must(server.ClientCertificate(role))(t)
	config.Username, config.SSLCert, config.SSLKey = role, certificate.CertFile, certificate.KeyFile
	return config
}

// Pooler returns a PgBouncer in front of the server of a test's database, which was made with the need for
// [Certificates]. All tests of a binary share it. Roles log in through it with the same certificates as without.
func Pooler(t testing.TB, database string) *devstack.Pooler {
	t.Helper()
	running, err := own()
	if err != nil || running != Server(t, database) {
		t.Fatalf("no pooler for a database that was made without the need for certificates (%v)", err)
	}
	started, err := pooler()
	if err != nil {
		t.Fatalf("no pooler to test with: %s", err)
	}
	Exec(t, database, `GRANT CONNECT ON DATABASE `+database+` TO pgbouncer`)
	return started
}

// DB returns a connected pool, which is closed when the test ends.
func DB(t testing.TB, database string) *postgres.DB {
	t.Helper()
	db := postgres.New(Config(t, database))
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

// Until waits until a query returns true, for half a minute at most.
func Until(t testing.TB, database, sql string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !Value[bool](t, database, sql, args...) {
		select {
		case <-ctx.Done():
			t.Fatalf("it does not become true: %s", sql)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func connect(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	config := Must(pgx.ParseConfig(Server(t, database).URL(database)))(t)
	config.RuntimeParams["search_path"] = "public"   // also where the database's own finds nothing
	config.RuntimeParams["client_encoding"] = "UTF8" // also where the database has another
	conn, err := pgx.ConnectConfig(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// Must returns what a call returns, and ends the test if the call failed. It is used as Must(call())(t), since Go spreads a
// call's results over parameters only when they are all there are.
func Must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
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
