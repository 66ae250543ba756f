package devstack

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestVault(t *testing.T) {
	t.Parallel()
	v, err := StartVault(t.Context(), Options{Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Stop(context.Background()) })
	if _, err := v.Do(t.Context(), http.MethodGet, "sys/mounts", nil); err != nil {
		t.Fatal(err)
	}
	if !v.OnThisHost() {
		return // The rest is about a server of ours.
	}
	list, err := exec.CommandContext(t.Context(), "ps", "-A", "-o", "args=").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(list), v.Token()) {
		t.Error("the list of processes shows the root token")
	}
	if log, err := os.ReadFile(v.Log()); err != nil || strings.Contains(string(log), v.Token()) || len(log) == 0 {
		t.Errorf("the log cannot be read, is empty, or shows the root token: %v\n%s", err, log)
	}
	if err := v.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(v.Log()); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
	if _, err := v.Do(t.Context(), http.MethodGet, "sys/mounts", nil); err == nil {
		t.Error("the server still answers")
	}
}
