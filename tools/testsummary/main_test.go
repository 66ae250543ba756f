package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// stream is what `go test -json` says of a small module with these files.
func stream(t *testing.T, files map[string]string, arguments ...string) string {
	t.Helper()
	folder := t.TempDir()
	files["go.mod"] = "module example.com/sample\n\ngo 1.26\n"
	for name, text := range files {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := exec.CommandContext(t.Context(), "go", append([]string{"test", "-json"}, append(arguments, "./...")...)...)
	run.Dir = folder
	run.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	output, err := run.Output() // Failing is what some of them are for.
	if len(output) == 0 {
		t.Fatalf("go test said nothing: %v", err)
	}
	return string(output)
}

const (
	header    = "package a\nimport \"testing\"\n"
	passes    = header + "func TestA(t *testing.T) { t.Run(\"sub\", func(t *testing.T) {}) }\n"
	passesToo = "package b\nimport \"testing\"\nfunc TestA(t *testing.T) { t.Run(\"sub\", func(t *testing.T) {}) }\n"
	skips     = header + "func TestSkipped(t *testing.T) { t.Skip(\"no server\") }\n"
)

func both() map[string]string { return map[string]string{"a/a_test.go": passes, "a/b_test.go": skips} }

func TestSummary(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files                   map[string]string
		arguments               []string
		settings                string
		cut                     int // how many lines are missing at the end
		passed, failed, skipped int
		problems                []string
	}{
		"pass":     {files: map[string]string{"a/a_test.go": passes}, passed: 2},
		"skip":     {files: both(), passed: 2, skipped: 1},
		"required": {files: both(), settings: ",required", passed: 2, skipped: 1, problems: []string{"was skipped; none may be"}},
		"excepted": {files: both(), settings: ",required,except=TestSkipped", passed: 2, skipped: 1},
		"another excepted": {
			files: both(), settings: ",required,except=TestOther", passed: 2, skipped: 1, problems: []string{"was skipped; none may be"},
		},
		"allowed": {files: both(), settings: ",required,allow=no server", passed: 2, skipped: 1},
		"something else allowed": {
			files: both(), settings: ",required,allow=no tool", passed: 2, skipped: 1, problems: []string{"was skipped; none may be"},
		},
		"nothing but skips": {files: map[string]string{"a/b_test.go": skips}, skipped: 1, problems: []string{"no test ran"}},
		"no test":           {files: map[string]string{"a/a.go": "package a\n"}, problems: []string{"no test ran"}},
		"fail": {
			files:  map[string]string{"a/a_test.go": header + "func TestA(t *testing.T) { t.Error(1) }\n", "b/b_test.go": passesToo},
			passed: 2, failed: 1, problems: []string{"1 failed"},
		},
		"does not build": {
			files:  map[string]string{"a/a_test.go": header + "func TestA(t *testing.T) { none() }\n", "b/b_test.go": passesToo},
			passed: 2, failed: 1, problems: []string{"1 failed"},
		},
		"panics": {
			files:  map[string]string{"a/a_test.go": header + "func TestA(t *testing.T) { panic(1) }\nfunc TestB(t *testing.T) {}\n"},
			failed: 1, problems: []string{"1 failed"},
		},
		"exits": {
			files:  map[string]string{"a/a_test.go": "package a\nimport (\"os\"; \"testing\")\nfunc TestA(t *testing.T) { os.Exit(3) }\n"},
			failed: 1, problems: []string{"1 failed"},
		},
		"takes too long": {
			files:     map[string]string{"a/a_test.go": header + "func TestA(t *testing.T) { select {} }\nfunc TestB(t *testing.T) {}\n"},
			arguments: []string{"-timeout=1s"}, failed: 1, problems: []string{"1 failed"},
		},
		"is interrupted": {files: map[string]string{"a/a_test.go": passes}, cut: 4, passed: 1, failed: 1, problems: []string{"1 failed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := strings.SplitAfter(strings.TrimRight(stream(t, c.files, c.arguments...), "\n")+"\n", "\n")
			file := filepath.Join(t.TempDir(), "events.json")
			if err := os.WriteFile(file, []byte(strings.Join(lines[:len(lines)-1-c.cut], "")), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := read("unit=" + file + c.settings)
			if err != nil {
				t.Fatal(err)
			}
			if s.passed != c.passed || s.failed != c.failed || s.skipped != c.skipped {
				t.Errorf("%d passed, %d failed, %d skipped; want %d, %d, %d", s.passed, s.failed, s.skipped, c.passed, c.failed, c.skipped)
			}
			found := s.problems()
			missing := func(problem string) bool { return !strings.Contains(found[0], problem) }
			if len(found) != len(c.problems) || slices.ContainsFunc(c.problems, missing) {
				t.Errorf("problems: %q, want %q", found, c.problems)
			}
		})
	}
}

// A stream that ends in the middle of a line is no result.
func TestBrokenStream(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "events.json")
	if err := os.WriteFile(file, []byte(`{"Action":"pass","Package":"a","Te`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read("unit=" + file); err == nil {
		t.Error("it was read")
	}
	if _, err := read("unit=" + file + ".none"); err == nil {
		t.Error("a file that is not there was read")
	}
}
