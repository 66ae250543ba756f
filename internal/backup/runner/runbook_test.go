package runner_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/teststore"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// rescued fills the house, and gives it a reader.
func rescued(h house, book *runbook) *reader {
	h.t.Helper()
	for _, statement := range []string{
		`INSERT INTO public.teams (id, org_id, organization_id, name, slug, description, is_active)
			SELECT gen_random_uuid(), o.id, o.id, 'Team ' || n, 'team-' || n, 'what team ' || n || ' of ' || o.slug || E' does\t', true
			FROM public.organizations AS o, generate_series(1, 3) AS n`,
		`INSERT INTO public.users (id, org_id, organization_id, team_id, email, username, is_active, is_verified, role, preferences)
			SELECT gen_random_uuid(), t.organization_id, t.organization_id, t.id, o.slug || t.slug || n || '@example.com', o.slug || t.slug || n,
				true, true, 'MEMBER', '{"a": [1, null]}'
			FROM public.teams AS t JOIN public.organizations AS o ON o.id = t.organization_id, generate_series(1, 2) AS n`,
	} {
		testdb.Exec(h.t, h.database, statement)
	}
	r := newReader(h.t, book, h.Tools.Dir, h.ServerPrograms, testdb.Server(h.t, h.database).Env(h.database), map[string]string{
		"SCHEDULE": "nightly", "STORE": h.schedule.Destinations[0].String(), "TO": "", "RESCUE": h.database + "_rescue",
	})
	r.values["BROWNIE_BACKUP_IDENTITY"] = r.identity("identity.txt", h.identity)
	h.t.Cleanup(func() {
		server := testdb.Server(h.t, h.database)
		for _, name := range append(h.former(), h.database+"_rescue", h.database+"_was_wrong") {
			if err := server.DropDatabase(context.Background(), name); err != nil {
				h.t.Error(err)
			}
		}
	})
	return r
}

// former are the databases that restores have replaced.
func (h house) former() (names []string) {
	h.t.Helper()
	db := postgres.New(testdb.Must(testdb.Server(h.t, h.database).Config("postgres"))(h.t))
	defer db.Close()
	found, err := postgres.Query[struct{ Name string }](context.Background(), db,
		`SELECT datname::text AS name FROM pg_database WHERE starts_with(datname::text, $1 || '_before_')`, h.database)
	if err != nil {
		h.t.Error(err)
	}
	for _, each := range found {
		names = append(names, each.Name)
	}
	return names
}

// rowsSQL has a line for each organization with a hash of all its rows. A time of change is none of what was there.
const rowsSQL = `
	SELECT coalesce(string_agg(slug || ' ' || hash, E'\n' ORDER BY slug), '') FROM (
		SELECT o.slug, md5(string_agg(x.row, E'\n' ORDER BY x.row COLLATE "C")) AS hash FROM public.organizations AS o JOIN (
			SELECT id AS organization_id, 'organization ' || (to_jsonb(t) - 'updated_at')::text AS row FROM public.organizations AS t
			UNION ALL SELECT organization_id, 'team ' || (to_jsonb(t) - 'updated_at')::text FROM public.teams AS t
			UNION ALL SELECT organization_id, 'user ' || (to_jsonb(t) - 'updated_at')::text FROM public.users AS t
		) AS x ON x.organization_id = o.id GROUP BY o.slug
	) AS hashes`

func byOrganization(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		slug, hash, _ := strings.Cut(strings.TrimSpace(line), " ")
		all[slug] = hash
	}
	return all
}

func (h house) rows() map[string]string {
	h.t.Helper()
	return byOrganization(testdb.Value[string](h.t, h.database, rowsSQL))
}

func (h house) exec(statements ...string) {
	h.t.Helper()
	for _, statement := range statements {
		testdb.Exec(h.t, h.database, statement)
	}
}

// same compares hashes by organization.
func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for slug := range maps.Keys(want) {
		if got[slug] != want[slug] {
			t.Errorf("%s has other rows than it should have", slug)
		}
	}
	if len(got) != len(want) {
		t.Errorf("there are %d organizations instead of %d", len(got), len(want))
	}
}

