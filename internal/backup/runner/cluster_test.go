package runner_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/dump"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/object"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/pgbackrest"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/runner"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// archived is a server of the test's own that archives its log by a runner.
type archived struct {
	*runner.Runner
	t        *testing.T
	server   *devstack.Postgres
	tools    string
	socket   string // of the runner
	identity *age.X25519Identity
	store    backup.Destination
}

// newArchived starts a server with a migrated database "d", and lets a role back it up as the guide says.
func newArchived(t *testing.T) *archived {
	t.Helper()
	t.Parallel()
	return newArchivedAlone(t)
}

func newArchivedAlone(t *testing.T) *archived {
	t.Helper()
	tools := testdb.PgBackRest(t)
	folder, sockets := t.TempDir(), t.TempDir()
	open(t, filepath.Dir(folder), folder, sockets)
	a := &archived{t: t, tools: tools, socket: filepath.Join(folder, "archive"), identity: newIdentity(t)}
	a.store = backup.Destination{Type: "file", Path: t.TempDir()}
	program := testdb.Must(build())(t)
	open(t, filepath.Dir(program))
	a.server = testdb.Must(devstack.StartPostgres(t.Context(), devstack.Options{
		HBA: []string{"local all all trust"},
		Settings: []string{
			"unix_socket_directories=" + sockets, "full_page_writes=on", "wal_level=replica", "archive_mode=on", "archive_timeout=5",
			"cluster_name=shop", fmt.Sprintf("archive_command=%s pgbackrest-push --socket %s %%p", program, a.socket),
		},
	}))(t)
	t.Cleanup(func() { _ = a.server.Stop(context.Background()) })
	a.exec("postgres", `CREATE ROLE administrator LOGIN CREATEROLE CREATEDB`, `CREATE DATABASE d OWNER administrator`)
	testdb.Migrate(t, testdb.ConfigOn(t, a.server, "d", "administrator"))
	admin := postgres.New(testdb.ConfigOn(t, a.server, "d", "administrator"))
	t.Cleanup(admin.Close)
	testdb.Must(access.New(admin).CreateRole(t.Context(), access.Role{Name: "runner", Access: "backup", ConnectionLimit: -1}))(t)
	a.Runner = a.newRunner(testdb.ConfigOn(t, a.server, "d", "runner"))
	return a
}

func open(t *testing.T, folders ...string) {
	t.Helper()
	for _, folder := range folders {
		if err := os.Chmod(folder, 0o777); err != nil {
			t.Fatal(err)
		}
	}
}

func (a *archived) newRunner(config postgres.Config) *runner.Runner {
	config.MaxConnections = 4
	db := postgres.New(config)
	a.t.Cleanup(db.Close)
	major := testdb.Must(devstack.ClientToolsMajor(a.t.Context(), a.tools))(a.t)
	return &runner.Runner{
		DB: db, Name: "a test", Jobs: 2, Identities: []age.Identity{a.identity}, ScratchFolder: a.t.TempDir(),
		ServerPrograms: testdb.Must(devstack.ServerPrograms(a.t.Context(), devstack.Options{}, major))(a.t),
		Tools:          dump.Tools{Dir: a.tools, Env: []string{"PGSSLROOTCERT=" + config.SSLRootCert}},
		Program:        testdb.Must(build())(a.t),
		Log:            slog.New(slog.NewTextHandler(a.t.Output(), nil)),
	}
}

// grant gives the role what the error says that it lacks.
func (a *archived) grant() {
	a.t.Helper()
	a.exec("d", `GRANT pg_read_all_settings TO runner`, `GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean),
		pg_switch_wal(), pg_create_restore_point(text) TO runner`)
}

func (a *archived) exec(database string, statements ...string) {
	a.t.Helper()
	testdb.Replicated{Primary: a.server}.Exec(a.t, database, statements...)
}

