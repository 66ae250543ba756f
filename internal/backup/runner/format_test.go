package runner_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

// TestFormat restores a backup as docs/backup-format.md says, by programs that are not ours.
func TestFormat(t *testing.T) {
	h := newHouse(t)
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Skip("NOT RUN: there is no program zstd")
	}
	page := testdb.Must(os.ReadFile(filepath.Join(testdb.Repository(t), "docs", "backup-format.md")))(t)
	script := regexp.MustCompile("(?s)```sh\n(.*?)```").FindSubmatch(page)
	if script == nil {
		t.Fatal("the page has no commands")
	}
	b := h.backup()
	folder := filepath.Dir(h.files(b)[0])
	programs := t.TempDir()
	version := testdb.Must(exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", "filippo.io/age").Output())(t)
	install := exec.CommandContext(t.Context(), "go", "install", "filippo.io/age/cmd/age@"+strings.TrimSpace(string(version)))
	install.Env = append(os.Environ(), "GOBIN="+programs, "GOFLAGS=")
	if output, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if err := os.WriteFile(filepath.Join(folder, "identity.txt"), []byte(h.identity.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := h.another("")
	// This machine may lack createdb; psql does the same.
	createdb := "#!/bin/sh\nexec psql --dbname=postgres --command=\"CREATE DATABASE $2 TEMPLATE template0\"\n"
	if err := os.WriteFile(filepath.Join(programs, "createdb"), []byte(createdb), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", string(script[1]))
	cmd.Dir = folder
	cmd.Env = append([]string{"PATH=" + programs + ":" + h.Tools.Dir + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, server.Tools.Env...)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	want := testdb.Value[string](t, h.database, fingerprintSQL)
	var got string
	if err := connect(t, server, "copy").QueryRow(t.Context(), fingerprintSQL).Scan(&got); err != nil {
		t.Fatal(err)
	}
	for _, line := range append(difference(want, got), difference(got, want)...) {
		t.Errorf("differs: %s", line)
	}
}
