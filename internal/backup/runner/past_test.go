package runner_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/runner"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/teststore"
)

// TestAttackerDeletesEverything: who has the runner's credentials deletes all, with all versions that the store lets go, and writes something
// else in its place. A bucket that locks objects still restores.
func TestAttackerDeletesEverything(t *testing.T) {
	bucket := teststore.NewLocked(t)
	credentials(t, bucket)
	if err := bucket.LockObjects(t.Context(), bucket.Name, 1); err != nil {
		t.Fatal(err)
	}
	at := destination(bucket)
	h := newHouse(t, at)
	b := h.backup()
	const rowsSQL = `SELECT string_agg(o::text, E'\n' ORDER BY o.slug) FROM public.organizations AS o`
	want := testdb.Value[string](t, h.database, rowsSQL)
	time.Sleep(1100 * time.Millisecond) // Times in a store are of a second's resolution.
	before := time.Now()
	time.Sleep(1100 * time.Millisecond)

	var stderr strings.Builder
	store := opened(t, at)
	for _, o := range testdb.Must(store.List(t.Context(), ""))(t) {
		if err := store.Delete(t.Context(), o.Key); err == nil || !strings.Contains(err.Error(), "it is locked until ") {
			t.Errorf("%s with all versions: %v", o.Key, err)
		}
		if err := bucket.Delete(t.Context(), bucket.Name, at.Path+"/"+o.Key); err != nil {
			t.Error(err)
		}
		if err := bucket.Put(t.Context(), bucket.Name, at.Path+"/"+o.Key, "pay"); err != nil {
			t.Error(err)
		}
	}
	if err := bucket.RestoreTimes(bucket.Name); err != nil {
		t.Fatal(err)
	}
	gone := runner.Source{ID: b.ID, Destination: &at, Schedule: "nightly"}
	server := h.another("")
	if _, err := h.Restore(t.Context(), gone, on(server, "copy")); err == nil {
		t.Fatal("what is there now restores, so that this test proves nothing")
	}
	place := "s3://" + at.Bucket + "/" + at.Path + "?region=us-east-1&path_style=true&endpoint=" + at.Endpoint
	for _, each := range [][]string{
		{"list", "--from", place, "--schedule", "nightly", "--as-of", before.Format(time.RFC3339)},
		{
			"restore", b.ID, "--from", place, "--schedule", "nightly", "--as-of", before.Format(time.RFC3339), "--database", "copy",
		},
	} {
		cmd := h.command(append(append([]string{}, server.Tools.Env...), append(bucket.Env(), "PGPORT=5432", "PGSSLMODE=disable")...), each...)
		cmd.Stderr = &stderr
		output, err := cmd.Output()
		if err != nil || !strings.Contains(string(output), b.ID) {
			t.Fatalf("%v: %v: %s%s", each, err, output, stderr.String())
		}
	}
	var got string
	if err := connect(t, server, "copy").QueryRow(t.Context(), rowsSQL).Scan(&got); err != nil || got != want {
		t.Errorf("the rows are %s: %v", got, err)
	}
	early := b.StartedAt.Add(-time.Hour)
	if _, err := h.Restore(t.Context(), runner.Source{ID: b.ID, Destination: &at, Schedule: "nightly", AsOf: &early}, on(server, "none")); err == nil ||
		!strings.Contains(err.Error(), "has no manifest") {
		t.Errorf("before there was one: %v", err)
	}
	past := testdb.Must(object.OpenAsOf(t.Context(), at, before))(t)
	if _, err := past.Create(t.Context(), "x"); err == nil {
		t.Error("the past can be written")
	}
	if err := past.Delete(t.Context(), "x"); err == nil {
		t.Error("the past can be deleted")
	}
}