func (a *archived) declare(name, kind string) backup.Schedule {
	a.t.Helper()
	config := testdb.ConfigOn(a.t, a.server, "d", "administrator")
	db := postgres.New(config)
	defer db.Close()
	return testdb.Must(backup.New(db).CreateSchedule(a.t.Context(), backup.Schedule{
		Name: name, Cron: "0 3 1 1 *", Timezone: "UTC", Engine: backup.PgBackRest, Type: kind, Destinations: []backup.Destination{a.store},
		Retention: backup.Retention{KeepLast: 2}, Recipients: []string{a.identity.Recipient().String()}, Verify: backup.None,
		Timeout: "5m", Enabled: true,
	}))(a.t)
}

// serve runs the runner as `serve --archive-socket` does, until it is told to stop.
func (a *archived) serve() (stop func()) {
	a.t.Helper()
	server := runner.NewServer(a.Runner)
	listener := testdb.Must(net.Listen("unix", a.socket))(a.t)
	if err := os.Chmod(a.socket, 0o777); err != nil {
		a.t.Fatal(err)
	}
	archive := &http.Server{Handler: server.Archive(), ReadHeaderTimeout: time.Second}
	go func() { _ = archive.Serve(listener) }()
	ctx, cancel := context.WithCancel(a.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ctx)
	}()
	stop = func() {
		cancel()
		<-done
		_ = archive.Close()
	}
	a.t.Cleanup(stop)
	return stop
}

// backup makes a backup, as soon as the one that serves lets it.
func (a *archived) backup(schedule string) backup.Backup {
	a.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(100 * time.Millisecond) {
		b, err := a.Backup(a.t.Context(), schedule, nil)
		if !errors.Is(err, runner.ErrBusy) || time.Now().After(deadline) {
			return testdb.Must(b, err)(a.t)
		}
	}
}

func (a *archived) now() time.Time {
	a.t.Helper()
	return testdb.Must(postgres.QueryOne[struct{ Now time.Time }](a.t.Context(), a.DB, `SELECT clock_timestamp() AS now`))(a.t).Now
}

// target is where a new database is restored.
func (a *archived) target(database string) runner.Target {
	return runner.Target{
		Server: testdb.Must(a.server.Config("postgres"))(a.t), Database: database,
		Tools: dump.Tools{Dir: a.tools, Env: a.server.Env("postgres")},
	}
}

func (a *archived) organizations(database string) int64 {
	a.t.Helper()
	db := postgres.New(testdb.Must(a.server.Config(database))(a.t))
	defer db.Close()
	return testdb.Must(postgres.QueryOne[struct{ N int64 }](a.t.Context(), db, `SELECT count(*) AS n FROM public.organizations`))(a.t).N
}

// archive waits until all that was written until now is in the archive.
func (a *archived) archive() {
	a.t.Helper()
	segment := testdb.Must(postgres.QueryOne[struct{ Name string }](a.t.Context(), a.DB,
		`SELECT pg_walfile_name(pg_switch_wal()) AS name`))(a.t).Name
	for deadline := time.Now().Add(time.Minute); ; <-time.After(100 * time.Millisecond) {
		done := testdb.Must(postgres.QueryOne[struct{ Done bool }](a.t.Context(), a.DB,
			`SELECT coalesce(last_archived_wal >= $1, false) AS done FROM pg_stat_archiver`, segment))(a.t).Done
		if done {
			return
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("segment %s is not archived", segment)
		}
	}
}

