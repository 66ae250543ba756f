package runner_test

import (
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/runner"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/teststore"
)

// TestHold: no rule removes a backup under hold, nor does anybody from a bucket that locks objects.
func TestHold(t *testing.T) {
	locking, plain := teststore.NewLocked(t), teststore.New(t)
	credentials(t, locking)
	h := newHouse(t, destination(locking), destination(plain), backup.Destination{Type: "file", Path: t.TempDir()})
	b := h.backup()
	var held []runner.Held
	answer(t, h.command(locking.Env(), "hold", b.ID, "--reason", "case 4711", "--output", "json"), &held)
	for i, byStore := range []bool{true, false, false} {
		if held[i].Store != byStore || held[i].Problem != "" || held[i].Location != b.Destinations[i].Location {
			t.Errorf("held %+v", held[i])
		}
	}
	for range 2 {
		time.Sleep(time.Second)
		h.backup()
	}
	for range 2 { // keep_last is 2.
		pruned := testdb.Must(h.Prune(t.Context(), "nightly", false))(t)
		if len(pruned) != 3 || pruned[0].ID != b.ID || !pruned[0].Held || pruned[0].Retained || pruned[0].Why != "retention" {
			t.Errorf("pruned %+v", pruned)
		}
	}
	h.sound(b.ID)
	record := testdb.Must(backup.New(h.DB).Backup(t.Context(), b.ID))(t)
	if record.HeldAt == nil || record.HoldReason == nil || *record.HoldReason != "case 4711" || record.PrunedAt != nil {
		t.Errorf("on record is %+v", record)
	}
	for _, each := range [][]string{{"list"}, {"report"}} {
		output, err := h.command(nil, each...).Output()
		if err != nil || !strings.Contains(string(output), ": case 4711") {
			t.Errorf("%s: %v: %s", each[0], err, output)
		}
	}

	// What is written in its place is held, too, and what was held before stays.
	next := newIdentity(t)
	h.recipient(next)
	done := testdb.Must(h.RotateKeys(t.Context(), "nightly", false))(t)
	if done[0].ID != b.ID || done[0].Result != "rotated" || len(done[0].Retained) != 1 || done[0].Retained[0] != b.Destinations[0].Location {
		t.Errorf("rotated %+v", done)
	}
	store := opened(t, destination(locking))
	for _, o := range testdb.Must(store.List(t.Context(), "nightly/"+b.ID))(t) {
		if err := store.Delete(t.Context(), o.Key); err == nil || !strings.Contains(err.Error(), "it is locked by a legal hold") {
			t.Errorf("%s can be deleted: %v", o.Key, err)
		}
	}
	h.Identities = []age.Identity{next}
	h.sound(b.ID)

	testdb.Must(h.Release(t.Context(), b.ID))(t)
	pruned := testdb.Must(h.Prune(t.Context(), "nightly", false))(t)
	if len(pruned) != 3 || pruned[0].Held || pruned[0].Retained {
		t.Errorf("after the release: pruned %+v", pruned)
	}
	for _, d := range h.schedule.Destinations {
		if left := testdb.Must(opened(t, d).List(t.Context(), "nightly/"+b.ID))(t); len(left) != 0 {
			t.Errorf("in %s is left %+v", d, left)
		}
	}
	if _, err := h.Hold(t.Context(), b.ID, ""); err == nil || !strings.Contains(err.Error(), "was removed at") {
		t.Errorf("what is gone is held: %v", err)
	}
}

// TestNoHoldsYet: a runner of this version makes backups before the migration that adds the holds.
func TestNoHoldsYet(t *testing.T) {
	h := newHouse(t)
	testdb.Exec(t, h.database, `ALTER TABLE brownie.backups DROP CONSTRAINT backups_hold_reason, DROP COLUMN held_at, DROP COLUMN hold_reason`)
	if b := h.backup(); b.Status != backup.Succeeded {
		t.Errorf("the backup is %+v", b)
	}
	testdb.Must(h.Prune(t.Context(), "nightly", false))(t)
}
