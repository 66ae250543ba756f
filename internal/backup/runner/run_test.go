package runner_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/runner"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/teststore"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

func destination(b teststore.Bucket) backup.Destination {
	return backup.Destination{Type: "s3", Bucket: b.Name, Path: "brownie/test", Region: "us-east-1", Endpoint: b.Endpoint, PathStyle: true}
}

// credentials puts the store's login into the environment, as that of a runner has it. Tests of one store share it.
func credentials(t *testing.T, b teststore.Bucket) {
	t.Helper()
	for _, each := range b.Env() {
		name, value, _ := strings.Cut(each, "=")
		if err := os.Setenv(name, value); err != nil { //nolint:usetesting // Parallel tests must not change it back.
			t.Fatal(err)
		}
	}
}

func (h house) records() []backup.Backup {
	h.t.Helper()
	return testdb.Must(backup.New(h.DB).Backups(h.t.Context(), backup.Filter{}))(h.t)
}

// TestSeveralDestinations writes to an object store and to a folder at once. One that fails does not stop the other.
func TestSeveralDestinations(t *testing.T) {
	bucket := teststore.New(t)
	credentials(t, bucket)
	folder := backup.Destination{Type: "file", Path: t.TempDir()}
	missing := destination(bucket)
	missing.Bucket = "there-is-none"
	h := newHouse(t, destination(bucket), folder, missing)
	b := h.backup()
	for i, want := range []string{"", "", "there is no such bucket. Create it, or correct the schedule's destination"} {
		if got := b.Destinations[i].Error; !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q", b.Destinations[i].Location, got)
		}
	}
	server := h.another("")
	for _, gone := range []string{"", folder.Path} {
		if gone != "" {
			if err := os.RemoveAll(gone); err != nil {
				t.Fatal(err)
			}
		}
		testdb.Must(h.Restore(t.Context(), runner.Source{ID: b.ID}, on(server, "copy"+strings.ReplaceAll(gone, "/", "_"))))(t)
	}
}

func TestNoDestinationLeft(t *testing.T) {
	for name, test := range map[string]struct {
		spoil     func(t *testing.T, folder string) backup.Destination
		want      string
		retryable bool
	}{
		"a bucket that is gone": {func(t *testing.T, _ string) backup.Destination {
			t.Helper()
			bucket := teststore.New(t)
			credentials(t, bucket)
			d := destination(bucket)
			d.Bucket = "gone"
			return d
		}, "there is no such bucket", false},
		"a folder that may not be written": {func(t *testing.T, folder string) backup.Destination {
			t.Helper()
			return backup.Destination{Type: "file", Path: "/proc/none"}
		}, "cannot be opened", false},
		"a disk that is full": {func(t *testing.T, folder string) backup.Destination {
			t.Helper()
			if os.Geteuid() != 0 {
				t.Skip("NOT RUN: only root may mount a small disk")
			}
			if output, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=16k", "none", folder).CombinedOutput(); err != nil {
				t.Skipf("NOT RUN: no small disk can be mounted here: %s", output)
			}
			t.Cleanup(func() { _ = exec.CommandContext(context.Background(), "umount", folder).Run() })
			return backup.Destination{Type: "file", Path: folder}
		}, "the disk is full", true},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			h := newHouse(t, test.spoil(t, folder))
			_, err := h.Backup(t.Context(), "nightly", nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("the error is %v", err)
			}
			record := h.records()[0]
			if record.Status != backup.Failed || record.EndedAt == nil || !strings.Contains(*record.Error, test.want) || *record.Retryable != test.retryable {
				t.Errorf("on record is %+v: %s", record, *record.Error)
			}
			if len(h.records()) != 1 {
				t.Errorf("there are %d records", len(h.records()))
			}
		})
	}
}

