package runner_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

// runbook is the guide for whoever is on call: the blocks of commands below each heading.
type runbook struct {
	blocks map[string][]string
	mu     sync.Mutex
	ran    map[string]map[int]bool
}

var (
	headingOrBlock = regexp.MustCompile("(?ms)^(?:##+ ([^\n]*)|```sh\n(.*?\n)```)$")
	assignment     = regexp.MustCompile(`\b([A-Z][A-Z_]*)=("[^"]*"|'[^']*'|[^\s#]*)`)
	assigning      = regexp.MustCompile(`^(export )?[A-Z][A-Z_]*=`)
)

func readRunbook(t *testing.T) *runbook {
	t.Helper()
	page := testdb.Must(os.ReadFile(filepath.Join(testdb.Repository(t), "docs", "guides", "disaster-recovery.md")))(t)
	b := &runbook{blocks: map[string][]string{}, ran: map[string]map[int]bool{}}
	heading := ""
	for _, found := range headingOrBlock.FindAllStringSubmatch(string(page), -1) {
		if found[1] != "" {
			heading = found[1]
			continue
		}
		b.blocks[heading] = append(b.blocks[heading], found[2])
		b.ran[heading] = map[int]bool{}
	}
	if blocks := strings.Count(string(page), "```sh"); blocks == 0 || blocks != len(slices.Concat(slices.Collect(maps.Values(b.blocks))...)) {
		t.Fatalf("of %d blocks are read %d", blocks, len(b.blocks))
	}
	return b
}

// complete fails when a block was never run.
func (b *runbook) complete(t *testing.T) {
	t.Helper()
	for heading, blocks := range b.blocks {
		for i := range blocks {
			if !b.ran[heading][i] {
				t.Errorf("block %d of %q was never run", i+1, heading)
			}
		}
	}
}

// reader is who follows the runbook, in one shell, with the values that are asked for.
type reader struct {
	t       *testing.T
	book    *runbook
	folder  string
	env     []string
	values  map[string]string // what is filled in
	known   map[string]string // what was filled in so far
	filled  map[string]string // what this block fills in
	heading string
	next    int
	shown   string // by the last block
}

// newReader has the programs on PATH.
func newReader(t *testing.T, book *runbook, tools, server string, login []string, values map[string]string) *reader {
	t.Helper()
	program := testdb.Must(build())(t)
	r := &reader{t: t, book: book, folder: t.TempDir(), values: values, known: map[string]string{}}
	r.env = []string{
		"PATH=" + strings.Join([]string{filepath.Dir(program), tools, server, os.Getenv("PATH")}, ":"), "HOME=" + t.TempDir(),
	}
	for _, name := range []string{"PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"} {
		values[name] = ""
	}
	for _, each := range login {
		name, value, _ := strings.Cut(each, "=")
		if _, asked := values[name]; asked {
			values[name] = value
		} else {
			r.env = append(r.env, each)
		}
	}
	t.Cleanup(r.finished)
	return r
}

