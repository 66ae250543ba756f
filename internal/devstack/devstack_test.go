package devstack_test

import (
	"bufio"
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

// TestMain lets the test binary play a process that starts a server and is killed, see TestKilledParent.
func TestMain(m *testing.M) {
	if os.Getenv("DEVSTACK_TEST_CHILD") != "" {
		server, err := devstack.StartPostgres(context.Background(), devstack.Options{})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(filepath.Dir(server.CAFile()), server.Port())
		select {} // until it is killed
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
		if list, err := exec.Command("ps", "-A", "-o", "args=").Output(); err != nil || strings.Contains(string(list), folder) {
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
	if who := query(t, server.URL("postgres"), `SELECT session_user || ' ' || ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`); who != "postgres true" {
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
	for name, parameters := range map[string]string{
		"without TLS":         "sslmode=disable",
		"without certificate": "sslmode=verify-full&sslrootcert=" + server.CAFile(),
		"another's":           "sslmode=verify-full&sslrootcert=" + server.CAFile() + "&sslcert=" + other.CertFile + "&sslkey=" + other.KeyFile,
	} {
		if conn, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?%s", server.Port(), parameters)); err == nil {
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

func TestKilledParent(t *testing.T) {
	own(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "DEVSTACK_TEST_CHILD=1")
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	folder, portText, _ := strings.Cut(strings.TrimSpace(line), " ")
	port, err := strconv.Atoi(portText)
	if err != nil {
		t.Fatalf("the child said %q", line)
	}
	if _, err := os.Stat(folder); err != nil {
		t.Fatal(err)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	leavesNothing(t, folder, port)
}

func TestDetached(t *testing.T) {
	record := t.TempDir()
	server := start(t, devstack.Options{Detached: true, Dir: record})
	attached, err := devstack.Attach(record)
	if err != nil {
		t.Fatal(err)
	}
	if who := query(t, attached.URL("postgres"), `SELECT session_user::text`); who != "postgres" {
		t.Errorf("got %q", who)
	}
	if err := attached.Restart(t.Context()); err != nil {
		t.Error(err)
	}
	if err := attached.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	leavesNothing(t, filepath.Dir(server.CAFile()), server.Port())
	if _, err := devstack.Attach(record); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the stop: got %v", err)
	}
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

func TestMessages(t *testing.T) {
	own(t)
	t.Setenv("BROWNIE_PG_VERSION", "15")
	if _, err := devstack.StartPostgres(t.Context(), devstack.Options{}); err == nil || !strings.Contains(err.Error(), `"15"; it must be 16, 17 or 18`) {
		t.Errorf("got %v", err)
	}
	t.Setenv("BROWNIE_PG_VERSION", "16")
	t.Setenv("PATH", t.TempDir())
	_, err := devstack.StartPostgres(t.Context(), devstack.Options{})
	if err == nil || !strings.Contains(err.Error(), "Install Docker, or Node.js with npm") || !strings.Contains(err.Error(), "BROWNIE_POSTGRES_URL") {
		t.Errorf("got %v", err)
	}
}

// A script stands in for Docker, whose daemon not every machine has: what matters is what it is asked to do, and that
// the container is removed also when it ends at once.
func TestDockerCommands(t *testing.T) {
	own(t)
	folder := t.TempDir()
	calls := filepath.Join(folder, "calls")
	script := `#!/bin/sh
echo "$@" >>` + calls + `
case $1 in start) echo "the server cannot start" ;; esac
`
	if err := os.WriteFile(filepath.Join(folder, "docker"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("BROWNIE_PG_VERSION", "17")
	if _, err := devstack.StartPostgres(t.Context(), devstack.Options{}); err == nil || !strings.Contains(err.Error(), "the server cannot start") {
		t.Errorf("got %v, want the end of the container's log", err)
	}
	text, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"version", "pull --quiet postgres:17", "create --name brownie-postgres-", "cp /", "start --attach", "rm --force --volumes brownie-postgres-"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("docker was not called with %q:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "PRIVATE KEY") {
		t.Error("a key is in the arguments of a process")
	}
}
