package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/teststore"
)

// build builds the command once.
var build = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "brownie-backup-")
	if err != nil {
		return "", err
	}
	program := filepath.Join(folder, "brownie-backup")
	output, err := exec.CommandContext(context.Background(), "go", "build", "-o", program, "../../../cmd/brownie-backup").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, output)
	}
	return program, err
})

// command is the command as a person calls it, with the same login as the house's runner.
func (h house) command(more []string, arguments ...string) *exec.Cmd {
	h.t.Helper()
	identity := filepath.Join(h.t.TempDir(), "identity")
	if err := os.WriteFile(identity, []byte(h.identity.String()+"\n"), 0o600); err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.CommandContext(h.t.Context(), testdb.Must(build())(h.t), append([]string{
		"--bin", h.Tools.Dir, "--server-bin", h.ServerPrograms, "--identity", identity,
	}, arguments...)...)
	cmd.Env = append(append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.t.TempDir()}, h.Tools.Env...), more...)
	return cmd
}

// TestKilled kills the runner, the database's sessions or the object store at random moments. Whatever happens: no backup is listed that does not
// restore, nothing is left that prune does not remove, and the next run succeeds.
func TestKilled(t *testing.T) {
	bucket := teststore.Own(t)
	credentials(t, bucket)
	h := newHouseAlone(t, destination(bucket))
	testdb.Exec(t, h.database, `INSERT INTO public.organizations (id, name, slug, description, is_active, max_teams, max_users_per_team)
		SELECT gen_random_uuid(), 'More ' || n, 'more-' || n, md5(n::text) || repeat(md5((n + 1)::text), 20), true, 10, 50
		FROM generate_series(1, 20000) AS n`)
	start := time.Now()
	h.backup()
	usual := time.Since(start)
	for i := range 30 {
		victim := []string{"runner", "sessions", "store"}[i%3]
		cmd := h.command(bucket.Env(), "backup", "nightly")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.Int64N(int64(usual) + int64(usual)/4)))
		switch victim {
		case "runner":
			_ = cmd.Process.Kill()
		case "sessions":
			testdb.Exec(t, h.database, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1`, h.role)
		case "store":
			if err := errors.Join(bucket.Kill(t.Context()), bucket.Start(t.Context(), devstack.Options{})); err != nil {
				t.Fatal(err)
			}
		}
		_ = cmd.Wait()
		if i%5 == 4 {
			h.soundAfter(victim)
		}
	}
	h.soundAfter("all")
	b := h.backup()
	proof := testdb.Must(h.Verify(t.Context(), b.ID, backup.Restore))(t)
	t.Logf("the last one restores in %.1f s", *proof.RestoreSeconds)
}

// soundAfter checks what is listed, and what is left.
func (h house) soundAfter(victim string) {
	h.t.Helper()
	// The server ends the sessions of a killed runner when it notices: until then they hold the lock.
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := h.Prune(h.t.Context(), "nightly", false)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("after the end of the %s: %v", victim, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	store := testdb.Must(object.Open(h.t.Context(), h.schedule.Destinations[0]))(h.t)
	defer func() { _ = store.Close() }()
	present := map[string]bool{}
	for _, b := range testdb.Must(backup.New(h.DB).Backups(h.t.Context(), backup.Filter{Present: true}))(h.t) {
		if b.Status == backup.Running {
			h.t.Errorf("after the end of the %s: %s still runs", victim, b.ID)
		}
		present[b.ID] = true
		if b.Status != backup.Succeeded {
			continue
		}
		if _, err := h.Verify(h.t.Context(), b.ID, backup.Checksum); err != nil {
			h.t.Errorf("after the end of the %s: %s is listed: %v", victim, b.ID, err)
		}
	}
	for _, found := range testdb.Must(artifact.List(h.t.Context(), store, "nightly"))(h.t) {
		if !found.Whole || !present[found.ID] {
			h.t.Errorf("after the end of the %s: %d objects of %s are left", victim, len(found.Keys), found.ID)
		}
	}
}

// TestCommand calls the command as a person and as a script would.
func TestCommand(t *testing.T) {
	h := newHouse(t)
	for name, test := range map[string]struct {
		arguments []string
		code      int
		says      string
	}{
		"a schedule that is not there": {[]string{"backup", "weekly"}, 1, `there is no backup schedule "weekly"`},
		"no name":                      {[]string{"backup"}, 2, "accepts 1 arg(s), received 0; usage: brownie-backup backup NAME"},
		"an unknown flag":              {[]string{"list", "--nonsense"}, 2, "unknown flag: --nonsense"},
		"a store without a name":       {[]string{"restore", "x", "--database", "y", "--from", ""}, 2, "--from is empty: is a variable not set?"},
		"a time without a value": {
			[]string{"list", "--from", "file:///x", "--schedule", "nightly", "--as-of", ""}, 2, "--as-of is empty: is a variable not set?",
		},
		"a backup that is not there": {[]string{"restore", "x", "--database", "y"}, 1, `there is no backup "x" on record`},
	} {
		t.Run(name, func(t *testing.T) {
			output, err := h.command(nil, test.arguments...).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != test.code || !strings.Contains(string(output), test.says) {
				t.Errorf("%v: %s", err, output)
			}
		})
	}
	t.Run("no server", func(t *testing.T) {
		cmd := h.command([]string{"PGPORT=1"}, "status")
		output, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 75 {
			t.Errorf("%v: %s", err, output)
		}
	})
	var made []backup.Backup
	answer(t, h.command(nil, "backup", "nightly", "--output", "json"), &made)
	if len(made) != 1 || made[0].Status != backup.Succeeded {
		t.Fatalf("made %+v", made)
	}
	// The record may be lost with the database.
	server := h.another("")
	place := h.schedule.Destinations[0].String()
	for _, each := range [][]string{
		{"list", "--from", place, "--schedule", "nightly"},
		{"restore", made[0].ID, "--from", place, "--schedule", "nightly", "--database", "copy"},
	} {
		output, err := h.command(append(slices.Clone(server.Tools.Env), "PGPORT=5432", "PGSSLMODE=disable"), each...).CombinedOutput()
		if err != nil || !strings.Contains(string(output), made[0].ID) {
			t.Errorf("%v: %v: %s", each, err, output)
		}
	}
	var n int
	if err := connect(t, server, "copy").QueryRow(t.Context(), `SELECT count(*) FROM public.organizations`).Scan(&n); err != nil || n != 20 {
		t.Errorf("there are %d organizations: %v", n, err)
	}
	var proof backup.Proof
	answer(t, h.command(nil, "verify", made[0].ID, "--method", "restore", "--output", "json"), &proof)
	if !proof.Succeeded || proof.RestoreSeconds == nil {
		t.Errorf("the proof is %+v", proof)
	}
	for _, each := range [][]string{{"list"}, {"status"}, {"prune", "nightly", "--dry-run"}, {"report"}} {
		output, err := h.command(nil, each...).Output()
		if err != nil || len(output) == 0 || each[0] == "report" && !strings.Contains(string(output), made[0].ID) {
			t.Errorf("%v: %v: %s", each, err, output)
		}
	}
}

// answer decodes what a command prints.
func answer(t *testing.T, cmd *exec.Cmd, into any) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	if err := json.Unmarshal(output, into); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}
