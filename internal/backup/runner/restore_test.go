package runner_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/dump"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/runner"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// another starts a server of its own: the roles of a backup are missing there.
func (h house) another(major string) *dump.Scratch {
	h.t.Helper()
	programs := h.ServerPrograms
	if major != "" {
		programs = testdb.Must(devstack.ServerPrograms(h.t.Context(), devstack.Options{}, major))(h.t)
	}
	server := testdb.Must(dump.StartScratch(h.t.Context(), programs, h.Tools, ""))(h.t)
	h.t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			h.t.Error(err)
		}
	})
	return server
}

func on(server *dump.Scratch, database string) runner.Target {
	return runner.Target{Server: server.Config, Tools: server.Tools, Database: database}
}

// connect logs in as the administrator of a server.
func connect(t *testing.T, server *dump.Scratch, database string) *pgx.Conn {
	t.Helper()
	conn := testdb.Must(pgx.Connect(t.Context(), fmt.Sprintf("host=%s user=%s dbname=%s", server.Config.Host, server.Config.Username, database)))(t)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// fingerprint tells what is in a database, by other means than the runner's: rows, privileges, policies and roles.
const fingerprintSQL = `
	SELECT string_agg(line, E'\n' ORDER BY line) FROM (
		SELECT 'rows of ' || c.oid::regclass || ': ' || md5(query_to_xml(format('SELECT t::text FROM %s t ORDER BY 1', c.oid::regclass), true, true, '')::text)
		FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace IN ('public'::regnamespace, 'brownie'::regnamespace)
			AND c.relname NOT LIKE 'backup%'
		UNION ALL
		SELECT c.relkind::text || ' ' || c.oid::regclass || ' of ' || pg_get_userbyid(c.relowner) || ' ' || c.relrowsecurity || c.relforcerowsecurity || ' '
			|| coalesce((SELECT string_agg(a::text, ' ' ORDER BY a::text COLLATE "C") FROM unnest(coalesce(c.relacl, acldefault((CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", c.relowner))) AS a), '')
		FROM pg_class c WHERE c.relnamespace IN ('public'::regnamespace, 'brownie'::regnamespace)
		UNION ALL
		SELECT 'policy ' || polname || ' of ' || polrelid::regclass || polcmd::text || polpermissive || coalesce(pg_get_expr(polqual, polrelid), '')
			|| (SELECT string_agg(r::regrole::text, ' ' ORDER BY r::regrole::text) FROM unnest(polroles) AS r)
		FROM pg_policy
		UNION ALL
		SELECT 'constraint ' || conname || ' of ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid <> 0
		UNION ALL
		SELECT 'function ' || oid::regprocedure || pg_get_userbyid(proowner) || md5(prosrc) || prosecdef || coalesce(proconfig::text, '')
			|| coalesce((SELECT string_agg(a::text, ' ' ORDER BY a::text COLLATE "C") FROM unnest(coalesce(proacl, acldefault('f', proowner))) AS a), '')
		FROM pg_proc WHERE pronamespace IN ('public'::regnamespace, 'brownie'::regnamespace)
		UNION ALL
		SELECT 'member ' || roleid::regrole || ' ' || member::regrole || admin_option || inherit_option || set_option FROM pg_auth_members
		WHERE roleid::regrole::text LIKE 'brownie\_%' AND roleid::regrole::text NOT LIKE 'brownie\_connect%'
			AND EXISTS (SELECT FROM brownie.role_bindings WHERE role_name = pg_get_userbyid(member))
	) AS lines (line)`

// difference are the lines that the first text has and the second has not.
func difference(a, b string) (lines []string) {
	has := map[string]bool{}
	for line := range strings.Lines(b) {
		has[strings.TrimSpace(line)] = true
	}
	for line := range strings.Lines(a) {
		if line = strings.TrimSpace(line); !has[line] {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestRestore(t *testing.T) {
	h := newHouse(t)
	want := testdb.Value[string](t, h.database, fingerprintSQL)
	b := h.backup()
	server := h.another("")
	done := testdb.Must(h.Restore(t.Context(), runner.Source{ID: b.ID}, on(server, "copy")))(t)
	var got string
	if err := connect(t, server, "copy").QueryRow(t.Context(), fingerprintSQL).Scan(&got); err != nil {
		t.Fatal(err)
	}
	for _, line := range difference(want, got) {
		t.Errorf("is missing: %s", line)
	}
	for _, line := range difference(got, want) {
		t.Errorf("was not there: %s", line)
	}
	if done.Kept != "" || done.Database != "copy" {
		t.Errorf("the restore tells %+v", done)
	}

	t.Run("not over what is there", func(t *testing.T) {
		if _, err := h.Restore(t.Context(), runner.Source{ID: b.ID}, on(server, "copy")); err == nil || !strings.Contains(err.Error(), `there is a database "copy" already`) {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("in its place", func(t *testing.T) {
		held := connect(t, server, "copy") // A client that does not go.
		if _, err := held.Exec(t.Context(), `DELETE FROM public.organizations`); err != nil {
			t.Fatal(err)
		}
		target := on(server, "copy")
		target.Replace, target.AcceptResurrection = true, true // It knows what was deleted.
		done := testdb.Must(h.Restore(t.Context(), runner.Source{ID: b.ID}, target))(t)
		for database, want := range map[string]int{"copy": 20, done.Kept: 0} {
			var n int
			if err := connect(t, server, database).QueryRow(t.Context(), `SELECT count(*) FROM public.organizations`).Scan(&n); err != nil || n != want {
				t.Errorf("%s has %d organizations: %v", database, n, err)
			}
		}
	})
}

// TestOtherMajorVersion restores into a server of a later version, which does not know all functions of the former.
func TestOtherMajorVersion(t *testing.T) {
	h := newHouse(t)
	b := h.backup()
	server := h.another("18")
	testdb.Must(h.Restore(t.Context(), runner.Source{ID: b.ID}, on(server, "copy")))(t)
	var n int
	if err := connect(t, server, "copy").QueryRow(t.Context(), `SELECT count(*) FROM public.organizations`).Scan(&n); err != nil || n != 20 {
		t.Errorf("there are %d organizations: %v", n, err)
	}
}

// files are those of a backup.
func (h house) files(b backup.Backup) (all []string) {
	h.t.Helper()
	err := filepath.WalkDir(filepath.Join(h.schedule.Destinations[0].Path, "nightly", b.ID), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil || len(all) < 5 {
		h.t.Fatalf("%d files: %v", len(all), err)
	}
	return all
}

// TestDamage does each kind of damage to each file. Nothing that is damaged is taken for a backup, and nothing of it is left where it was to
// be restored.
func TestDamage(t *testing.T) {
	h := newHouse(t)
	b := h.backup()
	server := h.another("")
	admin := connect(t, server, "postgres")
	damages := map[string]func([]byte) []byte{
		"first bit": func(content []byte) []byte { content[0] ^= 1; return content },
		"last bit":  func(content []byte) []byte { content[len(content)-1] ^= 128; return content },
		"some bit":  func(content []byte) []byte { content[rand.IntN(len(content))] ^= 1 << rand.IntN(8); return content },
		"truncated": func(content []byte) []byte { return content[:len(content)-1] },
		"appended":  func(content []byte) []byte { return append(content, 0) },
		"empty":     func([]byte) []byte { return []byte{} },
		"missing":   func([]byte) []byte { return nil },
	}
	for _, path := range h.files(b) {
		whole := testdb.Must(os.ReadFile(path))(t)
		for what, damage := range damages {
			damaged := damage(append([]byte{}, whole...))
			err := os.WriteFile(path, damaged, 0o600)
			if damaged == nil {
				err = os.Remove(path)
			}
			if err != nil {
				t.Fatal(err)
			}
			name := strings.TrimSuffix(filepath.Base(path), ".zst.age.0000")
			if strings.HasPrefix(name, "manifest-") {
				name = "manifest"
			}
			proof, err := h.Verify(t.Context(), b.ID, backup.Checksum)
			if err == nil || proof.Succeeded || !strings.Contains(err.Error(), name) {
				t.Errorf("%s, %s: verified by checksum: %v", filepath.Base(path), what, err)
			}
			if name == "roles.sql" {
				continue // It is for people; a restore does not read it.
			}
			if _, err := h.Restore(t.Context(), runner.Source{ID: b.ID}, on(server, "copy")); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s, %s: restored: %v", filepath.Base(path), what, err)
			}
			var left string
			err = admin.QueryRow(t.Context(), `SELECT coalesce((SELECT string_agg(datname, ' ') FROM pg_database WHERE datname = 'copy'), '') ||
				coalesce((SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolname ~ '^(brownie|backup)'), '')`).Scan(&left)
			if err != nil || left != "" {
				t.Errorf("%s, %s: %s is left: %v", filepath.Base(path), what, left, err)
			}
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	testdb.Must(h.Restore(t.Context(), runner.Source{ID: b.ID}, on(server, "copy")))(t)

	t.Run("another's identity", func(t *testing.T) {
		other := newIdentity(t)
		h.Identities[0] = other
		if _, err := h.Restore(t.Context(), runner.Source{ID: b.ID}, on(server, "other")); err == nil || !strings.Contains(err.Error(), "not encrypted for any of the identities") {
			t.Errorf("the error is %v", err)
		}
	})
}

// TestSettingsOfAnybody: any role may give itself any text as a setting. None of it becomes a statement of whoever restores, nor
// does it keep anybody from restoring.
func TestSettingsOfAnybody(t *testing.T) {
	h := newHouse(t)
	tenant := strings.Replace(h.role, "backup", "tenant", 1)
	testdb.Exec(t, h.database, `CREATE ROLE "`+tenant+`"`)
	t.Cleanup(func() { testdb.Exec(t, h.database, `DROP ROLE "`+tenant+`"`) })
	conn := testdb.Must(pgx.Connect(t.Context(), testdb.Server(t, h.database).URL(h.database)))(t)
	defer func() { _ = conn.Close(context.Background()) }()
	for _, value := range []string{
		`x;ALTER/**/ROLE/**/"` + tenant + `"/**/SUPERUSER;`, `x;ALTER/**/ROLE/**/postgres/**/RENAME/**/TO/**/y`, `"a""b", c`,
	} {
		for _, statement := range []string{
			`SELECT set_config('search_path', '` + value + `', false)`,
			`ALTER ROLE "` + tenant + `" SET search_path FROM CURRENT`,
			`ALTER ROLE "` + tenant + `" IN DATABASE "` + h.database + `" SET search_path FROM CURRENT`,
			`ALTER ROLE "` + tenant + `" SET application_name = 'it''s \ "one"'`,
		} {
			if _, err := conn.Exec(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		b := h.backup()
		server := h.another("")
		testdb.Must(h.Restore(t.Context(), runner.Source{ID: b.ID}, on(server, "copy")))(t)
		var super bool
		var settings string
		if err := connect(t, server, "copy").QueryRow(t.Context(), `SELECT rolsuper, (SELECT coalesce(string_agg(s, ' ' ORDER BY s COLLATE "C"), '') FROM unnest(rolconfig) AS s)
			FROM pg_roles WHERE rolname = $1`,
			tenant).Scan(&super, &settings); err != nil || super {
			t.Errorf("after %s the tenant is a superuser: %v; %v", value, super, err)
		}
		want := testdb.Value[string](t, h.database, `SELECT string_agg(s, ' ' ORDER BY s COLLATE "C") FROM pg_roles, unnest(rolconfig) AS s WHERE rolname = $1`, tenant)
		if strings.HasPrefix(value, `"a`) && settings != want {
			t.Errorf("the settings are %s, want %s", settings, want)
		}
	}
}

// TestEverythingElse restores what is no row of a table.
func TestEverythingElse(t *testing.T) {
	h := newHouse(t)
	for _, statement := range []string{
		`CREATE MATERIALIZED VIEW public.summary AS SELECT count(*) AS n FROM public.organizations`,
		`CREATE MATERIALIZED VIEW public.summary_of_summary AS SELECT n + 1 AS n FROM public.summary`,
		`CREATE MATERIALIZED VIEW public.empty AS SELECT 1 AS n WITH NO DATA`,
		`GRANT SELECT ON public.summary, public.summary_of_summary, public.empty TO brownie_backup`,
		`CREATE SEQUENCE public.tickets; SELECT nextval('public.tickets') FROM generate_series(1, 41); GRANT SELECT ON SEQUENCE public.tickets TO brownie_backup`,
		`CREATE TABLE public.parted (n integer) PARTITION BY RANGE (n)`,
		`CREATE TABLE public.parted_1 PARTITION OF public.parted FOR VALUES FROM (1) TO (10)`,
		`INSERT INTO public.parted VALUES (1), (2); GRANT SELECT ON public.parted, public.parted_1 TO brownie_backup`,
		`ALTER DATABASE "` + h.database + `" SET work_mem = '5MB'`,
		`REVOKE ALL ON public.summary, public.summary_of_summary, public.empty, public.parted, public.parted_1
			FROM brownie_reader, brownie_writer, brownie_admin`,
	} {
		testdb.Exec(t, h.database, statement)
	}
	if _, err := h.Verify(t.Context(), h.backup().ID, backup.Restore); err != nil {
		t.Fatal(err)
	}
	// One that the role can read, and then one that it cannot: whoever may make one must not thereby end all backups.
	testdb.Exec(t, h.database, `SELECT lo_from_bytea(4711, 'large'); GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC`)
	b := h.backup()
	server := h.another("")
	testdb.Must(h.Restore(t.Context(), runner.Source{ID: b.ID}, on(server, "copy")))(t)
	conn := connect(t, server, "copy")
	var n, next, parts int
	if err := conn.QueryRow(t.Context(), `SELECT (SELECT n FROM public.summary_of_summary), nextval('public.tickets'),
		(SELECT count(*) FROM public.parted)`).Scan(&n, &next, &parts); err != nil || n != 21 || next != 42 || parts != 2 {
		t.Errorf("there are %d, %d, %d: %v", n, next, parts, err)
	}
	if setting := testdb.Value[string](t, h.database, `SELECT setconfig::text FROM pg_db_role_setting WHERE setrole = 0
		AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())`); setting != "{work_mem=5MB}" {
		t.Errorf("the settings are %s", setting)
	}
}

// TestSecondCopy restores from the second destination when the first one's copy is damaged.
func TestSecondCopy(t *testing.T) {
	first, second := backup.Destination{Type: "file", Path: t.TempDir()}, backup.Destination{Type: "file", Path: t.TempDir()}
	h := newHouse(t, first, second)
	b := h.backup()
	for _, path := range h.files(b) {
		if strings.Contains(path, "rows-1") {
			if err := os.Truncate(path, 10); err != nil {
				t.Fatal(err)
			}
		}
	}
	testdb.Must(h.Restore(t.Context(), runner.Source{ID: b.ID}, on(h.another(""), "copy")))(t)
	proof, err := h.Verify(t.Context(), b.ID, backup.Checksum)
	if err == nil || proof.Succeeded || proof.Damaged {
		t.Errorf("one of two copies is damaged, and the proof is %+v: %v", proof, err)
	}
}

// TestRecordOfItself: in the database that a backup was restored to, the backup is on record as one that goes on. It is a good one.
func TestRecordOfItself(t *testing.T) {
	h := newHouse(t)
	b := h.backup()
	testdb.Exec(t, h.database, `UPDATE brownie.backups SET status = 'running', ended_at = NULL, snapshot_at = NULL, size_bytes = NULL,
		sha256 = NULL, destinations = '[]' WHERE id = $1`, b.ID)
	testdb.Exec(t, h.database, `INSERT INTO brownie.backups (id, schedule_name, engine, type, started_at, status, runner)
		VALUES ('20200101T000000Z-aaaaaa', 'nightly', 'pg_dump', 'full', now(), 'running', 'somebody')`)
	testdb.Must(h.Prune(t.Context(), "nightly", false))(t)
	for id, want := range map[string]backup.Status{b.ID: backup.Succeeded, "20200101T000000Z-aaaaaa": backup.Lost} {
		if got := testdb.Must(backup.New(h.DB).Backup(t.Context(), id))(t); got.Status != want {
			t.Errorf("%s is %s, want %s", id, got.Status, want)
		}
	}
	if _, err := h.Verify(t.Context(), b.ID, backup.Checksum); err != nil {
		t.Error(err)
	}
}

// TestFormerMajorVersion backs up a server that is older than the client programs. Functions that tenants may not call have other
// arguments in the later version, and tenants may not call them there, either.
func TestFormerMajorVersion(t *testing.T) {
	h := newHouse(t)
	server := h.another("16")
	if _, err := connect(t, server, "postgres").Exec(t.Context(), `CREATE DATABASE former`); err != nil {
		t.Fatal(err)
	}
	config := server.Config
	config.Database = "former"
	h.database = "former"
	h.DB = postgres.New(config)
	t.Cleanup(h.DB.Close)
	engine := migrate.New(h.DB, migrate.Platform, migrate.Options{})
	testdb.Must(engine.Up(t.Context(), testdb.Must(engine.Latest())(t)))(t)
	h.Tools = server.Tools
	h.Tools.Env = append(slices.Clone(h.Tools.Env), "PGDATABASE=former")
	testdb.Must(backup.New(h.DB).CreateSchedule(t.Context(), h.schedule))(t)
	b := h.backup()
	if proof, err := h.Verify(t.Context(), b.ID, backup.Restore); err != nil || !proof.Succeeded {
		t.Errorf("the proof is %+v: %v", proof, err)
	}
	later := h.another("")
	testdb.Must(h.Restore(t.Context(), runner.Source{ID: b.ID}, on(later, "copy")))(t)
	const openSQL = `SELECT count(*) FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) AS a
		WHERE proname = 'pg_logical_emit_message' AND a.grantee = 0`
	var open int
	if err := connect(t, later, "copy").QueryRow(t.Context(), openSQL).Scan(&open); err != nil || open != 0 {
		t.Errorf("everybody may call %d functions pg_logical_emit_message: %v", open, err)
	}
}

// TestRolesOfMakers: who makes roles of several databases brings only those of its own into a backup, and manages them after a restore.
func TestRolesOfMakers(t *testing.T) {
	h := newHouse(t)
	of := func(name string) string { return strings.Replace(h.role, "backup", name, 1) }
	own, foreign, login, maker := of("own"), of("foreign"), of("login"), strings.Replace(of("brownie_maker_1"), "-", "_", 1)
	for _, statement := range []string{
		`CREATE ROLE "` + login + `" LOGIN CREATEROLE; GRANT CONNECT ON DATABASE "` + h.database + `" TO "` + login + `"`,
		`CREATE ROLE ` + maker + ` CREATEROLE ADMIN "` + login + `"`,
		`CREATE ROLE "` + own + `" LOGIN IN ROLE brownie_reader ADMIN ` + maker, `CREATE ROLE "` + foreign + `" LOGIN ADMIN ` + maker,
		`INSERT INTO brownie.role_bindings (role_name, access) VALUES ('` + own + `', 'reader')`,
	} {
		testdb.Exec(t, h.database, statement)
	}
	t.Cleanup(func() {
		testdb.Exec(t, h.database, `REVOKE ALL ON DATABASE "`+h.database+`" FROM "`+login+`"; DROP ROLE "`+own+`", "`+foreign+`", `+maker+`, "`+login+`"`)
	})
	b := h.backup()
	server := h.another("")
	testdb.Must(h.Restore(t.Context(), runner.Source{ID: b.ID}, on(server, "copy")))(t)
	var roles string
	if err := connect(t, server, "copy").QueryRow(t.Context(), `SELECT string_agg(r.rolname || coalesce((SELECT ' of ' || string_agg(member::regrole::text, ' ')
		FROM pg_auth_members WHERE roleid = r.oid AND admin_option), ''), ', ' ORDER BY r.rolname) FROM pg_roles r
		WHERE rolname IN ($1, $2, $3, $4)`, own, foreign, login, maker).Scan(&roles); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%s of %q, %s, %s of %s", maker, login, login, own, maker); roles != want {
		t.Errorf("there are %s, want %s", roles, want)
	}
}