// TestAnyMoment undoes a mistake: the cluster is restored as it was just before.
func TestAnyMoment(t *testing.T) {
	a := newArchived(t)
	a.declare("nightly", "full")
	if _, err := a.Backup(t.Context(), "nightly", nil); err == nil || !strings.Contains(err.Error(), `GRANT pg_read_all_settings TO "runner"`) {
		t.Fatalf("without rights: %v", err)
	}
	a.grant()
	stop := a.serve()
	a.exec("d", fillSQL)
	b := a.backup("nightly")
	if b.Status != backup.Succeeded || *b.SizeBytes == 0 || b.Type != "full" {
		t.Fatalf("the backup is %+v", b)
	}
	for _, method := range []backup.Verification{backup.Checksum, backup.Restore} {
		if proof := testdb.Must(a.Verify(t.Context(), b.ID, method))(t); !proof.Succeeded {
			t.Errorf("by %s: %+v", method, proof)
		}
	}
	a.exec("d", `INSERT INTO public.organizations (id, name, slug, is_active, max_teams, max_users_per_team)
		VALUES (gen_random_uuid(), 'Late', 'late', true, 10, 50)`)
	before := a.now()
	time.Sleep(10 * time.Millisecond)
	a.exec("d", `DELETE FROM public.organizations`, `SELECT pg_create_restore_point('after the mistake')`)
	a.archive()
	for _, each := range []struct {
		to   pgbackrest.Target
		want int64
	}{
		{pgbackrest.Target{}, 20},
		{pgbackrest.Target{Time: &before}, 21},
		{pgbackrest.Target{Name: "after the mistake"}, 0},
	} {
		name := fmt.Sprintf("restored %d", each.want)
		target := a.target(name)
		target.AcceptResurrection = true // What was deleted by mistake is wanted again.
		testdb.Must(a.Restore(t.Context(), runner.Source{ID: b.ID, To: each.to}, target))(t)
		if n := a.organizations(name); n != each.want {
			t.Errorf("at %s there are %d organizations instead of %d", each.to, n, each.want)
		}
	}
	done := testdb.Must(a.Restore(t.Context(), runner.Source{ID: b.ID}, a.target("stays deleted")))(t)
	if n := a.organizations("stays deleted"); n != 0 || len(done.Deletions.All) < 20 {
		t.Errorf("there are %d organizations that were deleted later: %+v", n, done.Deletions)
	}
	early, late := b.SnapshotAt.Add(-time.Hour), a.now().Add(time.Hour)
	for _, each := range []time.Time{early, late} {
		_, err := a.Restore(t.Context(), runner.Source{ID: b.ID, To: pgbackrest.Target{Time: &each}}, a.target("never"))
		if err == nil || !strings.Contains(err.Error(), "lead from "+b.SnapshotAt.Add(time.Second).UTC().Format(time.RFC3339)) {
			t.Errorf("at %s: %v", each, err)
		}
	}
	// The runner copies the ledger at its next look.
	for deadline := time.Now().Add(time.Minute); ; <-time.After(100 * time.Millisecond) {
		copies := testdb.Must(backup.New(a.DB).LedgerCopies(t.Context(), "nightly"))(t)
		if slices.ContainsFunc(copies, func(c backup.LedgerCopy) bool { return c.Entries > 20 }) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the copies of the ledger are %+v", copies)
		}
	}
	stop()
	a.fromStoreAlone(b.ID, before)
}

// TestArchiveIsWatched stops archiving, without which no later moment can be restored, and finds that on record within two minutes.
func TestArchiveIsWatched(t *testing.T) {
	a := newArchived(t)
	a.grant()
	a.declare("nightly", "full")
	stop := a.serve()
	b := a.backup("nightly")
	schedule := testdb.Must(a.Schedule(t.Context(), "nightly"))(t)
	if !schedule.RestorableFrom.Equal(*b.SnapshotAt) || schedule.ArchiveFailedSince != nil {
		t.Errorf("after a backup: %+v", schedule.Outcome)
	}
	a.otherContents()
	stop()
	stopped := time.Now()
	// The runner goes on, and nobody hands over segments.
	server := runner.NewServer(a.Runner)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	for {
		a.exec("d", `UPDATE public.organizations SET updated_at = now()`, `SELECT pg_logical_emit_message(true, 'test', 'something')`)
		schedule = testdb.Must(a.Schedule(t.Context(), "nightly"))(t)
		if schedule.ArchiveFailedSince != nil {
			break
		}
		if time.Since(stopped) > 2*time.Minute {
			t.Fatal("archiving stopped two minutes ago, and nobody says so")
		}
		time.Sleep(time.Second)
	}
	t.Logf("on record after %.0f s: %s", time.Since(stopped).Seconds(), *schedule.ArchiveError)
	if !strings.Contains(*schedule.ArchiveError, "can be restored") && !strings.Contains(*schedule.ArchiveError, "nothing has been archived") {
		t.Errorf("the record says %q", *schedule.ArchiveError)
	}
	cancel()
	<-done
	a.serve()
	a.archive()
	for deadline := time.Now().Add(2 * time.Minute); schedule.ArchiveFailedSince != nil; time.Sleep(time.Second) {
		if schedule = testdb.Must(a.Schedule(t.Context(), "nightly"))(t); time.Now().After(deadline) {
			t.Fatalf("archiving goes on, and the record says %q", *schedule.ArchiveError)
		}
	}
	if schedule.RestorableUntil == nil || !schedule.RestorableUntil.After(stopped) {
		t.Errorf("restorable until %v", schedule.RestorableUntil)
	}
}

