package devstack

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// stubs makes scripts the only programs on PATH, besides the shell's usual ones.
func stubs(t *testing.T, scripts map[string]string) {
	t.Helper()
	folder := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
}

// Those who need the pooler at the same time fetch it once; scripts stand in for apt. The names of the libraries are
// those of the release's package.
func TestFetchPoolerOnce(t *testing.T) {
	calls := filepath.Join(t.TempDir(), "calls")
	stubs(t, map[string]string{
		"apt-get": `echo "$@" >>` + calls + `
sleep 0.3
shift
for name; do : >"${name}_1.deb"; done
`,
		"dpkg-deb": `case $1 in
--field) echo "libc6 (>= 2.34), libcares2 (>= 1.11), libevent-2.1-7t64 (>= 2.1.8), libssl3 (>= 3)" ;;
--extract)
	mkdir -p usr/sbin usr/lib/some-linux-gnu
	printf '#!/bin/sh\ncase $LD_LIBRARY_PATH in */usr/lib/some-linux-gnu) ;; *) exit 1 ;; esac\n' >usr/sbin/pgbouncer
	chmod 700 usr/sbin/pgbouncer
	;;
esac
`,
	})
	cache := filepath.Join(t.TempDir(), "cache")
	t.Setenv("BROWNIE_CACHE_DIR", cache)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			program, err := fetchedPooler(t.Context(), Options{})
			if err != nil || program.path != filepath.Join(cache, "pgbouncer", "usr", "sbin", "pgbouncer") {
				t.Errorf("got %+v, %v", program, err)
			}
		})
	}
	group.Wait()
	text, err := os.ReadFile(calls)
	if err != nil || string(text) != "download pgbouncer\ndownload libcares2 libevent-2.1-7t64\n" {
		t.Errorf("apt-get was called with:\n%s(%v)", text, err)
	}
	info, err := os.Stat(filepath.Join(cache, "pgbouncer", "usr", "sbin", "pgbouncer"))
	if err != nil || info.Mode().Perm()&0o055 != 0o055 {
		t.Errorf("another user cannot run it: %v (%v)", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Join(cache, "pgbouncer"))
	if err != nil || len(left) != 1 {
		t.Errorf("the cache holds %v (%v)", left, err)
	}

	// What does not run any more is fetched again.
	if err := os.WriteFile(filepath.Join(cache, "pgbouncer", "usr", "sbin", "pgbouncer"), []byte("#!/bin/sh\nexit 127\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fetchedPooler(t.Context(), Options{}); err != nil {
		t.Error(err)
	}
}

func TestFetchPoolerFails(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("BROWNIE_CACHE_DIR", cache)
	stubs(t, map[string]string{"apt-get": "echo no such host; exit 1", "dpkg-deb": "exit 1"})
	_, err := fetchedPooler(t.Context(), Options{})
	if !errors.Is(err, ErrNoPooler) || !strings.Contains(err.Error(), "apt-get install pgbouncer") || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "*unfinished*")); len(left) > 0 {
		t.Errorf("left in the cache: %v", left)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := fetchedPooler(t.Context(), Options{}); !errors.Is(err, ErrNoPooler) {
		t.Errorf("without apt: got %v", err)
	}
}