// TestOnlyOneRuns starts several runners at once.
func TestOnlyOneRuns(t *testing.T) {
	h := newHouse(t)
	due := time.Now().Truncate(time.Minute)
	var all sync.WaitGroup
	var mu sync.Mutex
	busy := 0
	for range 4 {
		other := *h.Runner
		config := testdb.ConfigAs(t, h.database, h.role)
		other.DB = postgres.New(config)
		t.Cleanup(other.DB.Close)
		all.Go(func() {
			_, err := other.Backup(t.Context(), "nightly", &due)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, runner.ErrBusy):
				busy++
			case err != nil:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if records := h.records(); len(records) != 1 || records[0].Status != backup.Succeeded {
		t.Errorf("%d were busy, and there are %d records", busy, len(records))
	}
}

// TestServe makes up for one missed run, however many there were, and takes one whose runner died for lost.
func TestServe(t *testing.T) {
	h := newHouse(t)
	testdb.Exec(t, h.database, `UPDATE brownie.backup_schedules SET timing_changed_at = now() - interval '10 days'`)
	testdb.Exec(t, h.database, `INSERT INTO brownie.backups (id, schedule_name, engine, type, started_at, status, runner)
		VALUES ('20200101T000000Z-aaaaaa', 'nightly', 'pg_dump', 'full', now() - interval '1 hour', 'running', 'somebody')`)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- runner.NewServer(h.Runner).Serve(ctx) }()
	testdb.Until(t, h.database, `SELECT count(*) FILTER (WHERE status = 'lost') = 1 AND count(*) FILTER (WHERE status = 'succeeded') = 1
		FROM brownie.backups`)
	testdb.Until(t, h.database, `SELECT count(*) = 1 FROM brownie.backup_verifications`)
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	for _, b := range h.records() {
		if b.Status == backup.Succeeded && (b.DueAt == nil || time.Since(*b.DueAt) > 24*time.Hour || b.DueAt.UTC().Hour() != 3) {
			t.Errorf("the run was due at %v", b.DueAt)
		}
	}
	if n := len(h.records()); n != 2 {
		t.Errorf("there are %d records", n)
	}
}

// TestPrune keeps what the rules keep, and removes what is left of a run that did not end, and nothing of another database's.
func TestPrune(t *testing.T) {
	h := newHouse(t)
	var ids []string
	for range 3 {
		ids = append(ids, h.backup().ID)
		time.Sleep(time.Second) // IDs and times are of a second's resolution.
	}
	folder := h.schedule.Destinations[0].Path + "/nightly/"
	const lost, foreign = "20200101T000000Z-aaaaaa", "20200101T000000Z-zzzzzz"
	testdb.Exec(t, h.database, `INSERT INTO brownie.backups (id, schedule_name, engine, type, started_at, status, runner)
		VALUES ('`+lost+`', 'nightly', 'pg_dump', 'full', now() - interval '1 hour', 'running', 'somebody')`)
	for _, id := range []string{lost, foreign} {
		if err := os.Mkdir(folder+id, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(folder+id+"/rows-1.dump.zst.age.0000", []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dry := testdb.Must(h.Prune(t.Context(), "nightly", true))(t)
	done := testdb.Must(h.Prune(t.Context(), "nightly", false))(t)
	if len(dry) != len(done) || len(done) != 1 || done[0].ID != lost || done[0].Why != "orphan" {
		t.Errorf("told %+v, removed %+v", dry, done)
	}
	store := testdb.Must(object.Open(t.Context(), h.schedule.Destinations[0]))(t)
	left := map[string]bool{}
	for _, found := range testdb.Must(artifact.List(t.Context(), store, "nightly"))(t) {
		left[found.ID] = true
	}
	for id, want := range map[string]bool{ids[0]: false, ids[1]: true, ids[2]: true, lost: false, foreign: true} {
		if left[id] != want {
			t.Errorf("%s is left: %v", id, left[id])
		}
	}
	if record := testdb.Must(backup.New(h.DB).Backup(t.Context(), ids[0]))(t); record.PrunedAt == nil {
		t.Error("the record does not say that the first one is gone")
	}
}

// TestHiddenRows: a backup that would lack rows is none, whatever hides them.
func TestHiddenRows(t *testing.T) {
	for name, hide := range map[string]string{
		"access has ended":           `UPDATE brownie.role_bindings SET valid_until = now() - interval '1 second' WHERE role_name = 'ROLE'`,
		"a policy that reads a view": `GRANT brownie_all_tenants TO "ROLE"`,
		"a policy of somebody else":  `CREATE POLICY mine ON public.teams AS RESTRICTIVE USING (name <> 'secret')`,
		"a table of somebody else":   `CREATE TABLE public.theirs (n integer); ALTER TABLE public.theirs ENABLE ROW LEVEL SECURITY; GRANT SELECT ON public.theirs TO brownie_backup`,
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			testdb.Exec(t, h.database, strings.ReplaceAll(hide, "ROLE", h.role))
			_, err := h.Backup(t.Context(), "nightly", nil)
			if name == "access has ended" {
				if err == nil || !strings.Contains(err.Error(), "its valid_until has passed") {
					t.Errorf("the error is %v", err)
				}
				return // It may record nothing.
			}
			if err == nil || !strings.Contains(err.Error(), "may not see all rows of ") {
				t.Fatalf("the error is %v", err)
			}
			if record := h.records()[0]; record.Status != backup.Failed || *record.Retryable {
				t.Errorf("on record is %+v", record)
			}
		})
	}
}