// otherContents archives a segment that is archived already: with the same contents it is no error, with others it is one that names the
// cluster.
func (a *archived) otherContents() {
	a.t.Helper()
	a.archive()
	about := testdb.Must(postgres.QueryOne[struct{ Folder, Name string }](a.t.Context(), a.DB,
		`SELECT current_setting('data_directory') AS folder, substring(last_archived_wal, 1, 24) AS name FROM pg_stat_archiver`))(a.t)
	path := filepath.Join(about.Folder, "pg_wal", about.Name)
	content := testdb.Must(os.ReadFile(path))(a.t)
	if answer := a.put(about.Name); answer != "" {
		a.t.Errorf("the same segment again: %s", answer)
	}
	content[len(content)-1] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		a.t.Fatal(err)
	}
	answer := a.put(about.Name)
	if !strings.Contains(answer, "is in the archive already with other contents") || !strings.Contains(answer, "system identifier") {
		a.t.Errorf("another segment of that name: %q", answer)
	}
	if answer := a.put("pg_hba.conf"); !strings.Contains(answer, "is no segment") {
		a.t.Errorf("another file: %q", answer)
	}
}

func (a *archived) put(segment string) string {
	a.t.Helper()
	output, err := exec.CommandContext(a.t.Context(), a.Program, "pgbackrest-push", "--socket", a.socket, segment).CombinedOutput()
	if err == nil {
		return ""
	}
	return string(output)
}

// TestChain makes backups that build upon others, and prunes them.
func TestChain(t *testing.T) {
	a := newArchived(t)
	a.grant()
	a.declare("hourly", "incr")
	a.serve()
	var all []backup.Backup
	for i := range 4 {
		a.exec("d", fmt.Sprintf(`INSERT INTO public.organizations (id, name, slug, is_active, max_teams, max_users_per_team)
			VALUES (gen_random_uuid(), 'O %[1]d', 'o-%[1]d', true, 10, 50)`, i))
		all = append(all, a.backup("hourly"))
	}
	if all[0].Type != "full" || all[1].Type != "incr" || *all[3].SizeBytes >= *all[0].SizeBytes {
		t.Errorf("the backups are %+v", all)
	}
	// Two are kept, and the full one without which they are nothing.
	left := testdb.Must(backup.New(a.DB).Backups(t.Context(), backup.Filter{Schedule: "hourly", Present: true}))(t)
	if len(left) != 4 {
		t.Errorf("%d backups are left instead of all four: the last builds upon each of them", len(left))
	}
	name := "restored"
	testdb.Must(a.Restore(t.Context(), runner.Source{ID: all[3].ID}, a.target(name)))(t)
	if n := a.organizations(name); n != 4 {
		t.Errorf("there are %d organizations instead of 4", n)
	}
	a.exec("d", `UPDATE public.organizations SET updated_at = now()`)
	a.archive()
	a.damage(all)
}