// merged takes the rows of some organizations from before.
func merged(now, before map[string]string, slugs ...string) map[string]string {
	all := maps.Clone(now)
	for _, slug := range slugs {
		all[slug] = before[slug]
	}
	return all
}

// The work of others goes on before and after a disaster.
const (
	goodWork = `UPDATE public.teams SET description = 'good work' WHERE slug = 'team-1' AND organization_id =
		(SELECT id FROM public.organizations WHERE slug = 'organization-2')`
	newTeam = `INSERT INTO public.teams (id, org_id, organization_id, name, slug, is_active)
		SELECT gen_random_uuid(), id, id, 'New', 'new', true FROM public.organizations WHERE slug = 'organization-3'`
)

// TestRunbook causes each disaster of the guide, and follows it.
func TestRunbook(t *testing.T) {
	t.Parallel()
	book := readRunbook(t)
	t.Run("disasters", func(t *testing.T) {
		for name, follow := range map[string]func(*testing.T, *runbook){
			"one organization": followOneOrganization, "rows are missing": followRowsAreMissing, "values are wrong": followValuesAreWrong,
			"organizations were deleted": followOrganizationsWereDeleted, "most organizations were deleted": followMostWereDeleted,
			"a bad migration": followBadMigration, "the database is gone": followDatabaseIsGone, "the server is gone": followServerIsGone,
			"the store was emptied": followStoreWasEmptied, "an identity leaked": followIdentityLeaked,
			"an identity is lost": followIdentityIsLost, "somebody asks": followSomebodyAsks, "does not verify": followDoesNotVerify,
			"any moment": followAnyMoment,
		} {
			t.Run(name, func(t *testing.T) { follow(t, book) })
		}
	})
	// A part of the test that was asked for alone runs a part of the page.
	if !t.Failed() && !partly() {
		book.complete(t)
	}
}

// partly tells that somebody has asked for a part of the test alone.
func partly() bool {
	for _, argument := range os.Args {
		if name, pattern, _ := strings.Cut(argument, "="); strings.HasSuffix(name, "test.run") && strings.Contains(pattern, "/") {
			return true
		}
	}
	return false
}

func followOneOrganization(t *testing.T, book *runbook) {
	t.Helper()
	h := newHouse(t)
	r := rescued(h, book)
	role := h.tenantRole("tenant", "organization-7").Name
	h.backup()
	before, mistake := h.rows(), time.Now()
	h.exec(goodWork,
		`UPDATE public.teams SET description = 'broken' WHERE organization_id = (SELECT id FROM public.organizations WHERE slug = 'organization-7')`,
		`DELETE FROM public.teams WHERE slug = 'team-2' AND organization_id = (SELECT id FROM public.organizations WHERE slug = 'organization-7')`,
		`INSERT INTO public.teams (id, org_id, organization_id, name, slug, is_active)
			SELECT gen_random_uuid(), id, id, 'Junk', 'junk', true FROM public.organizations WHERE slug = 'organization-7'`)
	time.Sleep(time.Second)
	h.backup() // One of after the mistake, which is not to be chosen.
	r.begin(mistake)
	for _, slug := range []string{"organization-7", "organization-8"} {
		if slug == "organization-8" { // This one is deleted altogether.
			h.delete(slug)
		}
		now := h.rows()
		r.values["ORGANIZATION"] = slug
		r.turnTo("One organization")
		r.run("MISSING", "Nothing was changed")
		same(t, h.rows(), now)
		if testdb.Value[bool](t, h.database, `SELECT rolcanlogin FROM pg_roles WHERE rolname = $1`, role) {
			t.Errorf("%s is not locked", role)
		}
		if slug == "organization-8" {
			r.skip()
		} else {
			r.run("ORGANIZATION")
			if text := testdb.Must(os.ReadFile(filepath.Join(r.folder, slug+"-before.sql")))(t); !strings.Contains(string(text), "'Junk'") {
				t.Error("what was added since is not kept")
			}
		}
		r.run("The rows are what they were.", "All rows of organization "+slug+" are as they were.")
		same(t, h.rows(), merged(now, before, slug))
	}
	r.afterwards()
}

