package migrate_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// schemaSQL describes the tables of schema public in the form of testdata/baseline.json.
const schemaSQL = `
	SELECT json_build_object(
		'enums', (
			SELECT json_object_agg(typname, labels) FROM (
				SELECT t.typname, json_agg(e.enumlabel ORDER BY e.enumsortorder) AS labels
				FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid WHERE t.typnamespace = 'public'::regnamespace GROUP BY 1) enums),
		'tables', (
			SELECT json_object_agg(c.relname, json_build_object(
				'columns', (
					SELECT json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
						'not_null', a.attnotnull, 'default', pg_get_expr(d.adbin, d.adrelid)) ORDER BY a.attnum)
					FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
					WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
				'constraints', (
					SELECT json_object_agg(conname, pg_get_constraintdef(oid)) FROM pg_constraint
					WHERE conrelid = c.oid AND contype IN ('p', 'u', 'f', 'c')),
				'indexes', (
					SELECT json_object_agg(indexname, indexdef) FROM pg_indexes i
					WHERE i.schemaname = 'public' AND i.tablename = c.relname
						AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = c.oid AND conname = i.indexname))))
			FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'))::text`

func TestBaselineIsTheOriginalSchema(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	if _, err := migrate.New(testdb.DB(t, database), migrate.Platform, migrate.Options{}).Up(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	testdb.WritesPlainly(t, database)
	want := baseline(t)
	var got map[string]any
	if err := json.Unmarshal([]byte(testdb.Value[string](t, database, schemaSQL)), &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got["enums"], want["enums"]) {
		t.Errorf("enums: got %v, want %v", got["enums"], want["enums"])
	}
	gotTables, wantTables := got["tables"].(map[string]any), want["tables"].(map[string]any)
	if len(gotTables) != len(wantTables) {
		t.Errorf("got %d tables, want %d", len(gotTables), len(wantTables))
	}
	for name, wantTable := range wantTables {
		if !reflect.DeepEqual(gotTables[name], wantTable) {
			t.Errorf("table %s:\ngot  %v\nwant %v", name, gotTables[name], wantTable)
		}
	}
	if revision := testdb.Value[string](t, database, `SELECT version_num FROM alembic_version`); revision != "d607e412e7b0" {
		t.Errorf("the platform's own migration tool would see revision %q", revision)
	}
}

// baseline reads testdata/baseline.json, with the lists whose order means nothing turned into maps.
func baseline(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testdb.Repository(t), "migrations", "testdata", "baseline.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	for _, table := range schema["tables"].(map[string]any) {
		table := table.(map[string]any)
		for _, kind := range []string{"constraints", "indexes"} {
			list, _ := table[kind].([]any)
			if list == nil {
				table[kind] = nil
				continue
			}
			byName := map[string]any{}
			for _, item := range list {
				item := item.(map[string]any)
				byName[item["name"].(string)] = item["definition"]
			}
			table[kind] = byName
		}
	}
	return schema
}

// newEngine returns an engine for an application's own migrations.
func newEngine(t *testing.T, database string, files fs.FS) *migrate.Engine {
	t.Helper()
	return migrate.New(testdb.DB(t, database), migrate.Source{Name: "app", Files: files}, migrate.Options{})
}

func file(sql string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql + "\n")}
}

func TestAFailingMigrationLeavesTheLastWholeVersion(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	files := fstest.MapFS{
		"0001_first.sql":  file(`CREATE TABLE first (n int);`),
		"0002_second.sql": file("CREATE TABLE second (n int);\nSELECT missing FROM first;"),
	}
	engine := newEngine(t, database, files)
	current, err := engine.Up(t.Context(), 2)
	var step *migrate.StepError
	if !errors.As(err, &step) || step.Failed.Name != "0002_second.sql" || step.Current != 1 || current != 1 {
		t.Fatalf("got version %d, %v", current, err)
	}
	for _, want := range []string{"0002_second.sql", `column "missing" does not exist`, "stays at version 1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not contain %q", err, want)
		}
	}
	if testdb.Value[bool](t, database, `SELECT to_regclass('second') IS NOT NULL`) {
		t.Error("the failed migration left a table")
	}
	files["0002_second.sql"] = file(`CREATE TABLE second (n int);`)
	if current, err := newEngine(t, database, files).Up(t.Context(), 2); err != nil || current != 2 {
		t.Errorf("after the repair: got version %d, %v", current, err)
	}
}

