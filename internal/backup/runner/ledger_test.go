package runner_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/dump"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/runner"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// tenantRole makes a role of an organization.
func (h house) tenantRole(name, slug string) access.Role {
	h.t.Helper()
	name = strings.Replace(h.role, "backup", name, 1)
	id := testdb.Value[string](h.t, h.database, `SELECT id::text FROM public.organizations WHERE slug = $1`, slug)
	role := testdb.Must(access.New(testdb.DB(h.t, h.database)).CreateRole(h.t.Context(), access.Role{
		Name: name, Access: "writer", OrganizationID: &id, ConnectionLimit: -1,
	}))(h.t)
	h.t.Cleanup(func() { testdb.Exec(h.t, h.database, `DROP ROLE IF EXISTS "`+name+`"`) })
	return role
}

// ledgers are the files of the ledger's copies, the oldest first.
func (h house) ledgers() (all []string) {
	h.t.Helper()
	err := filepath.WalkDir(filepath.Join(h.schedule.Destinations[0].Path, "nightly", "ledger"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// lost is the runner without the database that was backed up.
func (h house) lost() *runner.Runner {
	h.t.Helper()
	r := *h.Runner
	config := testdb.Config(h.t, h.database)
	config.Database = "postgres"
	r.DB = postgres.New(config)
	h.t.Cleanup(r.DB.Close)
	return &r
}

// copied makes the ledger's copy have what was deleted, as serve does within a minute.
func (h house) copied() {
	h.t.Helper()
	h.backup()
}

// outcomes are what became of what was deleted, by slug or name.
func outcomes(d runner.Deletions) map[string]string {
	all := map[string]string{}
	for _, each := range d.All {
		all[each.Name] = each.Outcome
		if each.Slug != "" {
			all[each.Slug] = each.Outcome
		}
	}
	return all
}

func (h house) delete(slug string) {
	testdb.Exec(h.t, h.database, `DELETE FROM public.organizations WHERE slug = $1`, slug)
}

// deletions are one of each kind after a backup.
type deletions struct {
	house
	b                                      backup.Backup
	dropped, locked, unlocked, stays, sold access.Role
}

func newDeletions(t *testing.T) deletions {
	t.Helper()
	d := deletions{house: newHouse(t)}
	store := access.New(testdb.DB(t, d.database))
	testdb.Exec(t, d.database, `INSERT INTO public.teams (id, organization_id, name, slug, is_active)
		SELECT gen_random_uuid(), id, 'team of ' || slug, 'team', true FROM public.organizations`)
	// No key lets these rows go with their organization.
	testdb.Exec(t, d.database, `CREATE TABLE public.invoices (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), organization_id uuid NOT NULL REFERENCES public.organizations (id))`)
	testdb.Exec(t, d.database, `SELECT brownie.isolate_table('public.invoices')`)
	testdb.Exec(t, d.database, `INSERT INTO public.invoices (organization_id) SELECT id FROM public.organizations`)
	d.dropped, d.locked = d.tenantRole("dropped", "organization-5"), d.tenantRole("locked", "organization-5")
	d.unlocked, d.stays = d.tenantRole("unlocked", "organization-5"), d.tenantRole("stays", "organization-5")
	d.sold = d.tenantRole("sold", "organization-1")
	d.b = d.backup()

	// As the application may, as Terraform does, and one that comes back.
	testdb.Exec(t, d.database, `DELETE FROM public.invoices WHERE organization_id IN (SELECT id FROM public.organizations
		WHERE slug IN ('organization-1', 'organization-2'))`)
	id := testdb.Value[string](t, d.database, `SELECT id::text FROM public.organizations WHERE slug = 'organization-2'`)
	d.delete("organization-1")
	d.delete("organization-2")
	testdb.Exec(t, d.database, `INSERT INTO public.organizations (id, name, slug, is_active, max_teams, max_users_per_team)
		VALUES ('`+id+`', 'Back', 'organization-2', true, 10, 50)`)
	if err := store.DropRole(t.Context(), d.dropped, ""); err != nil {
		t.Fatal(err)
	}
	for _, role := range []access.Role{d.locked, d.unlocked} {
		lock := role
		lock.Locked = true
		testdb.Must(store.UpdateRole(t.Context(), role, lock))(t)
	}
	testdb.Must(store.UpdateRole(t.Context(), d.unlocked, d.unlocked))(t)
	return d
}

// state tells of the restored database what the deletions are about.
const stateSQL = `
	SELECT coalesce(string_agg(line, E'\n' ORDER BY line), '') FROM (
		SELECT 'organizations ' || count(*) FROM public.organizations
		UNION ALL SELECT 'deleted ' || slug FROM public.organizations WHERE slug = 'organization-1'
		UNION ALL SELECT 'invoices ' || count(*) FROM public.invoices
		UNION ALL SELECT 'teams ' || count(*) FROM public.teams
		UNION ALL SELECT 'bound ' || split_part(role_name::text, '-', 1) FROM brownie.role_bindings WHERE access = 'writer'
		UNION ALL SELECT 'role ' || split_part(rolname::text, '-', 1) || CASE WHEN rolcanlogin THEN '' ELSE ' locked' END FROM pg_roles
			WHERE rolname ~ ('^(dropped|locked|unlocked|stays|sold)-' || $1 || '$')
	) AS lines (line)`

func (d deletions) state(conn *pgx.Conn) string {
	d.t.Helper()
	var state string
	_, suffix, _ := strings.Cut(d.role, "-")
	if err := conn.QueryRow(d.t.Context(), stateSQL, suffix).Scan(&state); err != nil {
		d.t.Fatal(err)
	}
	return state
}

const (
	stayDeleted = "bound locked\nbound stays\nbound unlocked\ninvoices 19\norganizations 19\nrole locked locked\nrole stays\nrole unlocked\nteams 19"
	allBack     = "bound dropped\nbound locked\nbound sold\nbound stays\nbound unlocked\ndeleted organization-1\ninvoices 20\norganizations 20\n" +
		"role dropped\nrole locked\nrole sold\nrole stays\nrole unlocked\nteams 20"
)

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestStaysDeleted restores on another server: by the living ledger, and by what is in the store alone.
func TestStaysDeleted(t *testing.T) {
	d := newDeletions(t)
	store := d.schedule.Destinations[0]
	alone := runner.Source{ID: d.b.ID, Destination: &store, Schedule: "nightly"}
	old := d.another("")
	lost := d.lost()
	testdb.Must(lost.Restore(t.Context(), alone, on(old, "before")))(t)
	want(t, d.state(connect(t, old, "before")), allBack) // The copy of the ledger in the store is from before.

	d.copied()
	for name, from := range map[string]runner.Source{"on record": {ID: d.b.ID}, "from the store alone": alone} {
		t.Run(name, func(t *testing.T) {
			server, r := d.another(""), d.Runner
			if from.Destination != nil {
				r = lost
			}
			done := testdb.Must(r.Restore(t.Context(), from, on(server, "copy")))(t)
			conn := connect(t, server, "copy")
			want(t, d.state(conn), stayDeleted)
			told := outcomes(done.Deletions)
			for name, outcome := range map[string]string{
				"organization-1": "purged", d.dropped.Name: "dropped", d.sold.Name: "dropped", d.locked.Name: "locked",
			} {
				if told[name] != outcome {
					t.Errorf("%s: %q", name, told[name])
				}
			}
			if len(done.Deletions.All) != 4 || !done.Deletions.Known || len(done.Deletions.Unread) > 0 {
				t.Errorf("told %+v", done.Deletions)
			}

			// In its place, the same holds, and by the restored ledger alone, too.
			if _, err := conn.Exec(t.Context(), `DELETE FROM public.invoices; DELETE FROM public.organizations WHERE slug = 'organization-3'`); err != nil {
				t.Fatal(err)
			}
			target := on(server, "copy")
			target.Replace = true
			done = testdb.Must(r.Restore(t.Context(), from, target))(t)
			if told := outcomes(done.Deletions); told["organization-1"] != "purged" || told["organization-3"] != "purged" {
				t.Errorf("told %+v", done.Deletions)
			}
		})
	}
}

// TestAcceptedResurrection brings everything back, and a later restore does not take it away again.
func TestAcceptedResurrection(t *testing.T) {
	d := newDeletions(t)
	server := d.another("")
	target := on(server, "copy")
	target.AcceptResurrection = true
	done := testdb.Must(d.Restore(t.Context(), runner.Source{ID: d.b.ID}, target))(t)
	conn := connect(t, server, "copy")
	want(t, d.state(conn), allBack)
	if told := outcomes(done.Deletions); len(told) != 5 || !strings.Contains(told["organization-1"], "brought back") || !done.Deletions.Accepted {
		t.Errorf("told %+v", done.Deletions)
	}
	// The next restore on top of it reads both ledgers.
	target.Replace, target.AcceptResurrection = true, false
	done = testdb.Must(d.Restore(t.Context(), runner.Source{ID: d.b.ID}, target))(t)
	want(t, d.state(connect(t, server, "copy")), allBack)
	if len(done.Deletions.All) != 0 {
		t.Errorf("told %+v", done.Deletions)
	}
}

// TestDamagedLedger: whoever cannot know what was deleted restores nothing, unless somebody accepts that.
func TestDamagedLedger(t *testing.T) {
	d := newDeletions(t)
	d.copied()
	store := d.schedule.Destinations[0]
	alone := runner.Source{ID: d.b.ID, Destination: &store, Schedule: "nightly"}
	lost, server := d.lost(), d.another("")
	all := d.ledgers()
	newest := all[len(all)-1]
	whole := testdb.Must(os.ReadFile(newest))(t)
	for i, bit := range []int{0, 8 * len(whole) / 2, 8*len(whole) - 1} {
		damaged := slices.Clone(whole)
		damaged[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(newest, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := lost.Restore(t.Context(), alone, on(server, "copy"))
		if err == nil || !strings.Contains(err.Error(), filepath.Base(newest)) || !strings.Contains(err.Error(), "--accept-resurrection") {
			t.Errorf("%d: %v", i, err)
		}
		// The ledger of the living database has all that is in the copy.
		done := testdb.Must(d.Restore(t.Context(), runner.Source{ID: d.b.ID}, on(server, fmt.Sprintf("copy_%d", i))))(t)
		if outcomes(done.Deletions)["organization-1"] != "purged" {
			t.Errorf("told %+v", done.Deletions)
		}
	}
	fresh := d.another("") // The other one has the roles by now, and one of them locked.
	target := on(fresh, "copy")
	target.AcceptResurrection = true
	done := testdb.Must(lost.Restore(t.Context(), alone, target))(t)
	want(t, d.state(connect(t, fresh, "copy")), allBack)
	if len(done.Deletions.Unread) != 1 {
		t.Errorf("told %+v", done.Deletions)
	}
	if err := os.WriteFile(newest, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	lost.Identities = []age.Identity{newIdentity(t)}
	if _, err := lost.Restore(t.Context(), alone, on(server, "other")); err == nil || !strings.Contains(err.Error(), "not encrypted for any of the identities") {
		t.Errorf("another's identity: %v", err)
	}
}

// TestBesideTheLivingDatabase restores in the cluster of the database that was backed up: its roles stay as they are.
func TestBesideTheLivingDatabase(t *testing.T) {
	d := newDeletions(t)
	testdb.Exec(t, d.database, `ALTER ROLE "`+d.stays.Name+`" NOLOGIN`) // The runner finds it.
	d.copied()
	testdb.Exec(t, d.database, `ALTER ROLE "`+d.locked.Name+`" LOGIN`) // It has not found this yet.
	target := runner.Target{
		Server: testdb.Config(t, d.database), Database: d.database + "_copy",
		Tools: dump.Tools{Dir: d.Tools.Dir, Env: testdb.Server(t, d.database).Env(d.database)},
	}
	t.Cleanup(func() { testdb.Exec(t, d.database, `DROP DATABASE IF EXISTS "`+target.Database+`" WITH (FORCE)`) })
	done := testdb.Must(d.Restore(t.Context(), runner.Source{ID: d.b.ID}, target))(t)
	conn := testdb.Must(pgx.Connect(t.Context(), testdb.Server(t, d.database).URL(target.Database)))(t)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	want(t, d.state(conn), "bound locked\nbound stays\nbound unlocked\ninvoices 19\norganizations 19\nrole locked\nrole sold\nrole stays locked\nrole unlocked\nteams 19")
	told := outcomes(done.Deletions)
	for name, outcome := range map[string]string{
		d.dropped.Name: "dropped", d.locked.Name: "stays as the cluster has it", d.stays.Name: "stays as the cluster has it",
		d.sold.Name: "bound to nothing; the cluster has a role of that name, which stays as it is",
	} {
		if told[name] != outcome {
			t.Errorf("%s: %q", name, told[name])
		}
	}
}

// TestLedgerCopies: one copy in each destination, whenever something changed, and none otherwise; prune keeps the newest. A destination that
// takes none keeps no backup from being made.
func TestLedgerCopies(t *testing.T) {
	first, second := backup.Destination{Type: "file", Path: t.TempDir()}, backup.Destination{Type: "file", Path: t.TempDir()}
	h := newHouse(t, first, second)
	count := func(want int) {
		t.Helper()
		for _, d := range []backup.Destination{first, second} {
			if all := testdb.Must(filepath.Glob(filepath.Join(d.Path, "nightly", "ledger", "*.age")))(t); len(all) != want {
				t.Errorf("%s has %d copies, want %d: %v", d.Path, len(all), want, all)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	server := runner.NewServer(h.Runner)
	go func() { served <- server.Serve(ctx) }()
	testdb.Until(t, h.database, `SELECT count(*) = 2 FROM brownie.backup_ledger_copies WHERE entries = 0`)
	h.delete("organization-1")
	testdb.Until(t, h.database, `SELECT count(*) = 2 FROM brownie.backup_ledger_copies WHERE entries = 1`)
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	count(2)
	want := map[string]int{"superseded": 2}
	pruned := testdb.Must(h.Prune(t.Context(), "nightly", true))(t)
	count(2)
	for _, p := range append(pruned, testdb.Must(h.Prune(t.Context(), "nightly", false))(t)...) {
		want[p.Why]--
	}
	if len(want) != 1 || want["superseded"] != -2 {
		t.Errorf("pruned %v", want)
	}
	count(1)
	b := h.backup() // Nothing has changed.
	count(1)

	// Others can read what is written from now on.
	other := newIdentity(t)
	testdb.Exec(t, h.database, `UPDATE brownie.backup_schedules SET recipients = recipients || to_jsonb('`+other.Recipient().String()+`'::text)`)
	h.delete("organization-2")
	if err := os.RemoveAll(second.Path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(second.Path, nil, 0o600); err != nil { // There can be no folder now.
		t.Fatal(err)
	}
	testdb.Must(h.Backup(t.Context(), "nightly", nil))(t)
	if all := h.ledgers(); len(all) != 1 {
		t.Errorf("%d copies are left", len(all))
	}
	lost := h.lost()
	lost.Identities = []age.Identity{h.identity, other}
	done := testdb.Must(lost.Restore(t.Context(), runner.Source{ID: b.ID, Destination: &first, Schedule: "nightly"}, on(h.another(""), "copy")))(t)
	if told := outcomes(done.Deletions); len(told) != 2 || told["organization-2"] != "purged" {
		t.Errorf("told %+v", done.Deletions)
	}

	// Somebody removes the copy: the next run writes another.
	for _, path := range h.ledgers() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	testdb.Must(h.Restore(t.Context(), runner.Source{ID: b.ID}, on(h.another(""), "copy")))(t)
	h.backup()
	h.backup()
	if all := h.ledgers(); len(all) != 1 {
		t.Errorf("there are %d copies", len(all))
	}
}

// TestNoLedger restores what was backed up before there was a ledger.
func TestNoLedger(t *testing.T) {
	h := newHouse(t)
	engine := migrate.New(testdb.DB(t, h.database), migrate.Platform, migrate.Options{})
	for version := testdb.Must(engine.Latest())(t) - 1; version >= 23; version-- {
		testdb.Must(engine.Run(t.Context(), testdb.Must(engine.Plan(t.Context(), version, true))(t)))(t)
	}
	b := h.backup()
	done := testdb.Must(h.Restore(t.Context(), runner.Source{ID: b.ID}, on(h.another(""), "copy")))(t)
	if done.Deletions.Known {
		t.Errorf("told %+v", done.Deletions)
	}
	// What was deleted since counts, as it can only have been deleted later.
	testdb.Must(engine.Up(t.Context(), 24))(t)
	h.delete("organization-1")
	done = testdb.Must(h.Restore(t.Context(), runner.Source{ID: b.ID}, on(h.another(""), "copy")))(t)
	if told := outcomes(done.Deletions); len(told) != 2 || told["organization-1"] != "purged" {
		t.Errorf("told %+v", done.Deletions)
	}
}
