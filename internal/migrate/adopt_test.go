package migrate_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/migrations"
)

// alembicDatabase returns a database as the platform's own migration tool left it, made from testdata/baseline.json, with
// rows of two organizations.
func alembicDatabase(t *testing.T) string {
	t.Helper()
	database := testdb.Empty(t)
	schema := baseline(t)
	var sql strings.Builder
	for name, labels := range schema["enums"].(map[string]any) {
		fmt.Fprintf(&sql, "CREATE TYPE %s AS ENUM ('%s');\n", name, strings.Join(texts(labels), "', '"))
	}
	tables := schema["tables"].(map[string]any)
	for name, table := range tables {
		var columns []string
		for _, column := range table.(map[string]any)["columns"].([]any) {
			column := column.(map[string]any)
			definition := fmt.Sprintf("%q %s", column["name"], column["type"])
			if column["not_null"] == true {
				definition += " NOT NULL"
			}
			if column["default"] != nil {
				definition += fmt.Sprintf(" DEFAULT %s", column["default"])
			}
			columns = append(columns, definition)
		}
		fmt.Fprintf(&sql, "CREATE TABLE %s (%s);\n", name, strings.Join(columns, ", "))
	}
	// Foreign keys come last, since they need the keys that they refer to.
	for _, foreign := range []bool{false, true} {
		for name, table := range tables {
			constraints, _ := table.(map[string]any)["constraints"].(map[string]any)
			for constraint, definition := range constraints {
				if strings.HasPrefix(definition.(string), "FOREIGN KEY") == foreign {
					fmt.Fprintf(&sql, "ALTER TABLE %s ADD CONSTRAINT %s %s;\n", name, constraint, definition)
				}
			}
			indexes, _ := table.(map[string]any)["indexes"].(map[string]any)
			for _, definition := range indexes {
				if foreign {
					fmt.Fprintf(&sql, "%s;\n", definition)
				}
			}
		}
	}
	testdb.Exec(t, database, sql.String())
	testdb.Exec(t, database, `
		INSERT INTO alembic_version VALUES ('d607e412e7b0');
		INSERT INTO organizations (id, name, slug, is_active, max_teams, max_users_per_team) VALUES
			('11111111-1111-1111-1111-111111111111', 'Acme', 'acme', true, 10, 50), ('22222222-2222-2222-2222-222222222222', 'Globex',
				'globex', true, 10, 50);
		INSERT INTO teams (id, org_id, organization_id, name, slug, is_active) SELECT id, id, id, 'Core', 'core', true FROM organizations;
		INSERT INTO users (id, org_id, organization_id, team_id, email, username, is_active, is_verified, role)
			SELECT id, id, id, id, slug || '@example.com', slug, true, false, 'MEMBER' FROM organizations;
		INSERT INTO incidents (id, org_id, organization_id, team_id, assigned_to, version, title, status, priority, idempotency_key)
			SELECT id, id, id, id, id, 1, 'Disk full', 'OPEN', 'LOW', slug FROM organizations`)
	return database
}

func texts(list any) []string {
	var result []string
	for _, item := range list.([]any) {
		result = append(result, item.(string))
	}
	return result
}

const rowsLeftSQL = `SELECT string_agg(line, E'\n' ORDER BY line) FROM (
	SELECT 'organization ' || (to_jsonb(o) - 'updated_at')::text AS line
		FROM organizations o UNION ALL SELECT 'team ' || (to_jsonb(o) - 'updated_at')::text FROM teams o
	UNION ALL SELECT 'user ' || (to_jsonb(o) - 'updated_at')::text
		FROM users o UNION ALL SELECT 'incident ' || (to_jsonb(o) - 'updated_at')::text FROM incidents o) AS lines`

