package runner_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// followAnyMoment goes with engine pgbackrest through the disasters for which the moment counts, the last of which takes the server.
func followAnyMoment(t *testing.T, book *runbook) {
	t.Helper()
	a := newArchived(t)
	a.grant()
	a.declare("nightly", "full")
	stop := a.serve()
	a.exec("d", fillSQL, `INSERT INTO public.teams (id, org_id, organization_id, name, slug, description, is_active)
		SELECT gen_random_uuid(), id, id, 'Team', 'team-1', 'what it does', true FROM public.organizations`)
	a.backup("nightly")
	login := a.server.Env("d")
	r := newReader(t, book, a.tools, a.ServerPrograms, login, map[string]string{
		"SCHEDULE": "nightly", "STORE": a.store.String(), "RESCUE": "rescue", "TABLES": "public.teams", "ORGANIZATION": "organization-7",
	})
	r.values["BROWNIE_BACKUP_IDENTITY"] = r.identity("identity.txt", a.identity)
	to := func() {
		time.Sleep(10 * time.Millisecond)
		r.values["TO"] = "--to " + a.now().UTC().Format(time.RFC3339Nano)
		time.Sleep(10 * time.Millisecond)
	}
	leadsBack := func() string { // in seconds, as it is printed
		return testdb.Must(time.Parse(time.RFC3339Nano, strings.TrimPrefix(r.values["TO"], "--to ")))(t).Format(time.RFC3339)
	}

	// Values of one organization, which were written after the backup. Its end is of a second's resolution.
	time.Sleep(2 * time.Second)
	a.exec("d", `UPDATE public.teams SET description = 'after the backup'`)
	want := a.rows("d")
	to()
	a.exec("d", `UPDATE public.teams SET description = 'broken' WHERE organization_id = (SELECT id FROM public.organizations WHERE slug = 'organization-7')`)
	r.turnTo("First")
	r.run()
	r.run("pgbackrest")
	r.choose(time.Now())
	r.moment()
	a.archive()
	r.turnTo("One organization")
	r.run("Nothing was changed")
	r.run()
	r.run("All rows of organization organization-7 are as they were.")
	same(t, a.rows("d"), want)

	// Rows of all of them.
	to()
	a.exec("d", `DELETE FROM public.teams`)
	r.moment()
	a.archive()
	r.turnTo("Rows are missing")
	r.run("rescue", leadsBack())
	r.run("INSERT 0 20")
	same(t, a.rows("d"), want)
	r.run("DROP DATABASE")

	// A migration, before which there is a restore point.
	a.exec("d", `SELECT pg_create_restore_point('before-brownie-migration-9999')`, `ALTER TABLE public.teams DROP COLUMN description`)
	r.values["TO"] = "--to-name before-brownie-migration-9999"
	r.moment()
	a.archive()
	r.turnTo("A bad migration")
	r.run("LEADS BACK TO")
	same(t, a.rows("d"), want)
	r.skip()

	// The database, some seconds after somebody has still written.
	a.exec("d", `UPDATE public.teams SET description = 'the last good work'`)
	want = a.rows("d")
	to()
	soon := r.values["TO"]
	a.exec("d", `UPDATE public.organizations SET updated_at = now()`)
	to() // Nobody writes any more until the drop.
	a.exec("postgres", `DROP DATABASE d WITH (FORCE)`, `SELECT pg_switch_wal()`)
	testdb.Replicated{Primary: a.server}.Exec(t, "postgres", `DO $$ BEGIN FOR i IN 1..600 LOOP
		EXIT WHEN (SELECT last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 16777216) FROM pg_stat_archiver);
		PERFORM pg_sleep(0.1); PERFORM pg_stat_clear_snapshot(); END LOOP; END $$`)
	r.turnTo("The database is gone")
	r.run("LEADS BACK TO")
	r.chooseFirst()
	r.fails("has no database \"d\" any more")
	r.values["TO"] = soon
	r.turnTo("The database is gone")
	r.skip()
	r.run("last_change", leadsBack())
	same(t, a.rows("d"), want)
	a.archive()

	// The server.
	stop()
	if err := a.server.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "restored")
	open(t, filepath.Dir(data))
	r.values["DATA"] = data
	r.turnTo("The server is gone")
	r.run("LEADS BACK TO")
	r.chooseFirst()
	r.run(data)
	a.configure(r, data)
	r.run("server started")
	r.run("f", "last_change")
	db := postgres.New(postgres.Config{Host: r.values["PGHOST"], Database: "d", Username: r.values["PGUSER"], SSLMode: "disable"}.WithDefaults())
	defer db.Close()
	same(t, byOrganization(testdb.Must(postgres.QueryOne[struct{ Rows string }](t.Context(), db, `SELECT (`+rowsSQL+`) AS rows`))(t).Rows), want)
}

func (a *archived) rows(database string) map[string]string {
	a.t.Helper()
	db := postgres.New(testdb.Must(a.server.Config(database))(a.t))
	defer db.Close()
	return byOrganization(testdb.Must(postgres.QueryOne[struct{ Rows string }](a.t.Context(), db, `SELECT (`+rowsSQL+`) AS rows`))(a.t).Rows)
}

// configure puts back what was not in the data directory, and makes the reader the user whose files these are.
func (a *archived) configure(r *reader, data string) {
	a.t.Helper()
	sockets := a.t.TempDir()
	open(a.t, filepath.Dir(sockets), sockets)
	for name, text := range map[string]string{
		"postgresql.conf": fmt.Sprintf("listen_addresses = ''\nunix_socket_directories = '%s'\nport = 5432\n", sockets),
		"pg_hba.conf":     "local all all trust\n",
	} {
		if err := os.WriteFile(filepath.Join(data, name), []byte(text), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	r.known["PGHOST"], r.values["PGHOST"], r.known["PGPORT"] = sockets, sockets, "5432"
	owner := testdb.Must(os.Stat(data))(a.t).Sys().(*syscall.Stat_t) //nolint:forcetypeassert // It always is.
	as := ""
	if os.Geteuid() == 0 {
		as = fmt.Sprintf("setpriv --reuid=%d --regid=%d --clear-groups ", owner.Uid, owner.Gid)
	}
	programs := a.t.TempDir()
	wrapper := "#!/bin/sh\nexec " + as + filepath.Join(a.ServerPrograms, "pg_ctl") + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(programs, "pg_ctl"), []byte(wrapper), 0o700); err != nil {
		a.t.Fatal(err)
	}
	r.env[0] = "PATH=" + programs + ":" + strings.TrimPrefix(r.env[0], "PATH=")
	a.t.Cleanup(func() {
		stop := exec.CommandContext(context.Background(), filepath.Join(programs, "pg_ctl"), "--pgdata", data, "--mode", "immediate", "stop")
		if output, err := stop.CombinedOutput(); err != nil {
			a.t.Errorf("%v: %s", err, output)
		}
	})
}