func followRowsAreMissing(t *testing.T, book *runbook) {
	t.Helper()
	h := newHouse(t)
	r := rescued(h, book)
	h.backup()
	mistake := time.Now()
	h.exec(goodWork, newTeam)
	before := h.rows()
	h.exec(`DELETE FROM public.teams WHERE slug = 'team-2'`)
	r.begin(mistake)
	r.turnTo("Rows are missing")
	r.run(r.values["RESCUE"])
	r.values["TABLES"] = "public.teams public.users"
	r.run("INSERT 0 20", "INSERT 0 40")
	same(t, h.rows(), before)
	r.run("DROP DATABASE")
}

func followValuesAreWrong(t *testing.T, book *runbook) {
	t.Helper()
	h := newHouse(t)
	r := rescued(h, book)
	h.backup()
	before, mistake := h.rows(), time.Now()
	h.exec(newTeam)
	now := h.rows()
	h.exec(`UPDATE public.teams SET description = 'oops' WHERE slug <> 'new'`)
	r.begin(mistake)
	r.values["TABLE"], r.values["COLUMN"] = "public.teams", "description"
	r.turnTo("Values are wrong")
	r.run("all_of_them", "| oops |", "60")
	r.run("UPDATE 60", "DROP DATABASE")
	same(t, h.rows(), merged(before, now, "organization-3"))
}

func followOrganizationsWereDeleted(t *testing.T, book *runbook) {
	t.Helper()
	h := newHouse(t)
	r := rescued(h, book)
	h.backup()
	before, mistake := h.rows(), time.Now()
	h.delete("organization-1") // That one left.
	r.values["SINCE"] = testdb.Value[time.Time](t, h.database, `SELECT clock_timestamp()`).UTC().Format(time.RFC3339Nano)
	h.exec(goodWork)
	now := h.rows()
	h.exec(`DELETE FROM public.organizations WHERE slug IN ('organization-4', 'organization-5', 'organization-6')`)
	r.begin(mistake)
	r.turnTo("Organizations were deleted")
	r.run("The rows are what they were.")
	r.skip()
	same(t, h.rows(), merged(now, before, "organization-4", "organization-5", "organization-6"))
}

func followMostWereDeleted(t *testing.T, book *runbook) {
	t.Helper()
	h := newHouse(t)
	r := rescued(h, book)
	h.backup()
	before, mistake := h.rows(), time.Now()
	h.exec(`DELETE FROM public.organizations`)
	r.begin(mistake)
	r.turnTo("Organizations were deleted")
	r.skip()
	r.run("brought back, as was accepted", "organization-19", "_before_", "LEADS BACK TO")
	same(t, h.rows(), before)
}

func followBadMigration(t *testing.T, book *runbook) {
	t.Helper()
	h := newHouse(t)
	r := rescued(h, book)
	b := h.backup()
	want, mistake := testdb.Value[string](t, h.database, fingerprintSQL), time.Now()
	h.exec(`INSERT INTO brownie.goose_db_version (version_id, is_applied, name, applied_at) VALUES (9999, true, 'bad', now())`,
		`ALTER TABLE public.teams DROP COLUMN description`, `UPDATE public.users SET email = md5(email)`)
	broken := testdb.Value[string](t, h.database, fingerprintSQL)
	r.begin(mistake)
	r.turnTo("A bad migration")
	r.run(b.SnapshotAt.UTC().Format(time.RFC3339), "_before_")
	if strings.Contains(r.shown, "9999") {
		t.Errorf("the migration is still there: %s", r.shown)
	}
	for _, line := range difference(want, testdb.Value[string](t, h.database, fingerprintSQL)) {
		t.Errorf("is missing: %s", line)
	}
	r.values["FORMER"] = regexp.MustCompile(h.database + `_before_\d+`).FindString(r.shown)
	r.run("ALTER DATABASE")
	for _, line := range difference(broken, testdb.Value[string](t, h.database, fingerprintSQL)) {
		t.Errorf("on the way back is missing: %s", line)
	}
}

