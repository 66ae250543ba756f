package backup_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// recipient is a public key of age.
const recipient = "age136vh6v52chyqneypd0hxlgsrc3e3lgnw23ajppj56edhyq0xyp5snmuf99"

func newStore(t *testing.T) (store *backup.Store, database string) {
	t.Helper()
	database = testdb.Migrated(t)
	return backup.New(testdb.DB(t, database).AsOwner()), database
}

func newSchedule(name string) backup.Schedule {
	return backup.Schedule{
		Name: name, Cron: "15 2 * * *", Timezone: "UTC", Engine: backup.PgDump, Type: "full", Verify: backup.Restore, Timeout: "1h",
		Destinations: []backup.Destination{{Type: "file", Path: "/var/backups/it's"}}, Retention: backup.Retention{KeepLast: 3},
		Recipients: []string{recipient}, Enabled: true,
	}
}

func fails(t *testing.T, err error, attribute, words string) {
	t.Helper()
	told, ok := errors.AsType[problem.Error](err)
	if !ok || told.Attribute() != attribute || !strings.Contains(err.Error(), words) {
		t.Errorf("want %q on %q, got %v", words, attribute, err)
	}
}

func TestScheduleIsStoredAsItIs(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	wanted := newSchedule("nightly")
	cron, seconds := "0 6 * * 0", int32(60)
	wanted.VerifyCron, wanted.MaxRestoreSeconds = &cron, &seconds
	wanted.Destinations = append(wanted.Destinations, backup.Destination{
		Type: "s3", Bucket: "acme", Path: "a", Region: "eu-central-1", Endpoint: "https://s3.example", PathStyle: true,
	})
	made := testdb.Must(store.CreateSchedule(t.Context(), wanted))(t)
	wanted.ID, wanted.UpdatedAt, wanted.TimingChangedAt = made.ID, made.UpdatedAt, made.TimingChangedAt
	if !reflect.DeepEqual(made, wanted) || made.ID == "" || made.UpdatedAt.IsZero() {
		t.Errorf("got %+v, want %+v", made, wanted)
	}

	changed := newSchedule("other")
	changed.Enabled = false
	changed.ID = "ignored"
	changed = testdb.Must(store.UpdateSchedule(t.Context(), made, changed))(t)
	if changed.ID != made.ID || changed.Name != "other" || changed.VerifyCron != nil || changed.Enabled || !changed.UpdatedAt.After(made.UpdatedAt) {
		t.Errorf("got %+v", changed)
	}
	if found := testdb.Must(store.ScheduleByName(t.Context(), "other"))(t); !reflect.DeepEqual(found, changed) {
		t.Errorf("got %+v, want %+v", found, changed)
	}
	for range 2 { // what is gone already is no error
		if err := store.DeleteSchedule(t.Context(), made.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Schedule(t.Context(), made.ID); !errors.Is(err, postgres.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := store.UpdateSchedule(t.Context(), changed, changed); !errors.Is(err, postgres.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestScheduleOfATakenNameCanBeImported(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	first := testdb.Must(store.CreateSchedule(t.Context(), newSchedule("nightly")))(t)
	second := testdb.Must(store.CreateSchedule(t.Context(), newSchedule("second")))(t)
	_, created := store.CreateSchedule(t.Context(), newSchedule("nightly"))
	_, renamed := store.UpdateSchedule(t.Context(), second, newSchedule("nightly"))
	for _, err := range []error{created, renamed} {
		fails(t, err, "name", `the name "nightly" is taken by another backup schedule`)
		if told, ok := errors.AsType[problem.Error](err); !ok || told.ImportID() != first.ID {
			t.Errorf("%v does not tell that %s can be imported", err, first.ID)
		}
	}
	if found := testdb.Must(store.Schedule(t.Context(), second.ID))(t); found.Name != "second" {
		t.Errorf("got %+v", found)
	}
}

func TestScheduleThatSomebodyElseChangedStays(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	before := testdb.Must(store.CreateSchedule(t.Context(), newSchedule("nightly")))(t)
	theirs := newSchedule("nightly")
	theirs.Cron = "0 0 * * *"
	theirs = testdb.Must(store.UpdateSchedule(t.Context(), before, theirs))(t)
	ours := newSchedule("nightly")
	ours.Timeout = "2h"
	_, err := store.UpdateSchedule(t.Context(), before, ours)
	fails(t, err, "", "somebody else has changed it since this was planned. Plan again to see what that would undo")
	if found := testdb.Must(store.Schedule(t.Context(), before.ID))(t); !reflect.DeepEqual(found, theirs) {
		t.Errorf("got %+v, want %+v", found, theirs)
	}
}

func TestWrongScheduleReachesNoDatabase(t *testing.T) {
	t.Parallel()
	store := backup.New(nil)
	wrong := newSchedule("nightly")
	wrong.Recipients = nil
	_, created := store.CreateSchedule(t.Context(), wrong)
	_, updated := store.UpdateSchedule(t.Context(), newSchedule("nightly"), wrong)
	fails(t, created, "encryption", "nobody could read the backups")
	fails(t, updated, "encryption", "nobody could read the backups")
}

// What somebody else wrote is an error of that schedule alone, in words without Go's types.
func TestUnreadableJSONIsAnErrorOfItsSchedule(t *testing.T) {
	t.Parallel()
	store, database := newStore(t)
	good := testdb.Must(store.CreateSchedule(t.Context(), newSchedule("good")))(t)
	for column, value := range map[string]string{"destinations": `{"type": "s3"}`, "retention": `["x"]`, "recipients": `[1]`} {
		made := testdb.Must(store.CreateSchedule(t.Context(), newSchedule("bad-"+column)))(t)
		testdb.Exec(t, database, `UPDATE brownie.backup_schedules SET `+column+` = $1 WHERE id = $2`, value, made.ID)
		_, err := store.Schedule(t.Context(), made.ID)
		fails(t, err, "", "column "+column+` of backup schedule "bad-`+column+`" holds JSON of another form. Somebody else wrote it`)
	}
	found, err := store.Schedules(t.Context())
	if len(found) != 1 || found[0].ID != good.ID {
		t.Errorf("got %+v", found)
	}
	if err == nil || strings.Count(err.Error(), "holds JSON of another form") != 3 || strings.Contains(err.Error(), "Go ") {
		t.Errorf("got %v", err)
	}
}

// What is in the tables is nobody's but the owner's and those who make backups.
func TestOnlyWhoMakesBackupsSeesThem(t *testing.T) {
	t.Parallel()
	_, database := newStore(t)
	const others = `SELECT coalesce(string_agg(role || ' ' || p || ' ' || name, ', ' ORDER BY (role || p || name) COLLATE "C"), '')
		FROM unnest(ARRAY['backup_schedules', 'backups', 'backup_verifications']) AS name,
			unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p,
			(SELECT 'public' UNION SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'brownie_') AND rolname <> 'brownie_migrator') AS r (role)
		WHERE has_table_privilege(role, 'brownie.' || name, p)`
	const want = "brownie_backup INSERT backup_verifications, brownie_backup INSERT backups, " +
		"brownie_backup SELECT backup_schedules, brownie_backup SELECT backup_verifications, brownie_backup SELECT backups"
	if got := testdb.Value[string](t, database, others); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if columns := testdb.Value[string](t, database, `SELECT string_agg(attname, ' ' ORDER BY attname COLLATE "C") FROM pg_attribute
		WHERE attrelid = 'brownie.backups'::regclass AND attnum > 0 AND has_column_privilege('brownie_backup', attrelid, attnum, 'UPDATE')`,
	); columns != "destinations ended_at error held_at hold_reason pruned_at retryable sha256 size_bytes snapshot_at status" {
		t.Errorf("brownie_backup changes %s", columns)
	}
	if strangers := testdb.Value[int64](t, database, `SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'brownie' AND c.relname LIKE 'backup%' AND c.relowner <> n.nspowner`); strangers > 0 {
		t.Errorf("%d of the tables, indexes and sequences do not belong to the schema's owner", strangers)
	}
}

// The runner's own records.
func TestRunsAreRecorded(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	schedule := testdb.Must(store.CreateSchedule(t.Context(), newSchedule("nightly")))(t)
	start := time.Date(2026, 6, 1, 2, 15, 0, 0, time.UTC)
	snapshot, ended, size, sha := start.Add(time.Second), start.Add(time.Minute), int64(1)<<40, strings.Repeat("a", 64)
	for i, id := range []string{"a", "b", "c"} {
		due := start.AddDate(0, 0, i)
		if err := store.StartBackup(t.Context(), backup.Backup{
			ID: id, ScheduleID: &schedule.ID, ScheduleName: "nightly", Engine: backup.PgDump, Type: "full", DueAt: &due, StartedAt: due, Runner: "r",
		}); err != nil {
			t.Fatal(err)
		}
	}
	done := backup.Backup{
		ID: "a", EndedAt: &ended, Status: backup.Succeeded, SnapshotAt: &snapshot, SizeBytes: &size, SHA256: &sha,
		Destinations: []backup.Stored{{Location: "file:///b/a"}, {Location: "s3://b/a", Error: "403"}},
	}
	again := done
	again.Status = backup.Failed
	for range 2 { // Sent twice, it is recorded once.
		if err := store.EndBackup(t.Context(), done); err != nil {
			t.Fatal(err)
		}
	}
	fails(t, store.EndBackup(t.Context(), again), "", "backup a is succeeded on record by now")
	for _, id := range []string{"b", "c"} {
		if err := store.LoseBackup(t.Context(), backup.Backup{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	seconds := 3.5
	if err := store.RecordProof(t.Context(), backup.Proof{
		BackupID: "a", Method: backup.Restore, StartedAt: ended, EndedAt: ended.Add(time.Minute), Succeeded: true, RestoreSeconds: &seconds, Runner: "r",
	}); err != nil {
		t.Fatal(err)
	}
	if err := store.PruneBackup(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}

	found := testdb.Must(store.Backup(t.Context(), "a"))(t)
	if found.Status != backup.Succeeded || !found.SnapshotAt.Equal(snapshot) || *found.SizeBytes != size || *found.SHA256 != sha ||
		!reflect.DeepEqual(found.Destinations, done.Destinations) || found.Verified == nil || *found.Verified.RestoreSeconds != seconds ||
		!found.DueAt.Equal(start) || *found.ScheduleID != schedule.ID {
		t.Errorf("got %+v", found)
	}
	list := func(f backup.Filter) (ids string) {
		for _, b := range testdb.Must(store.Backups(t.Context(), f))(t) {
			ids += b.ID
		}
		return ids
	}
	yes, no := true, false
	for _, c := range []struct {
		filter backup.Filter
		want   string
	}{
		{backup.Filter{}, "cba"},
		{backup.Filter{Limit: 2}, "cb"},
		{backup.Filter{Present: true}, "ca"},
		{backup.Filter{Status: backup.Lost}, "cb"},
		{backup.Filter{Schedule: "other"}, ""},
		{backup.Filter{Verified: &yes}, "a"},
		{backup.Filter{Verified: &no}, "cb"},
		{backup.Filter{StartedAfter: &start}, "cb"},
	} {
		if got := list(c.filter); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.filter, got, c.want)
		}
	}
	for _, id := range []string{"", "missing"} {
		if _, err := store.Backup(t.Context(), id); !errors.Is(err, postgres.ErrNotFound) {
			t.Errorf("%q: got %v", id, err)
		}
	}
	outcome := testdb.Must(store.Schedule(t.Context(), schedule.ID))(t).Outcome
	if !outcome.LastSuccessAt.Equal(ended) || !outcome.RestorableFrom.Equal(snapshot) || *outcome.LastRestoreSeconds != seconds {
		t.Errorf("got %+v", outcome)
	}
}