// TestPruneLocked: what the store does not let go is retained: no error, still there, and still on record.
func TestPruneLocked(t *testing.T) {
	bucket := teststore.NewLocked(t)
	credentials(t, bucket)
	if err := bucket.LockObjects(t.Context(), bucket.Name, 1); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, destination(bucket))
	var ids []string
	for range 3 {
		ids = append(ids, h.backup().ID)
		time.Sleep(time.Second)
	}
	pruned := testdb.Must(h.Prune(t.Context(), "nightly", false))(t)
	if len(pruned) != 1 || pruned[0].ID != ids[0] || pruned[0].Why != "retention" || !pruned[0].Retained {
		t.Errorf("pruned %+v", pruned)
	}
	if b := testdb.Must(backup.New(h.DB).Backup(t.Context(), ids[0]))(t); b.PrunedAt != nil {
		t.Error("the record says that it is gone")
	}
	found := testdb.Must(artifact.Find(t.Context(), opened(t, destination(bucket)), "nightly", ids[0]))(t)
	if !found.Whole || len(found.Keys) < 5 {
		t.Errorf("it is there no more: %+v", found)
	}
	h.sound(ids[0])
}

// TestAsOfRefused: what a store cannot tell is no silent "now".
func TestAsOfRefused(t *testing.T) {
	h := newHouse(t)
	bucket := teststore.New(t)
	credentials(t, bucket)
	unversioned := "s3://" + bucket.Name + "?region=us-east-1&path_style=true&endpoint=" + bucket.Endpoint
	for name, test := range map[string]struct {
		from, at string
		code     int
		says     string
	}{
		"no time zone":    {unversioned, "2026-11-27T21:00:00", 2, "give date, time and time zone"},
		"no time":         {unversioned, "yesterday", 2, "give date, time and time zone"},
		"to come":         {unversioned, "2999-01-01T00:00:00Z", 2, "is still to come"},
		"no versions":     {unversioned, "2020-01-01T00:00:00Z", 1, "keeps no versions"},
		"a folder":        {h.schedule.Destinations[0].String(), "2020-01-01T00:00:00Z", 1, "from a snapshot of its file system"},
		"another maker's": {"gs://bucket", "2020-01-01T00:00:00Z", 1, "gcloud storage restore"},
		"no store":        {"", "2020-01-01T00:00:00Z", 2, "name it with --from"},
	} {
		for _, each := range [][]string{{"list"}, {"restore", "x", "--database", "y"}} {
			arguments := slices.Concat(each, []string{"--as-of", test.at})
			if test.from != "" {
				arguments = append(arguments, "--from", test.from, "--schedule", "nightly")
			}
			cmd := h.command(bucket.Env(), arguments...)
			output, err := cmd.CombinedOutput()
			if exit, is := err.(*exec.ExitError); !is || exit.ExitCode() != test.code || !strings.Contains(string(output), test.says) { //nolint:errorlint // It is never wrapped.
				t.Errorf("%s, %s: %v: %s", each[0], name, err, output)
			}
		}
	}
}

// TestAsOfOfACluster: pgBackRest reads the store as it is, which would be something else than what is asked for.
func TestAsOfOfACluster(t *testing.T) {
	bucket := teststore.NewLocked(t)
	credentials(t, bucket)
	at := destination(bucket)
	h := newHouse(t, at)
	const id = "20261127T213905Z-zbxxky"
	w := artifact.NewWriter("nightly", id, []age.Recipient{h.identity.Recipient()}, []*artifact.Copy{{Store: opened(t, at)}})
	_, _, err := w.Commit(t.Context(), artifact.Manifest{
		ID: id, Schedule: "nightly", Engine: string(backup.PgBackRest), Type: "full", Clusters: []artifact.Cluster{{Destination: at.String()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond) // Times in a store are of a second's resolution.
	now := time.Now()
	source := runner.Source{ID: id, Destination: &at, Schedule: "nightly", AsOf: &now}
	if _, err := h.Restore(t.Context(), source, on(h.another(""), "copy")); err == nil ||
		!strings.Contains(err.Error(), "is of engine pgbackrest, which reads the store as it is now") {
		t.Errorf("the error is %v", err)
	}
}