func followDatabaseIsGone(t *testing.T, book *runbook) {
	t.Helper()
	h := newHouse(t)
	r := rescued(h, book)
	h.backup()
	want := testdb.Value[string](t, h.database, fingerprintSQL)
	if err := testdb.Server(t, h.database).DropDatabase(t.Context(), h.database); err != nil {
		t.Fatal(err)
	}
	r.turnTo("First")
	r.run()
	r.fails("does not exist")
	r.turnTo("The database is gone")
	r.run("LEADS BACK TO")
	r.chooseFirst()
	r.run("Not read: that of the database at hand", h.database, "last_change")
	for _, line := range difference(want, testdb.Value[string](t, h.database, fingerprintSQL)) {
		t.Errorf("is missing: %s", line)
	}
	r.afterwards()
}

func followServerIsGone(t *testing.T, book *runbook) {
	t.Helper()
	h := newHouse(t)
	rescued(h, book)
	h.backup()
	want := testdb.Value[string](t, h.database, fingerprintSQL)
	server := h.another("")
	r := newReader(t, book, h.Tools.Dir, h.ServerPrograms, append(slices.Clone(server.Tools.Env), "PGPORT=5432", "PGSSLMODE=disable", "PGDATABASE=d"),
		map[string]string{"SCHEDULE": "nightly", "STORE": h.schedule.Destinations[0].String(), "TO": ""})
	r.values["BROWNIE_BACKUP_IDENTITY"] = r.identity("identity.txt", h.identity)
	r.turnTo("First")
	r.run()
	r.fails("does not exist")
	r.turnTo("The database is gone")
	r.run("LEADS BACK TO")
	r.chooseFirst()
	r.run("Not read: that of the database at hand", "last_change")
	var got string
	if err := connect(t, server, "d").QueryRow(t.Context(), fingerprintSQL).Scan(&got); err != nil {
		t.Fatal(err)
	}
	for _, line := range difference(want, got) {
		t.Errorf("is missing: %s", line)
	}
}

func followStoreWasEmptied(t *testing.T, book *runbook) {
	t.Helper()
	bucket := teststore.NewLocked(t)
	credentials(t, bucket)
	at := destination(bucket)
	h := newHouse(t, at)
	r := rescued(h, book)
	r.env = append(r.env, bucket.Env()...)
	r.values["STORE"] = "s3://" + at.Bucket + "/" + at.Path + "?region=us-east-1&path_style=true&endpoint=" + at.Endpoint
	h.backup()
	want := h.rows()
	time.Sleep(1100 * time.Millisecond) // Times in a store are of a second's resolution.
	r.values["AS_OF"] = time.Now().UTC().Format(time.RFC3339)
	time.Sleep(1100 * time.Millisecond)
	for _, o := range testdb.Must(opened(t, at).List(t.Context(), ""))(t) {
		if err := bucket.Delete(t.Context(), bucket.Name, at.Path+"/"+o.Key); err != nil {
			t.Fatal(err)
		}
	}
	if err := bucket.RestoreTimes(bucket.Name); err != nil {
		t.Fatal(err)
	}
	if left := testdb.Must(opened(t, at).List(t.Context(), ""))(t); len(left) > 0 {
		t.Fatalf("the store has %d objects", len(left))
	}
	r.turnTo("First")
	r.run()
	r.run()
	r.turnTo("The store was emptied")
	r.run("LEADS BACK TO")
	r.chooseFirst()
	r.run(r.values["RESCUE"], "last_change")
	db := postgres.New(testdb.Must(testdb.Server(t, h.database).Config(r.values["RESCUE"]))(t))
	defer db.Close()
	same(t, byOrganization(testdb.Must(postgres.QueryOne[struct{ Rows string }](t.Context(), db, `SELECT (`+rowsSQL+`) AS rows`))(t).Rows), want)
	elsewhere := backup.Destination{Type: "file", Path: t.TempDir()}
	h.exec(`UPDATE brownie.backup_schedules SET destinations = jsonb_build_array(jsonb_build_object('type', 'file', 'path', '` + elsewhere.Path + `'))`)
	r.run("succeeded")
	if found := testdb.Must(opened(t, elsewhere).List(t.Context(), ""))(t); len(found) < 5 {
		t.Errorf("there are %d objects in the new store", len(found))
	}
}