// identity writes the file that the reader has.
func (r *reader) identity(name string, identity *age.X25519Identity) string {
	r.t.Helper()
	path := filepath.Join(r.folder, name)
	if err := os.WriteFile(path, []byte(identity.String()+"\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// finished fails when something is left below the heading.
func (r *reader) finished() {
	r.t.Helper()
	if left := len(r.book.blocks[r.heading]) - r.next; left > 0 && !r.t.Failed() {
		r.t.Errorf("%d blocks of %q are left", left, r.heading)
	}
}

// turnTo goes to a heading. Of the former one, nothing may be left.
func (r *reader) turnTo(heading string) {
	r.t.Helper()
	r.finished()
	if len(r.book.blocks[heading]) == 0 {
		r.t.Fatalf("the page has no commands under %q", heading)
	}
	r.heading, r.next = heading, 0
}

// skip leaves out the next block, as the page says.
func (r *reader) skip() { r.next++ }

// try runs the next block.
func (r *reader) try() error {
	r.t.Helper()
	if r.next >= len(r.book.blocks[r.heading]) {
		r.t.Fatalf("the page has only %d blocks under %q", r.next, r.heading)
	}
	var script strings.Builder
	r.filled = map[string]string{}
	for line := range strings.Lines(r.book.blocks[r.heading][r.next]) {
		if assigning.MatchString(line) {
			line = assignment.ReplaceAllStringFunc(line, r.fillIn)
		}
		script.WriteString(line)
	}
	env := slices.Clone(r.env)
	for name, value := range r.known {
		env = append(env, name+"="+value)
	}
	var output []byte
	var err error
	for range 3 { // On a busy machine, as the page says.
		cmd := exec.CommandContext(r.t.Context(), "bash", "-euo", "pipefail", "-c", script.String())
		cmd.Dir, cmd.Env = r.folder, env
		if output, err = cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != 75 {
			break
		}
		r.t.Logf("to be tried again: %s", output)
	}
	maps.Copy(r.known, r.filled)
	r.shown = string(output)
	r.t.Logf("%s, block %d: %v\n%s\n%s", r.heading, r.next+1, err, script.String(), output)
	r.book.mu.Lock()
	r.book.ran[r.heading][r.next] = r.book.ran[r.heading][r.next] || err == nil
	r.book.mu.Unlock()
	r.next++
	return err
}

func (r *reader) fillIn(text string) string {
	name, _, _ := strings.Cut(text, "=")
	value, ok := r.values[name]
	if !ok {
		r.t.Fatalf("%q asks for %s", r.heading, name)
	}
	r.filled[name] = value
	return name + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// run runs the next block, which prints all of these texts.
func (r *reader) run(says ...string) {
	r.t.Helper()
	if err := r.try(); err != nil {
		r.t.Fatalf("%s: %v: %s", r.heading, err, r.shown)
	}
	r.says(says...)
}

func (r *reader) says(texts ...string) {
	r.t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.shown, text) {
			r.t.Errorf("%s, block %d does not say %q: %s", r.heading, r.next, text, r.shown)
		}
	}
}

// fails runs the next block, which fails with this text.
func (r *reader) fails(says string) {
	r.t.Helper()
	if err := r.try(); err == nil {
		r.t.Errorf("%s, block %d does not fail: %s", r.heading, r.next, r.shown)
	}
	r.says(says)
}

var listed = regexp.MustCompile(`(?m)^(\d{8}T\d{6}Z-[a-z0-9]{6})\s+\S+\s+(\S+)\s+(\S+)\s+(\S+)`)

// choose fills in the newest backup of the list that had ended before a time.
func (r *reader) choose(before time.Time) string {
	r.t.Helper()
	for _, found := range listed.FindAllStringSubmatch(r.shown, -1) {
		started, err := time.Parse(time.RFC3339, found[3])
		took, errTook := time.ParseDuration(found[4])
		if err == nil && errTook == nil && found[2] == "succeeded" && !started.Add(took).After(before) {
			r.values["BACKUP"] = found[1]
			return found[1]
		}
	}
	r.t.Fatalf("there is no backup of before %s: %s", before, r.shown)
	return ""
}

// chooseFirst fills in the first backup of the list.
func (r *reader) chooseFirst() string {
	r.t.Helper()
	found := regexp.MustCompile(`(?m)^\d{8}T\d{6}Z-[a-z0-9]{6}\b`).FindString(r.shown)
	if found == "" {
		r.t.Fatalf("there is no backup: %s", r.shown)
	}
	r.values["BACKUP"] = found
	return found
}

// begin is what the page says before the table: look, choose, hold.
func (r *reader) begin(before time.Time) string {
	r.t.Helper()
	r.turnTo("First")
	r.run()
	r.run("version_id", "SCHEDULE", "RESTORED IN", "VERIFIED")
	id := r.choose(before)
	r.turnTo("Which backup, which moment")
	r.run("record alone")
	r.skip() // There is no log.
	return id
}

// moment is what the page says about the choice of a moment.
func (r *reader) moment() {
	r.t.Helper()
	r.turnTo("Which backup, which moment")
	r.run("record alone")
	r.run("pg_switch_wal")
}

// afterwards is the end of the page.
func (r *reader) afterwards() {
	r.t.Helper()
	r.turnTo("Afterwards")
	r.run("succeeded")
	r.chooseFirst()
	r.run("RESTORED IN")
}
