package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

// The servers run until their settings are removed, and another process can wait for their end.
func TestUpAndDown(t *testing.T) {
	t.Setenv("BROWNIE_POSTGRES_URL", "")
	d := demo(t.TempDir())
	ended := make(chan error, 1)
	go func() {
		ended <- up(t.Context(), devstack.Options{Log: t.Logf}, "none", d, []string{"acme-app"})
	}()
	for deadline := time.Now().Add(10 * time.Minute); !exists(d.settings()); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("the servers do not start")
		}
	}
	info, err := os.Stat(d.settings())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others can read the settings: %v (%v)", info, err)
	}
	text, err := os.ReadFile(d.settings())
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "export PGSSLROOTCERT='")
	authority, _, _ := strings.Cut(after, "'")
	if !exists(authority) {
		t.Errorf("the settings name no authority:\n%s", text)
	}
	for _, file := range []string{"tls.key", "tls.crt", "ca.crt"} {
		if !exists(filepath.Join(string(d), "clients", "acme-app", file)) {
			t.Errorf("the client has no %s", file)
		}
	}
	if err := run(t.Context(), []string{"down", string(d)}); err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Dir(authority)) {
		t.Error("the server's folder is left")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := run(t.Context(), []string{"down", string(d)}); err != nil {
		t.Errorf("nothing runs: %s", err)
	}
}

func TestUsage(t *testing.T) {
	for _, arguments := range [][]string{nil, {"up"}, {"up", "-vault=x", "folder"}, {"down"}, {"secret", "folder"}, {"fetch", "all"}} {
		if err := run(t.Context(), arguments); err == nil || !strings.HasPrefix(err.Error(), "usage:") {
			t.Errorf("%q: got %v", arguments, err)
		}
	}
}