// Owners and privileges, which a catalog of migrations leaves out.
const privilegesSQL = `SELECT string_agg(line, E'\n' ORDER BY line) FROM (
	SELECT format('owner of %s: %s', c.oid::regclass, c.relowner::regrole) AS line FROM pg_class c
		WHERE c.relnamespace IN ('public'::regnamespace, 'brownie'::regnamespace)
	UNION ALL
	SELECT format('%s: %s %s', c.oid::regclass, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, a.privilege_type)
	FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace IN ('public'::regnamespace, 'brownie'::regnamespace)
	UNION ALL
	SELECT format('%s.%s: %s %s', c.attrelid::regclass, c.attname, a.grantee::regrole, a.privilege_type) FROM pg_attribute c,
		aclexplode(c.attacl) a
	UNION ALL
	SELECT format('%s: %s %s', p.oid::regprocedure, a.grantee, a.privilege_type) FROM pg_proc p, aclexplode(coalesce(p.proacl,
		acldefault('f', p.proowner))) a
	WHERE p.pronamespace IN ('public'::regnamespace, 'brownie'::regnamespace)
	UNION ALL
	SELECT format('schema %s: %s %s', n.nspname, a.grantee, a.privilege_type) FROM pg_namespace n, aclexplode(n.nspacl) a
		WHERE n.nspname IN ('public', 'brownie')
	UNION ALL
	SELECT format('default of %s in %s: %s %s', d.defaclrole::regrole, d.defaclnamespace::regnamespace, a.grantee::regrole,
		a.privilege_type)
	FROM pg_default_acl d, aclexplode(d.defaclacl) a
	UNION ALL
	SELECT format('database: %s %s', replace(CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END,
		current_database(), 'DATABASE'), a.privilege_type) FROM pg_database d, aclexplode(d.datacl) a
		WHERE d.datname = current_database()) AS lines`

// An empty database, an adopted one and one that was upgraded step by step end up the same.
func TestEveryWayLeadsToTheSameSchema(t *testing.T) {
	t.Parallel()
	fresh, adopted, stepwise := testdb.Empty(t), alembicDatabase(t), testdb.Empty(t)
	latest := testdb.Must(platform(t, fresh).Latest())(t)
	up(t, fresh, latest)
	rows := testdb.Value[string](t, adopted, rowsLeftSQL)
	up(t, adopted, latest)
	for version := range latest {
		up(t, stepwise, version+1)
	}
	catalog := testdb.Must(platform(t, fresh).Catalog(t.Context()))(t)
	privileges := testdb.Value[string](t, fresh, privilegesSQL)
	for name, database := range map[string]string{"adopted": adopted, "step by step": stepwise} {
		got := testdb.Must(platform(t, database).Catalog(t.Context()))(t)
		if !slices.Equal(got, catalog) {
			t.Errorf("%s: the catalog differs: %s", name, difference(catalog, got))
		}
		if got := testdb.Value[string](t, database, privilegesSQL); got != privileges {
			t.Errorf("%s: privileges differ: %s", name, difference(strings.Split(privileges, "\n"), strings.Split(got, "\n")))
		}
	}
	if len(catalog) < 200 || strings.Count(privileges, "\n") < 100 {
		t.Errorf("only %d objects and %d privileges were compared", len(catalog), strings.Count(privileges, "\n"))
	}
	if left := testdb.Value[string](t, adopted, rowsLeftSQL); left != rows {
		t.Errorf("rows changed:\n%s\n%s", rows, left)
	}
	for _, applied := range testdb.Must(platform(t, adopted).Applied(t.Context()))(t) {
		if applied.Adopted != (applied.Version == 1) {
			t.Errorf("recorded is %+v", applied)
		}
	}
}

func difference(before, after []string) string {
	lines := map[string]string{}
	for _, line := range before {
		lines[line] = "- "
	}
	for _, line := range after {
		if _, both := lines[line]; both {
			delete(lines, line)
		} else {
			lines[line] = "+ "
		}
	}
	var result []string
	for _, line := range slices.Sorted(maps.Keys(lines)) {
		result = append(result, lines[line]+line)
	}
	return "\n" + strings.Join(result, "\n")
}

// What another goose migrated, or a dump without its history, is recognised by its schema.
func TestAdoptionOfAKnownVersion(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.CopyFS(folder, migrations.Files); err != nil {
		t.Fatal(err)
	}
	for _, version := range []int64{3, 7, 12, latest(t)} {
		database := testdb.Empty(t)
		goose(t, database, folder, "goose_db_version", "up-to", strconv.FormatInt(version, 10))
		engine := platform(t, database)
		plan := testdb.Must(engine.Plan(t.Context(), latest(t), false))(t)
		if plan.Adopts != version || plan.From != version || int64(len(plan.Steps)) != latest(t)-version {
			t.Errorf("version %d: planned %+v", version, plan)
		}
		up(t, database, latest(t))
		adopted := 0
		for _, applied := range testdb.Must(engine.Applied(t.Context()))(t) {
			if applied.Adopted {
				adopted++
			}
		}
		if int64(adopted) != version {
			t.Errorf("version %d: %d versions are recorded as adopted", version, adopted)
		}
	}
	restored := testdb.Migrated(t)
	testdb.Exec(t, restored, `DROP TABLE brownie.goose_db_version`)
	if plan := testdb.Must(platform(t, restored).Plan(t.Context(), latest(t), false))(t); plan.Adopts != latest(t) || len(plan.Steps) != 0 {
		t.Errorf("planned %+v", plan)
	}
	up(t, restored, latest(t))
}

func TestAdoptionIsRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]struct{ sql, says string }{
		"a column is missing":  {`ALTER TABLE teams DROP COLUMN permissions`, "missing: column public.teams permissions json"},
		"a column is too many": {`ALTER TABLE users ADD COLUMN phone text`, "unexpected: column public.users phone text"},
		"a column is wider": {
			`ALTER TABLE users ALTER COLUMN email TYPE varchar(300)`,
			"missing: column public.users email character varying(255) not null",
		},
		"a table is missing": {`DROP TABLE stats`, "missing: table public.stats"},
		"a label is missing": {
			`ALTER TYPE userrole RENAME VALUE 'VIEWER' TO 'GUEST'`,
			"missing: type public.userrole ADMIN, MEMBER, VIEWER",
		},
		"a trigger": {`CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
			CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f()`, "unexpected: trigger public.users"},
		"another revision": {
			`UPDATE alembic_version SET version_num = 'aaaa'`,
			"Alembic's revision there is aaaa; it must be d607e412e7b0",
		},
		"a partly restored one": {`DROP TABLE incidents, stats, configs, agent_configs`, "It resembles version 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := alembicDatabase(t)
			testdb.Exec(t, database, change.sql)
			_, err := platform(t, database).Up(t.Context(), latest(t))
			var refused *migrate.AdoptionError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), change.says) || strings.Contains(err.Error(), " 0 differences") {
				t.Errorf("got %v", err)
			}
			if testdb.Value[bool](t, database, `SELECT to_regnamespace('brownie') IS NOT NULL`) {
				t.Error("the database was changed")
			}
		})
	}
	// Other tables of an application do not matter.
	database := testdb.Empty(t)
	testdb.Exec(t, database, `CREATE TABLE orders (n int)`)
	up(t, database, latest(t))
}

// What changes between the plan and the apply is not adopted, also where a part of a history is there.
func TestAdoptionComparesUnderTheLock(t *testing.T) {
	t.Parallel()
	for _, history := range []string{`SELECT 1`, `DELETE FROM brownie.goose_db_version WHERE version_id > 0;
		ALTER TABLE brownie.goose_db_version DROP COLUMN name, DROP COLUMN sha256, DROP COLUMN applied_at, DROP COLUMN duration_ms,
		DROP COLUMN role_name, DROP COLUMN provider_version, DROP COLUMN run_id, DROP COLUMN adopted`} {
		database := testdb.Migrated(t)
		testdb.Exec(t, database, history)
		if history == `SELECT 1` {
			testdb.Exec(t, database, `DROP TABLE brownie.goose_db_version`)
		}
		engine := platform(t, database)
		plan := testdb.Must(engine.Plan(t.Context(), latest(t), false))(t)
		testdb.Exec(t, database, `DROP TRIGGER set_updated_at ON teams`)
		_, err := engine.Run(t.Context(), plan)
		var refused *migrate.AdoptionError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "missing: trigger public.teams CREATE TRIGGER set_updated_at") {
			t.Errorf("got %v", err)
		}
		testdb.Exec(t, database, `CREATE TRIGGER set_updated_at BEFORE UPDATE ON teams FOR EACH ROW EXECUTE FUNCTION brownie.set_updated_at()`)
		up(t, database, latest(t))
	}
}

// A history of an older provider gets what it lacks.
func TestAnOlderHistoryIsCompleted(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	up(t, database, 6)
	testdb.Exec(t, database, `ALTER TABLE brownie.goose_db_version DROP COLUMN name, DROP COLUMN sha256, DROP COLUMN applied_at,
		DROP COLUMN duration_ms,
		DROP COLUMN role_name, DROP COLUMN provider_version, DROP COLUMN run_id, DROP COLUMN adopted`)
	engine := platform(t, database)
	if applied := testdb.Must(engine.Applied(t.Context()))(t); len(applied) != 6 || applied[5].SHA256 != "" || applied[5].At.IsZero() {
		t.Fatalf("read %+v", applied)
	}
	up(t, database, latest(t))
	known := testdb.Must(engine.Known())(t)
	for i, applied := range testdb.Must(engine.Applied(t.Context()))(t) {
		if applied.SHA256 != known[i].SHA256 || applied.Name != known[i].Name || applied.Adopted {
			t.Errorf("recorded is %+v", applied)
		}
	}
}
