package devstack_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

// TestMain lets the test binary play a process that starts a server and is killed, see TestKilledParent, or one of
// several that fetch at the same time, see TestFetchOnce.
func TestMain(m *testing.M) {
	switch os.Getenv("DEVSTACK_TEST_CHILD") {
	case "start":
		server, err := devstack.StartPostgres(context.Background(), devstack.Options{})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(filepath.Dir(server.CAFile()), server.Port())
		select {} // until it is killed
	case "pooler":
		server, err := devstack.StartPostgres(context.Background(), devstack.Options{})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("server")
		if _, err := server.StartPooler(context.Background(), devstack.Options{}); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		select {} // until it is killed
	case "fetch":
		if err := devstack.Fetch(context.Background(), devstack.Options{}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// own keeps the tests of starting a server away from an existing one.
func own(t *testing.T) {
	t.Helper()
	t.Setenv("BROWNIE_POSTGRES_URL", "")
}

func start(t *testing.T, o devstack.Options) *devstack.Postgres {
	t.Helper()
	own(t)
	server, err := devstack.StartPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	return server
}

func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var text string
	if err := conn.QueryRow(t.Context(), sql).Scan(&text); err != nil {
		t.Fatalf("%s: %s", sql, err)
	}
	return text
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %s", sql, err)
	}
}

// uses tells whether a process names a folder in its arguments or works in it.
func uses(t *testing.T, folder string) bool {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	if len(processes) == 0 { // not Linux
		list, err := exec.Command("ps", "-A", "-o", "args=").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(list), folder)
	}
	for _, process := range processes {
		arguments, _ := os.ReadFile(process + "/cmdline") // the process may have ended
		where, _ := os.Readlink(process + "/cwd")
		if strings.Contains(string(arguments)+where, folder) {
			return true
		}
	}
	return false
}

// leavesNothing waits until neither the folder nor a listener on the port is there.
func leavesNothing(t *testing.T, folder string, port int) {
	t.Helper()
	var problem string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		problem = ""
		if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
			problem = "the folder " + folder
		}
		if conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			_ = conn.Close()
			problem += " a listener on the port"
		}
		if uses(t, folder) {
			problem += " a process"
		}
		if problem == "" {
			return
		}
	}
	t.Errorf("left behind: %s", problem)
}

func TestOnlyCertificatesLogIn(t *testing.T) {
	server := start(t, devstack.Options{})
	who := query(t, server.URL("postgres"), `SELECT session_user || ' ' || ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`)
	if who != "postgres true" {
		t.Errorf("got %q", who)
	}
	major := os.Getenv("BROWNIE_PG_VERSION")
	if major == "" {
		major = "16"
	}
	if version := query(t, server.URL("postgres"), `SHOW server_version`); !strings.HasPrefix(version, major+".") {
		t.Errorf("got version %s, want %s", version, major)
	}
	other, err := server.ClientCertificate("somebody")
	if err != nil {
		t.Fatal(err)
	}
	verified := "sslmode=verify-full&sslrootcert=" + server.CAFile()
	for name, parameters := range map[string]string{
		"without TLS":         "sslmode=disable",
		"without certificate": verified,
		"another's":           verified + "&sslcert=" + other.CertFile + "&sslkey=" + other.KeyFile,
	} {
		there := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?%s", server.Port(), parameters)
		if conn, err := pgx.Connect(t.Context(), there); err == nil {
			_ = conn.Close(t.Context())
			t.Errorf("logged in %s", name)
		}
	}
}

func TestDatabasesRestartAndStop(t *testing.T) {
	server := start(t, devstack.Options{})
	ctx := t.Context()
	if err := server.CreateDatabase(ctx, "template", ""); err != nil {
		t.Fatal(err)
	}
	execute(t, server.URL("template"), `CREATE TABLE kept AS SELECT 'value'::text AS content`)
	for _, copied := range []string{"one", `with "quotes"`} {
		if err := server.CreateDatabase(ctx, copied, "template"); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if got := query(t, server.URL("one"), `SELECT content FROM kept`); got != "value" {
		t.Errorf("after a crash and a restart got %q", got)
	}
	if err := server.DropDatabase(ctx, `with "quotes"`); err != nil {
		t.Error(err)
	}
	folder, port := filepath.Dir(server.CAFile()), server.Port()
	if err := server.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	leavesNothing(t, folder, port)
}

func TestExistingServer(t *testing.T) {
	host := start(t, devstack.Options{})
	t.Setenv("BROWNIE_POSTGRES_URL", host.URL("postgres"))
	existing, err := devstack.StartPostgres(t.Context(), devstack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if existing.Port() != host.Port() {
		t.Fatalf("port %d is another server's", existing.Port())
	}
	if err := existing.CreateDatabase(t.Context(), "mine", ""); err != nil {
		t.Fatal(err)
	}
	if name := query(t, existing.URL("mine"), `SELECT current_database()::text`); name != "mine" {
		t.Errorf("got %q", name)
	}
	if err := existing.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := query(t, host.URL("postgres"), `SELECT count(*)::text FROM pg_database WHERE datname = 'mine'`); n != "0" {
		t.Error("the database that was made on the existing server is still there")
	}
}