// damage flips a bit of each kind of object, and removes others: verify and restore refuse, and name what is damaged.
func (a *archived) damage(all []backup.Backup) {
	a.t.Helper()
	repository := filepath.Join(a.store.Path, "_pgbackrest", "hourly")
	last := all[len(all)-1]
	files := func(pattern string) []string {
		return testdb.Must(filepath.Glob(filepath.Join(repository, pattern)))(a.t)
	}
	bundles, segments := files("backup/*/*F/bundle/*"), files("archive/*/*/*/*.zst")
	later := segments[len(segments)-1]
	store := testdb.Must(object.Open(a.t.Context(), a.store))(a.t)
	defer func() { _ = store.Close() }()
	manifest, _, err := artifact.ReadManifest(a.t.Context(), store, "hourly", last.ID, "")
	if err != nil {
		a.t.Fatal(err)
	}
	needed := files("archive/*/*/*/" + manifest.Clusters[0].LastWAL + "-*.zst")[0]
	for _, each := range []struct {
		name, file string
		remove     bool
		damaged    bool
	}{
		{"a file of the full backup", bundles[len(bundles)-1], false, true},
		{"a segment that it needs", needed, false, true},
		{"a segment that it needs and that is missing", needed, true, true},
		{"a later segment", later, false, false},
	} {
		content := testdb.Must(os.ReadFile(each.file))(a.t)
		if each.remove {
			_ = os.Remove(each.file)
		} else {
			flipped := append([]byte{}, content...)
			flipped[len(flipped)/2] ^= 1
			_ = os.WriteFile(each.file, flipped, 0o600)
		}
		proof, err := a.Verify(a.t.Context(), last.ID, backup.Checksum)
		name, _, _ := strings.Cut(filepath.Base(each.file), "-")
		if err == nil || proof.Succeeded || proof.Damaged != each.damaged || !strings.Contains(err.Error(), name) {
			a.t.Errorf("%s (%s): proof %+v, %v", each.name, name, proof, err)
		}
		if _, err := a.Restore(a.t.Context(), runner.Source{ID: last.ID, To: pgbackrest.Target{Latest: true}}, a.target("never")); err == nil {
			a.t.Errorf("%s: it restores", each.name)
		}
		if err := os.WriteFile(each.file, content, 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	if _, err := a.Verify(a.t.Context(), last.ID, backup.Checksum); err != nil {
		a.t.Errorf("undamaged again: %v", err)
	}
	for _, file := range files("passphrase/*/*") {
		content := testdb.Must(os.ReadFile(file))(a.t)
		if !strings.HasPrefix(string(content), "age-encryption.org/v1") {
			a.t.Errorf("%s is not encrypted", file)
		}
	}
	other := *a.Runner
	other.Identities = []age.Identity{newIdentity(a.t)}
	if _, err := other.Restore(a.t.Context(), runner.Source{ID: last.ID}, a.target("never")); err == nil ||
		!strings.Contains(err.Error(), "cannot be decrypted") {
		a.t.Errorf("with the identity of somebody else: %v", err)
	}
}

// TestMadeAnew makes a cluster of the same name three times, which archives to the same place.
func TestMadeAnew(t *testing.T) {
	t.Parallel()
	var first *archived
	for range 3 {
		a := newArchivedAlone(t)
		if first == nil {
			first = a
		}
		a.identity, a.store, a.Identities = first.identity, first.store, first.Identities
		a.grant()
		a.declare("nightly", "full")
		stop := a.serve()
		a.exec("d", fillSQL)
		b := a.backup("nightly")
		testdb.Must(a.Restore(t.Context(), runner.Source{ID: b.ID}, a.target("back")))(t)
		if n := a.organizations("back"); n != 20 {
			t.Errorf("there are %d organizations instead of 20", n)
		}
		stop()
		if err := a.server.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if stanzas := testdb.Must(filepath.Glob(filepath.Join(first.store.Path, "_pgbackrest", "nightly", "backup", "*")))(t); len(stanzas) != 3 {
		t.Errorf("the clusters are %v", stanzas)
	}
}

// TestRestorePointBeforeMigrations leads back to before a run of migrations.
func TestRestorePointBeforeMigrations(t *testing.T) {
	a := newArchived(t)
	a.grant()
	a.exec("d", `GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO administrator`)
	a.declare("nightly", "full")
	a.serve()
	b := a.backup("nightly")
	db := postgres.New(testdb.ConfigOn(t, a.server, "d", "administrator"))
	defer db.Close()
	point := ""
	engine := migrate.New(db, migrate.Platform, migrate.Options{Log: func(_ context.Context, _ string, fields map[string]any) {
		if name, ok := fields["restore_point"].(string); ok {
			point = name
		}
	}})
	latest := testdb.Must(engine.Latest())(t)
	testdb.Must(engine.Run(t.Context(), testdb.Must(engine.Plan(t.Context(), latest-1, true))(t)))(t)
	if !strings.HasPrefix(point, "before-brownie-migration-") {
		t.Fatalf("the restore point is %q", point)
	}
	a.archive()
	testdb.Must(a.Restore(t.Context(), runner.Source{ID: b.ID, To: pgbackrest.Target{Name: point}}, a.target("before")))(t)
	before := postgres.New(testdb.Must(a.server.Config("before"))(t))
	defer before.Close()
	if version := migrate.Current(testdb.Must(migrate.New(before, migrate.Platform, migrate.Options{}).Applied(t.Context()))(t)); version != latest {
		t.Errorf("before the run the version was %d instead of %d", version, latest)
	}
}

// fromStoreAlone loses the server and makes a new one out of the store.
func (a *archived) fromStoreAlone(id string, at time.Time) {
	a.t.Helper()
	data := filepath.Join(a.t.TempDir(), "data")
	open(a.t, filepath.Dir(data))
	source := runner.Source{ID: id, Destination: &a.store, Schedule: "nightly", To: pgbackrest.Target{Time: &at}}
	if err := a.server.Stop(context.Background()); err != nil {
		a.t.Fatal(err)
	}
	done := testdb.Must(a.RestoreFiles(a.t.Context(), source, data, false))(a.t)
	if told := outcomes(done.Deletions); told["organization-7"] != "purged" || told["late"] != "purged" {
		a.t.Errorf("told %+v", done.Deletions)
	}
	for _, name := range []string{"recovery.signal", "backup_label"} {
		if _, err := os.Stat(filepath.Join(data, name)); err == nil {
			a.t.Errorf("%s is left: the server would recover again", name)
		}
	}
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err != nil {
		a.t.Error(err)
	}
	a.byHand(id)
}

// byHand runs the commands of docs/backup-format.md, with a library in place of the program age.
func (a *archived) byHand(id string) {
	a.t.Helper()
	store := testdb.Must(object.Open(a.t.Context(), a.store))(a.t)
	defer func() { _ = store.Close() }()
	manifest, _, err := artifact.ReadManifest(a.t.Context(), store, "nightly", id, "")
	if err != nil {
		a.t.Fatal(err)
	}
	stanza, data := manifest.Clusters[0].Stanza, filepath.Join(a.t.TempDir(), "data")
	wrapped := testdb.Must(os.Open(filepath.Join(a.store.Path, "_pgbackrest", "nightly", "passphrase", stanza, "1.age")))(a.t)
	defer func() { _ = wrapped.Close() }()
	passphrase := testdb.Must(io.ReadAll(testdb.Must(age.Decrypt(wrapped, a.identity))(a.t)))(a.t)
	if err := os.Mkdir(data, 0o700); err != nil {
		a.t.Fatal(err)
	}
	cmd := exec.CommandContext(a.t.Context(), filepath.Join(a.tools, "pgbackrest"), "--pg1-path="+data, "--set="+manifest.Clusters[0].Label, "restore")
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "PGBACKREST_REPO1_CIPHER_PASS=" + string(passphrase), "PGBACKREST_REPO1_CIPHER_TYPE=aes-256-cbc",
		"PGBACKREST_REPO1_PATH=" + filepath.Join(a.store.Path, "_pgbackrest", "nightly"), "PGBACKREST_STANZA=" + stanza,
		"PGBACKREST_LOG_LEVEL_FILE=off", "PGBACKREST_LOCK_PATH=" + a.t.TempDir(),
	}
	if output, err := cmd.CombinedOutput(); err != nil {
		a.t.Fatalf("by hand: %v\n%s", err, output)
	}
	settings := testdb.Must(os.ReadFile(filepath.Join(data, "postgresql.auto.conf")))(a.t)
	if !strings.Contains(string(settings), "archive-get") || strings.Contains(string(settings), string(passphrase)) {
		a.t.Errorf("the server that is restored by hand has the settings %s", settings)
	}
}