func TestVersionsThatCannotBeReached(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	files := fstest.MapFS{"0001_a.sql": file(`SELECT 1;`), "0002_b.sql": file(`SELECT 1;`)}
	engine := newEngine(t, database, files)
	if applied, err := engine.Applied(t.Context()); err != nil || len(applied) != 0 {
		t.Errorf("empty database: got %v, %v", applied, err)
	}
	if testdb.Value[bool](t, database, `SELECT to_regnamespace('brownie') IS NOT NULL`) {
		t.Error("asking for the version changed the database")
	}
	if _, err := engine.Up(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	var down *migrate.DownError
	if _, err := engine.Up(t.Context(), 1); !errors.As(err, &down) || down.Current != 2 || down.Wanted != 1 {
		t.Errorf("down: got %v", err)
	}
	delete(files, "0002_b.sql")
	var ahead *migrate.AheadError
	if _, err := newEngine(t, database, files).Up(t.Context(), 1); !errors.As(err, &ahead) || ahead.Current != 2 || ahead.Latest != 1 {
		t.Errorf("ahead: got %v", err)
	}
}

func TestBadFileNames(t *testing.T) {
	t.Parallel()
	for _, files := range []fstest.MapFS{{}, {"create_table.sql": file(`SELECT 1;`)}} {
		if _, err := newEngine(t, testdb.Empty(t), files).Known(); err == nil {
			t.Errorf("%v was accepted", files)
		}
	}
}

// Managed PostgreSQL gives nobody a superuser.
func TestTheDatabasesOwnerCanMigrate(t *testing.T) {
	t.Parallel()
	for name, grant := range map[string]string{
		"no right to the group roles": `SELECT`,
		// As who made them has, which is whoever migrates the first database of a cluster.
		"may hand out the group roles": `GRANT brownie_reader, brownie_writer, brownie_admin, brownie_all_tenants, brownie_migrator,
			brownie_monitor,
			brownie_backup, brownie_pooler, brownie_pooled TO OWNER WITH ADMIN OPTION`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database, engine := ownedDatabase(t)
			testdb.Exec(t, database, strings.ReplaceAll(grant, "OWNER", `"owner-without-superuser-`+database+`"`))
			latest := testdb.Must(engine.Latest())(t)
			if current, err := engine.Up(t.Context(), latest); err != nil || current != latest {
				t.Errorf("got version %d, %v", current, err)
			}
			if drift := driftOf(t, engine); drift == nil || len(drift) > 0 {
				t.Errorf("the drift is %q", drift)
			}
		})
	}
}

// ownedDatabase returns an empty database whose owner is no superuser, and an engine that works as that owner.
func ownedDatabase(t *testing.T) (string, *migrate.Engine) {
	t.Helper()
	database := testdb.Empty(t, testdb.Certificates)
	role := "owner-without-superuser-" + database
	testdb.Exec(t, database, `CREATE ROLE "`+role+`" LOGIN CREATEROLE`)
	testdb.Exec(t, database, `ALTER DATABASE `+database+` OWNER TO "`+role+`"`)
	t.Cleanup(func() { // cluster-wide, so that an existing server would keep it
		testdb.Exec(t, database, `REASSIGN OWNED BY "`+role+`" TO CURRENT_USER`)
		testdb.Exec(t, database, `DROP OWNED BY "`+role+`"`)
		testdb.Exec(t, database, `DROP ROLE "`+role+`"`)
	})
	db := postgres.New(testdb.ConfigAs(t, database, role))
	t.Cleanup(db.Close)
	return database, migrate.New(db, migrate.Platform, migrate.Options{})
}

// What was collected before goes too, also when the owner may not touch the statistics themselves.
func TestStatisticsThatShowValuesGo(t *testing.T) {
	t.Parallel()
	const before = 12
	for name, database := range map[string]func() (string, *migrate.Engine){
		"superuser": func() (string, *migrate.Engine) {
			database := testdb.Empty(t)
			return database, platform(t, database)
		},
		"owner": func() (string, *migrate.Engine) { return ownedDatabase(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database, engine := database()
			testdb.Must(engine.Up(t.Context(), before))(t)
			testdb.Exec(t, database, rowsSQL)
			testdb.Exec(t, database, `INSERT INTO stats (organization_id, metric_name, metric_type, value) SELECT id, 'n' || i,
				'gauge', i FROM organizations, generate_series(1, 100) i`)
			testdb.Exec(t, database, `ANALYZE`)
			const statistics = `SELECT coalesce(string_agg(tablename || '.' || s.attname, ', '), '') FROM pg_stats s
				JOIN pg_attribute a ON a.attrelid = format('%I.%I', schemaname, tablename)::regclass AND a.attname = s.attname
				JOIN pg_type t ON t.oid = a.atttypid
				WHERE tablename IN ('organizations', 'teams', 'users', 'agent_configs', 'configs', 'incidents', 'stats',
					'organization_options', 'role_bindings')
					AND (t.typcategory IN ('B', 'D', 'E')) = $1`
			if testdb.Value[string](t, database, statistics, false) == "" {
				t.Fatal("nothing was there to be removed")
			}
			const files = `SELECT string_agg(relname || ' ' || relfilenode, ', ' ORDER BY relname) FROM pg_class
				WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'`
			was := testdb.Value[string](t, database, files)
			up := testdb.Must(engine.Up(t.Context(), testdb.Must(engine.Latest())(t)))(t)
			if is := testdb.Value[string](t, database, files); is != was {
				t.Errorf("version %d rewrote tables: %s, before %s", up, is, was)
			}
			testdb.Exec(t, database, `ANALYZE`)
			if found := testdb.Value[string](t, database, statistics, false); found != "" {
				t.Errorf("statistics show values of %s", found)
			}
			if testdb.Value[string](t, database, statistics, true) == "" {
				t.Error("statistics about times, enums and booleans went, too")
			}
			plan := testdb.Must(engine.Plan(t.Context(), up, false))(t)
			if len(plan.Steps) != 0 {
				t.Errorf("planned %+v", plan)
			}
		})
	}
}

