package runner_test

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/runner"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
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
