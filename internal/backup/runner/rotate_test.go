package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
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

// recipient makes an identity the only one that the schedule is for, as Terraform would.
func (h house) recipient(identity *age.X25519Identity) {
	h.t.Helper()
	names := testdb.Must(json.Marshal([]string{identity.Recipient().String()}))(h.t)
	testdb.Exec(h.t, h.database, `UPDATE brownie.backup_schedules SET recipients = $1::text::jsonb, updated_at = now()`, string(names))
}

func opened(t *testing.T, d backup.Destination) *object.Store {
	t.Helper()
	store := testdb.Must(object.Open(t.Context(), d))(t)
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func content(t *testing.T, store *object.Store, key string) []byte {
	t.Helper()
	r := testdb.Must(store.Read(t.Context(), key))(t)
	defer func() { _ = r.Close() }()
	return testdb.Must(io.ReadAll(r))(t)
}

// readable are the pieces in a store that an identity decrypts, and how many there are. Each part of these backups is one piece.
func readable(t *testing.T, store *object.Store, identity age.Identity) (keys []string, all int) {
	t.Helper()
	for _, o := range testdb.Must(store.List(t.Context(), ""))(t) {
		if !strings.Contains(o.Key, ".zst.age") {
			continue
		}
		all++
		if _, err := age.Decrypt(bytes.NewReader(content(t, store, o.Key)), identity); err == nil {
			keys = append(keys, o.Key)
		}
	}
	return keys, all
}

// sound checks that a backup is what the record says in each place, and also for who has no record.
func (h house) sound(id string) {
	h.t.Helper()
	b := testdb.Must(backup.New(h.DB).Backup(h.t.Context(), id))(h.t)
	good := 0
	for _, at := range b.Destinations {
		if at.Error != "" {
			continue
		}
		good++
		store := opened(h.t, at.Destination)
		for _, want := range []string{*b.SHA256, ""} {
			m, _, err := artifact.ReadManifest(h.t.Context(), store, "nightly", id, want)
			if err == nil {
				err = artifact.Reader{Store: store, Manifest: m}.Check(h.t.Context())
			}
			if err != nil {
				h.t.Errorf("%s, on record %q: %v", at.Location, want, err)
			}
		}
	}
	if good == 0 {
		h.t.Errorf("backup %s is nowhere", id)
	}
}

func results(all []runner.Rotation) (texts []string) {
	for _, each := range all {
		texts = append(texts, each.Result)
	}
	return texts
}

func TestRotateKeys(t *testing.T) {
	bucket := teststore.NewLocked(t) // It keeps versions.
	credentials(t, bucket)
	folder := backup.Destination{Type: "file", Path: t.TempDir()}
	h := newHouse(t, folder, destination(bucket))
	ids := []string{h.backup().ID, h.backup().ID}
	stores := []*object.Store{opened(t, folder), opened(t, destination(bucket))}
	former, _, err := artifact.ReadManifest(t.Context(), stores[0], "nightly", ids[1], "")
	if err != nil || !former.For([]age.Recipient{h.identity.Recipient()}) {
		t.Fatalf("the manifest says it is for %v: %v", former.Recipients, err)
	}
	before := time.Now()
	next := newIdentity(t)
	h.recipient(next)
	identities := h.Identities
	h.Identities = nil
	if _, err := h.RotateKeys(t.Context(), "nightly", false); err == nil || !strings.Contains(err.Error(), "there is no identity") {
		t.Errorf("without an identity: %v", err)
	}
	if dry := testdb.Must(h.RotateKeys(t.Context(), "nightly", true))(t); strings.Join(results(dry), " ") != "to rotate to rotate" {
		t.Errorf("the dry run tells %+v", dry)
	}
	h.Identities = identities
	time.Sleep(time.Second)
	ids = append(ids, h.backup().ID) // The first one is not kept any more.
	done := testdb.Must(h.RotateKeys(t.Context(), "nightly", false))(t)
	if strings.Join(results(done), " ") != "rotated current" || done[0].ID != ids[1] || len(done[0].Retained)+len(done[0].Problems) != 0 {
		t.Fatalf("it tells %+v", done)
	}
	for _, store := range stores {
		if keys, all := readable(t, store, h.identity); len(keys) != 0 || all < 8 {
			t.Errorf("in %s the former recipient reads %v of %d", store, keys, all)
		}
		if keys, all := readable(t, store, next); len(keys) != all {
			t.Errorf("in %s the new recipient reads %d of %d", store, len(keys), all)
		}
	}
	past := testdb.Must(object.OpenAsOf(t.Context(), destination(bucket), before))(t)
	if keys, _ := readable(t, past, h.identity); len(keys) != 0 {
		t.Errorf("former versions are left: %v", keys)
	}
	record := testdb.Must(backup.New(h.DB).Backup(t.Context(), ids[1]))(t)
	for _, store := range stores {
		m, _, err := artifact.ReadManifest(t.Context(), store, "nightly", ids[1], "")
		if err != nil || m.Rotated == nil || m.Bytes() != *record.SizeBytes || !m.SnapshotAt.Equal(*record.SnapshotAt) {
			t.Fatalf("the manifest is %+v: %v", m, err)
		}
		for i, part := range m.Parts {
			if part.Name != former.Parts[i].Name || part.PlainBytes != former.Parts[i].PlainBytes {
				t.Errorf("part %+v was %+v", part, former.Parts[i])
			}
		}
	}
	if record.Verified == nil || !record.Verified.Succeeded || record.Verified.Method != backup.Checksum {
		t.Errorf("the proof is %+v", record.Verified)
	}
	h.sound(ids[1])
	if _, err := h.Verify(t.Context(), ids[1], backup.Restore); err == nil || !strings.Contains(err.Error(), "not encrypted for any of the identities") {
		t.Errorf("the former recipient restores: %v", err)
	}
	h.Identities = []age.Identity{next}
	testdb.Must(h.Verify(t.Context(), ids[1], backup.Restore))(t)
	again := testdb.Must(h.RotateKeys(t.Context(), "nightly", false))(t)
	if strings.Join(results(again), " ") != "current current" || *testdb.Must(backup.New(h.DB).Backup(t.Context(), ids[1]))(t).SHA256 != *record.SHA256 {
		t.Errorf("the second time tells %+v", again)
	}
}

// TestRotateLocked: what the store does not let go is told each time, and harms nothing.
func TestRotateLocked(t *testing.T) {
	bucket := teststore.NewLocked(t)
	credentials(t, bucket)
	if err := bucket.LockObjects(t.Context(), bucket.Name, 1); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, destination(bucket))
	b := h.backup()
	next := newIdentity(t)
	h.recipient(next)
	for _, want := range []string{"rotated", "current"} {
		done := testdb.Must(h.RotateKeys(t.Context(), "nightly", false))(t)
		if len(done) != 1 || done[0].Result != want || len(done[0].Retained) != 1 || done[0].Retained[0] != b.Destinations[0].Location {
			t.Errorf("want %s: %+v", want, done)
		}
	}
	pruned := testdb.Must(h.Prune(t.Context(), "nightly", false))(t)
	if len(pruned) != 2 || pruned[0].Why != "rotated" || !pruned[0].Retained || pruned[1].Why != "superseded" || !pruned[1].Retained {
		t.Errorf("pruned %+v", pruned)
	}
	h.sound(b.ID)
	h.Identities = []age.Identity{next}
	testdb.Must(h.Verify(t.Context(), b.ID, backup.Restore))(t)
	at := destination(bucket)
	testdb.Must(h.Restore(t.Context(), runner.Source{ID: b.ID, Destination: &at, Schedule: "nightly"}, on(h.another(""), "copy")))(t)
}

