package devstack_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

// clientPrograms are scripts that say they are PostgreSQL's client programs of a version.
func clientPrograms(version string) map[string]string {
	scripts := map[string]string{}
	for _, name := range []string{"pg_dump", "pg_restore", "psql"} {
		scripts[name] = fmt.Sprintf("echo '%s (PostgreSQL) %s (Debian %s-1)'", name, version, version)
	}
	return scripts
}

func TestClientTools(t *testing.T) {
	own(t)
	t.Setenv("BROWNIE_PG_VERSION", "17")
	old := programs(t, clientPrograms("16.9"))
	t.Setenv("PATH", t.TempDir()+":/bin") // without the machine's own
	for name, c := range map[string]struct {
		version, want, fails string
		named                bool
	}{
		"same on PATH":   {version: "17.6"},
		"newer on PATH":  {version: "18beta1"},
		"same, named":    {version: "17.6", named: true},
		"old, named":     {version: "16.9", named: true, fails: "BROWNIE_CLIENT_TOOLS names PostgreSQL's client programs 16.9 in "},
		"something else": {version: "is what I have not", named: true, fails: "pg_dump does not tell its version but says"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("BROWNIE_CLIENT_TOOLS", "")
			want := programs(t, clientPrograms(c.version))
			if c.named {
				t.Setenv("PATH", old+":/bin")
				t.Setenv("BROWNIE_CLIENT_TOOLS", want)
			}
			got, err := devstack.ClientTools(t.Context())
			switch {
			case c.fails == "" && (err != nil || got != want):
				t.Errorf("got %q, %v, want %q", got, err, want)
			case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
				t.Errorf("got %q, %v, want %q", got, err, c.fails)
			}
		})
	}
}

func TestClientToolsTooOld(t *testing.T) {
	own(t)
	t.Setenv("BROWNIE_CLIENT_TOOLS", "")
	t.Setenv("BROWNIE_PG_VERSION", "18")
	if newer, _ := filepath.Glob("/usr/lib/postgresql/1[89]/bin/pg_dump"); len(newer) > 0 {
		t.Skip("this machine has them")
	}
	folder := programs(t, clientPrograms("17.6"))
	_, err := devstack.ClientTools(t.Context())
	for _, want := range []string{"18 or newer", "17.6 in " + folder, "apt-get install postgresql-client-18", "BROWNIE_CLIENT_TOOLS"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
	// A folder that lacks one of them will not do, and is named.
	if err := os.Remove(filepath.Join(folder, "psql")); err != nil {
		t.Fatal(err)
	}
	if _, err := devstack.ClientTools(t.Context()); err == nil || !strings.Contains(err.Error(), filepath.Join(folder, "psql")) {
		t.Errorf("got %v", err)
	}
}

// What the tools dump can be restored on a server of their own version.
func TestServersOfMajor(t *testing.T) {
	own(t)
	tools := testdb.ClientTools(t)
	major, err := devstack.ClientToolsMajor(t.Context(), tools)
	if err != nil {
		t.Fatal(err)
	}
	server := start(t, devstack.Options{Major: major, Log: t.Logf})
	if got := query(t, server.URL("postgres"), `SELECT current_setting('server_version_num')::int / 10000 || ''`); got != major {
		t.Errorf("the server is a PostgreSQL %s, want %s", got, major)
	}
	for _, database := range []string{"from", "into"} {
		if err := server.CreateDatabase(t.Context(), database, ""); err != nil {
			t.Fatal(err)
		}
	}
	run := func(database, program string, arguments ...string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), filepath.Join(tools, program), arguments...)
		command.Env = append(os.Environ(), server.Env(database)...)
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %s\n%s", program, err, output)
		}
	}
	dump := filepath.Join(t.TempDir(), "dump")
	run("from", "psql", "--no-psqlrc", "--command=CREATE TABLE kept AS SELECT 'kept' AS what")
	run("from", "pg_dump", "--format=custom", "--file="+dump)
	run("into", "pg_restore", "--exit-on-error", "--dbname=into", dump)
	if got := query(t, server.URL("into"), `SELECT what FROM kept`); got != "kept" {
		t.Errorf("restored: %q", got)
	}

	if _, err := devstack.ClientToolsMajor(t.Context(), t.TempDir()); err == nil {
		t.Error("an empty folder has a version")
	}
}

func TestServerPrograms(t *testing.T) {
	folder, err := devstack.ServerPrograms(t.Context(), devstack.Options{Log: t.Logf}, "16")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"initdb", "postgres", "pg_ctl"} {
		if info, err := os.Stat(filepath.Join(folder, program)); err != nil || info.Mode()&0o001 == 0 {
			t.Errorf("not everybody can run %s: %v", program, err)
		}
	}
	if _, err := devstack.ServerPrograms(t.Context(), devstack.Options{}, "15"); err == nil || !strings.Contains(err.Error(), `"15"; it must be 16, 17 or 18`) {
		t.Errorf("got %v", err)
	}
}
