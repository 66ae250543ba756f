// Package images_test runs what the images start with.
package images_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestEntry starts a stand-in for Patroni on data directories as a killed member leaves them.
func TestEntry(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		files []string
		kept  bool
		says  string
	}{
		"no directory yet":                    {nil, false, ""},
		"a server's":                          {[]string{"PG_VERSION", "base/1/PG_VERSION", "global/pg_control"}, true, ""},
		"a server's that was being rewound":   {[]string{"backup_label", "base/1/PG_VERSION", "global/pg_control"}, true, ""},
		"a copy cut off before its first":     {[]string{"pg_wal/archive_status/.x"}, false, "was cut off"},
		"a copy cut off before its last":      {[]string{"backup_label", "base/1/PG_VERSION", "global/1262"}, false, "was cut off"},
		"a server's whose pg_control is gone": {[]string{"PG_VERSION", "base/1/PG_VERSION"}, true, "nothing was touched"},
	}
	stub, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(t.TempDir(), "data")
			for _, file := range test.files {
				write(t, filepath.Join(data, file))
			}
			log := filepath.Join(t.TempDir(), "pg_wal")
			write(t, filepath.Join(log, "000000010000000000000001"))
			cmd := exec.Command("postgres/entry", "a file.yml")
			cmd.Env = []string{"PGDATA=" + data, "PGWAL=" + log, "PATH=" + stub + ":" + os.Getenv("PATH")}
			output, err := cmd.CombinedOutput()
			if err != nil || !strings.HasSuffix(string(output), "patroni a file.yml\n") {
				t.Fatalf("Patroni did not start: %v\n%s", err, output)
			}
			if said, _ := strings.CutSuffix(string(output), "patroni a file.yml\n"); !strings.Contains(said, test.says) || (said == "") != (test.says == "") {
				t.Errorf("it said %q, want %q", said, test.says)
			}
			for _, file := range test.files {
				if _, err := os.Stat(filepath.Join(data, file)); (err == nil) != test.kept {
					t.Errorf("%s: kept is not %t: %v", file, test.kept, err)
				}
			}
			// It goes with its data, and not without any.
			if rest, err := os.ReadDir(log); err != nil || (len(rest) == 1) != (test.kept || test.files == nil) {
				t.Errorf("the write-ahead log on a volume of its own has %d files: %v", len(rest), err)
			}
		})
	}
}

// TestEntryWithoutDirectory starts nothing where the data directory is not named.
func TestEntryWithoutDirectory(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("postgres/entry")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if output, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(output), "PGDATA: is not set") {
		t.Errorf("got %v\n%s", err, output)
	}
}

// TestEntryOfAnotherVersion does not start a server on data of a version that the image does not have.
func TestEntryOfAnotherVersion(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for _, file := range []string{"PG_VERSION", "global/pg_control"} {
		write(t, filepath.Join(data, file))
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("postgres/entry", "a file.yml")
	cmd.Env = []string{"PGDATA=" + data, "PATH=" + os.Getenv("PATH")}
	if output, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(output), "PostgreSQL 5 must run here") {
		t.Errorf("got %v\n%s", err, output)
	}
}

func write(t *testing.T, file string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