// TestRotateDamaged: nothing is made of a damaged copy, and another one is used if there is one.
func TestRotateDamaged(t *testing.T) {
	for name, copies := range map[string]int{"the only copy": 1, "one of two": 2} {
		t.Run(name, func(t *testing.T) {
			var places []backup.Destination
			for range copies {
				places = append(places, backup.Destination{Type: "file", Path: t.TempDir()})
			}
			h := newHouse(t, places...)
			b := h.backup()
			next := newIdentity(t)
			h.recipient(next)
			for _, path := range h.files(b) {
				if !strings.Contains(path, "rows-2") {
					continue
				}
				whole := testdb.Must(os.ReadFile(path))(t)
				whole[len(whole)-1] ^= 1
				if err := os.WriteFile(path, whole, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			done, err := h.RotateKeys(t.Context(), "nightly", false)
			if copies == 2 {
				if err != nil || done[0].Result != "rotated" || !strings.Contains(strings.Join(done[0].Problems, " "), "rows-2.dump.zst.age.0000") {
					t.Errorf("it tells %+v: %v", done, err)
				}
				h.sound(b.ID)
				return
			}
			if err == nil || !strings.Contains(err.Error(), b.ID+"/rows-2.dump.zst.age.0000") || done[0].Result != "failed" {
				t.Errorf("it tells %+v: %v", done, err)
			}
			if now := testdb.Must(backup.New(h.DB).Backup(t.Context(), b.ID))(t); *now.SHA256 != *b.SHA256 {
				t.Error("the record was changed")
			}
			if keys, _ := readable(t, opened(t, places[0]), next); len(keys) != 0 {
				t.Errorf("what was written is left: %v", keys)
			}
		})
	}
}

// TestRotateOnePlaceFails: the others have it, and the record says so. What is left there goes when it answers again.
func TestRotateOnePlaceFails(t *testing.T) {
	good, bad := backup.Destination{Type: "file", Path: t.TempDir()}, backup.Destination{Type: "file", Path: filepath.Join(t.TempDir(), "place")}
	if err := os.Mkdir(bad.Path, 0o700); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, bad, good)
	b := h.backup()
	h.recipient(newIdentity(t))
	if err := os.Rename(bad.Path, bad.Path+"-away"); err != nil {
		t.Fatal(err)
	}
	done, _ := h.RotateKeys(t.Context(), "nightly", false)
	if done[0].Result != "rotated" || !strings.Contains(strings.Join(done[0].Problems, " "), bad.Path) {
		t.Errorf("it tells %+v", done)
	}
	if err := os.Rename(bad.Path+"-away", bad.Path); err != nil {
		t.Fatal(err)
	}
	if record := testdb.Must(backup.New(h.DB).Backup(t.Context(), b.ID))(t); record.Destinations[0].Error == "" || record.Destinations[1].Error != "" {
		t.Errorf("on record is %+v", record.Destinations)
	}
	if keys, _ := readable(t, opened(t, bad), h.identity); len(keys) == 0 {
		t.Fatal("nothing was there, so that this test proves nothing")
	}
	testdb.Must(h.RotateKeys(t.Context(), "nightly", false))(t)
	if keys, _ := readable(t, opened(t, bad), h.identity); len(keys) != 0 {
		t.Errorf("the former recipient reads %v", keys)
	}
	h.sound(b.ID)
}

// failing is a way to a bucket on which only so many changes get through.
type failing struct {
	backup.Destination
	left atomic.Int64
}

func newFailing(t *testing.T, bucket teststore.Bucket) *failing {
	t.Helper()
	to := testdb.Must(url.Parse(bucket.Endpoint))(t)
	f := &failing{Destination: destination(bucket)}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // It is part of what is signed.
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead && f.left.Add(-1) < 0 || f.left.Load() < 0 {
			w.WriteHeader(http.StatusBadRequest) // It is not tried again.
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.Endpoint = server.URL
	return f
}

const unlimited = 1 << 40

// TestRotateInterrupted ends the store after each change of a rotation. The backup restores all the same, and the next rotation goes on.
func TestRotateInterrupted(t *testing.T) {
	bucket := teststore.New(t)
	credentials(t, bucket)
	f := newFailing(t, bucket)
	f.left.Store(unlimited)
	h := newHouse(t, f.Destination)
	b := h.backup()
	direct := opened(t, destination(bucket))
	now, next := h.identity, newIdentity(t)
	for step := int64(0); ; step++ {
		h.Identities = []age.Identity{now}
		h.recipient(next)
		f.left.Store(step)
		_, err := h.RotateKeys(t.Context(), "nightly", false)
		ended := f.left.Load() >= 0
		f.left.Store(unlimited)
		h.sound(b.ID)
		h.Identities = []age.Identity{now, next}
		if step%5 == 2 {
			testdb.Must(h.Verify(t.Context(), b.ID, backup.Restore))(t)
		}
		testdb.Must(h.RotateKeys(t.Context(), "nightly", false))(t)
		h.sound(b.ID)
		if keys, all := readable(t, direct, now); len(keys) != 0 {
			t.Errorf("after change %d the former recipient reads %v of %d", step, keys, all)
		}
		if keys, all := readable(t, direct, next); len(keys) != all || all != 5 {
			t.Errorf("after change %d the new recipient reads %d of %d", step, len(keys), all)
		}
		if ended {
			if err != nil || step < 10 {
				t.Errorf("all was done after %d changes: %v", step, err)
			}
			return
		}
		now, next = next, now
	}
}

// TestRotateKilled kills the command at random moments.
func TestRotateKilled(t *testing.T) {
	bucket := teststore.New(t)
	credentials(t, bucket)
	h := newHouse(t, destination(bucket), backup.Destination{Type: "file", Path: t.TempDir()})
	ids := []string{h.backup().ID, h.backup().ID}
	now, next := h.identity, newIdentity(t)
	identity := filepath.Join(t.TempDir(), "identities")
	if err := os.WriteFile(identity, []byte(now.String()+"\n"+next.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Identities = []age.Identity{now, next}
	rotate := func(ctx context.Context) time.Duration {
		cmd := h.command(bucket.Env(), "rotate-keys", "nightly", "--identity", identity)
		start := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		stop()
		return time.Since(start)
	}
	h.recipient(next)
	usual := rotate(t.Context())
	kills := 0
	for range 10 {
		now, next = next, now
		h.recipient(next)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Int64N(int64(usual))))
		rotate(ctx)
		if ctx.Err() != nil {
			kills++
		}
		cancel()
		// The server notices after a while that the killed one is gone.
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
			if _, err := h.Prune(t.Context(), "nightly", false); err == nil {
				break
			} else if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		for _, id := range ids {
			h.sound(id)
		}
		testdb.Must(h.RotateKeys(t.Context(), "nightly", false))(t)
		for _, d := range h.schedule.Destinations {
			keys, _ := readable(t, opened(t, d), now)
			if mine, all := readable(t, opened(t, d), next); len(keys) != 0 || len(mine) != all || all != 10 {
				t.Errorf("in %s the former recipient reads %v, the new one %d of %d", d, keys, len(mine), all)
			}
		}
	}
	testdb.Must(h.Verify(t.Context(), ids[0], backup.Restore))(t)
	if kills < 3 {
		t.Errorf("only %d of 10 were killed before they ended", kills)
	}
	t.Logf("%d of 10 were killed within %s", kills, usual)
}