// Time limits for clients do not end a migration, and what a migration sets does not outlive it.
func TestSettingsOfTheConnection(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	testdb.Exec(t, database, `ALTER DATABASE `+database+` SET statement_timeout = '100ms'`)
	config := testdb.Config(t, database)
	config.MaxConnections = 1
	db := postgres.New(config)
	t.Cleanup(db.Close)
	files := fstest.MapFS{
		"0001_slow.sql": file("SELECT pg_sleep(0.3);\nSET lock_timeout = 0;\nSET search_path = pg_catalog;\nCREATE TEMPORARY " +
			"TABLE rest (n int);"),
		"0002_settings.sql": file("CREATE TABLE settings AS SELECT current_setting('lock_timeout') AS lock_timeout;"),
		"0003_role.sql":     file("SET ROLE pg_monitor;"),
		"0004_session.sql":  {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nSET SESSION AUTHORIZATION pg_monitor;")},
	}
	testdb.Must(migrate.New(db, migrate.Source{Name: "app", Files: files},
		migrate.Options{LockTimeout: 3 * time.Second}).Up(t.Context(), 4))(t)
	type settings struct {
		Statement, Lock, Path string
		Rest                  bool
	}
	got := testdb.Must(postgres.QueryOne[settings](t.Context(), db,
		`SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock,
		current_setting('search_path') AS path, to_regclass('pg_temp.rest') IS NOT NULL AS rest`))(t)
	if want := (settings{"0", "0", "pg_catalog, pg_temp", false}); got != want {
		t.Errorf("the connection has %+v afterwards", got)
	}
	if timeout := testdb.Value[string](t, database, `SELECT lock_timeout FROM settings`); timeout != "3s" {
		t.Errorf("the second migration ran with lock_timeout %s", timeout)
	}
}

// What editors and people write, beside the plain form.
func TestOddFiles(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	files := fstest.MapFS{
		"20260102030405_windows.sql": {Data: []byte("\ufeff-- +goose Up\r\nCREATE TABLE a (n int);\r\n\r\n-- +goose Down\r\nDROP " +
			"TABLE a;\r\n")},
		"20260102030406_function.sql": {Data: []byte("-- A comment; with a semicolon.\n\n-- +goose Up\n-- +goose " +
			"StatementBegin\nCREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$\n" +
			"BEGIN\n  PERFORM 1;\n  RETURN 2; -- two\nEND\n$$;\n-- +goose StatementEnd\nSELECT f();\nINSERT INTO a VALUES (1); -- " +
			"one\nINSERT INTO a\nVALUES (1);\n")},
		"20260102030407_Quoted Name.sql": file(`CREATE TABLE "Odd ""Name""" ("a;b" int);` + "\n" + `ALTER TABLE "Odd ""Name""" ADD COLUMN "C" text DEFAULT 'x;'` + "\n;"),
		"README.md":                      {Data: []byte("# No migration")},
		"old/0001_x.sql":                 file("SELECT wrong;"),
	}
	engine := newEngine(t, database, files)
	plan := testdb.Must(engine.Plan(t.Context(), 20260102030407, false))(t)
	if err := engine.Inspect(t.Context(), &plan); err != nil || len(plan.Steps) != 3 {
		t.Fatalf("planned %+v, %v", plan, err)
	}
	if current := testdb.Must(engine.Run(t.Context(), plan))(t); current != 20260102030407 {
		t.Errorf("got version %d", current)
	}
	if rows := testdb.Value[int](t, database, `SELECT count(*) FROM a`); rows != 2 {
		t.Errorf("%d rows were inserted", rows)
	}
	files["20260102030405_windows.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE a (n int);\n\n-- +goose " +
		"Down\nDROP TABLE a;")}
	if plan, err := newEngine(t, database, files).Plan(t.Context(), 20260102030407, false); err != nil || len(plan.Steps) != 0 {
		t.Errorf("with other line ends: planned %+v, %v", plan, err)
	}
}