func followIdentityLeaked(t *testing.T, book *runbook) {
	t.Helper()
	h := newHouse(t)
	r := rescued(h, book)
	h.backup()
	time.Sleep(time.Second)
	h.backup()
	r.begin(time.Now())
	next := newIdentity(t)
	h.recipient(next)
	r.turnTo("An identity leaked")
	r.run("to rotate")
	if strings.Count(r.shown, "rotated") != 0 {
		t.Errorf("a dry run did something: %s", r.shown)
	}
	r.values["BROWNIE_BACKUP_IDENTITY"] = r.identity("identity-new.txt", next)
	r.run("result=rotated", "RESTORED IN")
	if keys, all := readable(t, opened(t, h.schedule.Destinations[0]), h.identity); len(keys) > 0 || all == 0 {
		t.Errorf("with the leaked identity %d of %d pieces can be read", len(keys), all)
	}
}

func followIdentityIsLost(t *testing.T, book *runbook) {
	t.Helper()
	second := newIdentity(t)
	h := newHouse(t)
	h.exec(`UPDATE brownie.backup_schedules SET recipients = recipients || jsonb_build_array('` + second.Recipient().String() + `')`)
	r := rescued(h, book)
	h.backup()
	r.begin(time.Now())
	if err := os.Remove(filepath.Join(r.folder, "identity.txt")); err != nil {
		t.Fatal(err)
	}
	r.turnTo("An identity is lost")
	r.values["BROWNIE_BACKUP_IDENTITY"] = r.identity("second-identity.txt", second)
	r.run("RESTORED IN")
	if err := os.Remove(filepath.Join(r.folder, "second-identity.txt")); err != nil {
		t.Fatal(err)
	}
	next := newIdentity(t)
	h.recipient(next)
	r.values["BROWNIE_BACKUP_IDENTITY"] = r.identity("identity-new.txt", next)
	time.Sleep(time.Second)
	former := r.values["BACKUP"]
	r.run("succeeded")
	if r.chooseFirst() == former {
		t.Errorf("the list has the former one first: %s", r.shown)
	}
	r.run("RESTORED IN")
}

func followSomebodyAsks(t *testing.T, book *runbook) {
	t.Helper()
	h := newHouse(t)
	r := rescued(h, book)
	h.backup()
	asked := time.Now()
	h.delete("organization-9")
	now := h.rows()
	r.begin(asked)
	r.values["ORGANIZATION"] = "organization-9"
	r.turnTo("Somebody asks for what was deleted")
	r.run("The ledger says that this organization was deleted", "public.teams", "record alone")
	text := string(testdb.Must(os.ReadFile(filepath.Join(r.folder, "organization-9.sql")))(t))
	if strings.Count(text, "organization-9team-") != 12 || strings.Contains(text, "organization-8") {
		t.Errorf("the file is %s", text)
	}
	same(t, h.rows(), now)
}

func followDoesNotVerify(t *testing.T, book *runbook) {
	t.Helper()
	h := newHouse(t)
	r := rescued(h, book)
	b := h.backup()
	want := h.rows()
	for _, path := range h.files(b) {
		if strings.Contains(path, "rows-1") {
			if err := os.Truncate(path, 10); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.begin(time.Now())
	r.turnTo("A backup does not verify")
	r.run("exit code 1", "rows-1")
	time.Sleep(time.Second)
	r.run("succeeded", "FAILED")
	if r.chooseFirst() == b.ID {
		t.Errorf("the damaged one is the first: %s", r.shown)
	}
	r.run("RESTORED IN")
	same(t, h.rows(), want)
}
