package migrate_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/migrations"
)

// Locks that this session holds on the tables that were there before.
const heldSQL = `
	SELECT l.relation, upper(substr(regexp_replace(regexp_replace(l.mode, 'Lock$', ''), '([A-Z])', ' \1', 'g'), 2) COLLATE "C")
	FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'`

var strong = []string{"SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"}

// held runs SQL in a transaction, which it rolls back, and returns the strongest lock on each table that was there before.
func held(t *testing.T, database, sql string) map[string]string {
	t.Helper()
	conn := testdb.Must(pgx.Connect(t.Context(), testdb.Server(t, database).URL(database)))(t)
	defer func() { _ = conn.Close(t.Context()) }()
	testdb.Must(conn.Exec(t.Context(), `SET quote_all_identifiers = off; SET standard_conforming_strings = on`))(t)
	tables := map[uint32]string{}
	for rows := testdb.Must(conn.Query(t.Context(), `SELECT c.oid, format('%I.%I', n.nspname, c.relname)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname IN ('public', 'brownie') AND c.relkind IN ('r', 'p', 'm') AND c.relname NOT LIKE 'goose%'`))(t); rows.Next(); {
		var oid uint32
		var name string
		if err := rows.Scan(&oid, &name); err != nil {
			t.Fatal(err)
		}
		tables[oid] = name
	}
	tx := testdb.Must(conn.Begin(t.Context()))(t)
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %s", sql, err)
	}
	locks := map[string]string{}
	for rows := testdb.Must(tx.Query(t.Context(), heldSQL))(t); rows.Next(); {
		var oid uint32
		var mode string
		if err := rows.Scan(&oid, &mode); err != nil {
			t.Fatal(err)
		}
		if table := tables[oid]; table != "" && slices.Index(strong, mode) > slices.Index(strong, locks[table]) {
			locks[table] = mode
		}
	}
	return locks
}

// told is what a plan says of its only step.
func told(t *testing.T, engine *migrate.Engine, version int64, down bool) (locks map[string]string, step migrate.Step) {
	t.Helper()
	plan := testdb.Must(engine.Plan(t.Context(), version, down))(t)
	if err := engine.Inspect(t.Context(), &plan); err != nil {
		t.Fatal(err)
	}
	if len(plan.Steps) != 1 {
		t.Fatalf("planned %+v", plan)
	}
	locks = map[string]string{}
	for _, lock := range plan.Steps[0].Locks {
		if mode := lock.Mode.String(); slices.Contains(strong, mode) {
			locks[lock.Table] = mode
		}
	}
	return locks, plan.Steps[0]
}

// What the plan tells of the platform's own migrations is what they really lock, up and down.
func TestLocksOfThePlatformsMigrations(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	engine := platform(t, database)
	whole := testdb.Must(engine.Plan(t.Context(), testdb.Must(engine.Latest())(t), false))(t)
	if err := engine.Inspect(t.Context(), &whole); err != nil || slices.ContainsFunc(whole.Steps,
		func(s migrate.Step) bool { return len(s.Unknown)+len(s.Locks) > 0 }) {
		t.Errorf("on an empty database: %+v, %v", whole, err)
	}
	for _, migration := range testdb.Must(engine.Known())(t) {
		file := string(testdb.Must(fs.ReadFile(migrations.Files, migration.Name))(t))
		_, file, _ = strings.Cut(file, "-- +goose Up\n")
		upSQL, downSQL, _ := strings.Cut(file, "-- +goose Down\n")
		got, step := told(t, engine, migration.Version, false)
		if len(step.Unknown) > 0 {
			t.Errorf("%s: unknown: %v", migration.Name, step.Unknown)
		}
		transaction := !strings.Contains(upSQL, "CONCURRENTLY")
		want := held(t, database, strings.ReplaceAll(upSQL, "CONCURRENTLY", ""))
		if migration.Version == 13 {
			// As strong as an owner needs it who is no superuser, which this test is.
			for table := range want {
				want[table] = "ACCESS EXCLUSIVE"
			}
		}
		if transaction && !maps.Equal(got, want) {
			t.Errorf("%s:\ntold   %v\nlocked %v", migration.Name, got, want)
		}
		up(t, database, migration.Version)
		if migration.Version == 1 {
			continue
		}
		got, _ = told(t, engine, migration.Version-1, true)
		if want := held(t, database, strings.ReplaceAll(downSQL, "CONCURRENTLY", "")); transaction && !maps.Equal(got, want) {
			t.Errorf("%s, down:\ntold   %v\nlocked %v", migration.Name, got, want)
		}
	}
}

const lockTables = `
	CREATE TABLE customers (id int PRIMARY KEY, name text);
	CREATE TABLE orders (id int PRIMARY KEY, customer_id int, note text,
		CONSTRAINT orders_customer_fkey FOREIGN KEY (customer_id) REFERENCES customers);
	CREATE TABLE parcels (order_id int REFERENCES orders);
	CREATE INDEX orders_note_idx ON orders (note);
	CREATE TABLE logs (id int, day date NOT NULL) PARTITION BY RANGE (day);
	CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
	CREATE TABLE logs_2 (id int, day date NOT NULL);
	CREATE TABLE days (day date) PARTITION BY RANGE (day);
	CREATE TABLE day_1 PARTITION OF days FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
	CREATE TABLE day_2 (day date);
	CREATE TABLE day_rest PARTITION OF days DEFAULT;
	CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM orders;
	CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
	CREATE TRIGGER nothing BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION nothing();
	CREATE VIEW names AS SELECT name FROM customers`

func TestLocksOfStatements(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	testdb.Exec(t, database, lockTables)
	for i, sql := range []string{
		`ALTER TABLE orders ADD COLUMN n int`,
		`ALTER TABLE orders ADD COLUMN n int REFERENCES customers`,
		`ALTER TABLE orders DROP COLUMN note`,
		`ALTER TABLE orders ALTER COLUMN note SET NOT NULL`,
		`ALTER TABLE orders ALTER COLUMN note SET STATISTICS 50`,
		`ALTER TABLE orders ALTER COLUMN note TYPE varchar(20)`,
		`ALTER TABLE customers ALTER COLUMN id TYPE bigint`,
		`ALTER TABLE orders DROP COLUMN customer_id`,
		`ALTER TABLE orders SET (fillfactor = 80)`,
		`ALTER TABLE orders ADD CONSTRAINT c CHECK (id > 0)`,
		`ALTER TABLE orders ADD CONSTRAINT c CHECK (id > 0) NOT VALID, VALIDATE CONSTRAINT c`,
		`ALTER TABLE orders VALIDATE CONSTRAINT orders_customer_fkey`,
		`ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES customers NOT VALID`,
		`ALTER TABLE orders DROP CONSTRAINT orders_customer_fkey`,
		`ALTER TABLE orders DISABLE TRIGGER nothing`,
		`ALTER TABLE orders ENABLE ROW LEVEL SECURITY`,
		`ALTER TABLE orders RENAME COLUMN note TO notes`,
		`ALTER TABLE orders RENAME TO purchases`,
		`ALTER INDEX orders_note_idx RENAME TO other_idx`,
		`ALTER TABLE logs ATTACH PARTITION logs_2 FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')`,
		`ALTER TABLE logs DETACH PARTITION logs_1`,
		`CREATE TABLE logs_3 PARTITION OF logs FOR VALUES FROM ('2023-01-01') TO ('2024-01-01')`,
		`DROP TABLE logs_1`,
		`CREATE TABLE day_3 PARTITION OF days FOR VALUES FROM ('2023-01-01') TO ('2024-01-01')`,
		`ALTER TABLE days ATTACH PARTITION day_2 FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')`,
		`ALTER TABLE days DETACH PARTITION day_1`,
		`CREATE PUBLICATION p FOR TABLE orders, customers (id)`,
		`CREATE INDEX i ON orders (customer_id)`,
		`DROP INDEX orders_note_idx`,
		`REINDEX TABLE orders`,
		`DROP TABLE parcels`,
		`DROP MATERIALIZED VIEW totals`,
		`TRUNCATE orders, customers, parcels`,
		`LOCK TABLE orders IN SHARE MODE`,
		`CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION nothing()`,
		`DROP TRIGGER nothing ON orders`,
		`CREATE POLICY p ON orders USING (true)`,
		`CREATE RULE r AS ON DELETE TO orders DO INSTEAD NOTHING`,
		`ALTER TABLE orders SET SCHEMA pg_catalog`,
		`COMMENT ON COLUMN orders.note IS 'x'`,
		`CREATE STATISTICS s ON id, customer_id FROM orders`,
		`CREATE TABLE items (order_id int REFERENCES orders, n int, FOREIGN KEY (n) REFERENCES customers)`,
		`REFRESH MATERIALIZED VIEW totals`,
		`ALTER TABLE orders ADD COLUMN n int CHECK (n > 0) UNIQUE`,
		`CREATE OR REPLACE VIEW names AS SELECT name FROM customers`,
		`CLUSTER orders USING orders_pkey`,
		`UPDATE orders SET note = note`,
		`INSERT INTO customers VALUES (1, 'a')`,
		`GRANT SELECT ON orders TO PUBLIC`,
		`SELECT 1`,
	} {
		files := fstest.MapFS{"0001_x.sql": file(sql + ";")}
		engine := migrate.New(testdb.DB(t, database), migrate.Source{Name: fmt.Sprintf("statement_%d", i), Files: files}, migrate.Options{})
		if sql == `ALTER TABLE orders SET SCHEMA pg_catalog` {
			sql = `CREATE SCHEMA other; ALTER TABLE orders SET SCHEMA other` // so that it can run
			files["0001_x.sql"] = file("CREATE SCHEMA other;\nALTER TABLE orders SET SCHEMA other;")
			engine = migrate.New(testdb.DB(t, database), migrate.Source{Name: fmt.Sprintf("statement_%d", i), Files: files},
				migrate.Options{})
		}
		got, step := told(t, engine, 1, false)
		if want := held(t, database, sql); !maps.Equal(got, want) {
			t.Errorf("%s:\ntold   %v\nlocked %v", sql, got, want)
		}
		if len(step.Unknown) > 0 {
			t.Errorf("%s: unknown %v", sql, step.Unknown)
		}
	}
}

func TestLocksThatTakeLong(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	testdb.Exec(t, database, lockTables)
	testdb.Exec(t, database, `INSERT INTO customers SELECT i, 'x' FROM generate_series(1, 5000) i;
		ALTER TABLE customers ADD CONSTRAINT named CHECK (name IS NOT NULL);
		CREATE TABLE people (id int); ALTER TABLE customers INHERIT people`)
	limit := int64(64 << 10)
	for sql, alternative := range map[string]string{
		`CREATE INDEX i ON customers (name);`:                                                      "CREATE INDEX CONCURRENTLY",
		`ALTER TABLE customers ADD CONSTRAINT c CHECK (id > 0);`:                                   "NOT VALID",
		`ALTER TABLE people ADD CONSTRAINT c CHECK (id > 0);`:                                      "NOT VALID",
		`ALTER TABLE customers ADD CONSTRAINT c UNIQUE (name);`:                                    "USING INDEX",
		`ALTER TABLE customers ALTER COLUMN name TYPE varchar(10);`:                                "another column",
		`ALTER TABLE customers ADD COLUMN n uuid DEFAULT gen_random_uuid();`:                       "without a default",
		"ALTER TABLE customers ADD COLUMN n int;\nUPDATE customers SET n = 1;":                     "of its own",
		`ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES customers;`:                            "NOT VALID",
		`ALTER TABLE customers ALTER COLUMN name SET NOT NULL;`:                                    "",
		`ALTER TABLE customers ADD COLUMN n int DEFAULT 1;`:                                        "",
		`ALTER TABLE customers ADD COLUMN n timestamptz DEFAULT now();`:                            "",
		`ALTER TABLE customers ADD CONSTRAINT c CHECK (id > 0) NOT VALID;`:                         "",
		`ALTER TABLE customers VALIDATE CONSTRAINT named;`:                                         "",
		"UPDATE customers SET name = 'y';\nALTER TABLE orders ADD COLUMN n int;":                   "",
		"CREATE TABLE small (n int);\nCREATE INDEX i ON small (n);":                                "",
		`ALTER TABLE customers ADD COLUMN n uuid DEFAULT gen_random_uuid() CHECK (n IS NOT NULL);`: "without a default",
		`ALTER TABLE customers ADD COLUMN n serial CHECK (n > 0);`:                                 "another column",
		`ALTER TABLE customers ALTER COLUMN id SET NOT NULL;`: "CHECK (column IS " +
			"NOT NULL)",
		`ALTER TABLE customers ADD COLUMN n text DEFAULT lower(gen_random_uuid()::text);`:                      "without a default",
		"CREATE TABLE baskets (customer_id int REFERENCES customers);\nCREATE INDEX ON baskets (customer_id);": "",
		"ALTER TABLE customers DROP COLUMN name;\nCREATE INDEX j ON orders (note);":                            "of its own",
	} {
		engine := migrate.New(testdb.DB(t, database), migrate.Source{Name: "app", Files: fstest.MapFS{"0001_x.sql": file(sql)}},
			migrate.Options{MaxLockedBytes: &limit})
		plan := testdb.Must(engine.Plan(t.Context(), 1, false))(t)
		err := engine.Inspect(t.Context(), &plan)
		var budget *migrate.BudgetError
		if refused := errors.As(err, &budget); refused != (alternative != "") || err != nil && !refused {
			t.Errorf("%s: got %v", sql, err)
		} else if refused && (!strings.Contains(err.Error(), alternative) ||
			!regexp.MustCompile("public.(customers|people), of ").MatchString(err.Error())) {
			t.Errorf("%s: the message is %s", sql, err)
		}
	}
}

func TestUnknownLocks(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	testdb.Exec(t, database, lockTables)
	for sql, unknown := range map[string]int{
		"-- +goose StatementBegin\nDO $$ BEGIN DROP TABLE orders; END $$;\n-- +goose StatementEnd": 1,
		"SELECT move_rows();":                                                      1,
		"SELECT set_config('a.b', 'c', true), lower('A');":                         0,
		"SELECT brownie.isolate_table('orders');":                                  0,
		"SELECT brownie.isolate_table(name) FROM tables;":                          1,
		"-- +goose StatementBegin\nREINDEX SCHEMA public;\n-- +goose StatementEnd": 1,
		"-- brownie:locks SHARE items\nCREATE TABLE order_items (n int);":          1,
		"-- brownie:locks SHARE public.items\nCREATE TABLE public.items (n int);":  0,
		"-- brownie:locks SHARE missing, orders\nCREATE TABLE made (n int);\n-- brownie:locks SHARE " +
			"made,": 1,
		"-- brownie:locks ACCESS EXCLUSIVE orders, public.customers\n-- +goose StatementBegin\nDO $$ BEGIN DROP TABLE orders; END " +
			"$$;\n-- +goose StatementEnd": 0,
	} {
		locks, step := told(t, newEngine(t, database, fstest.MapFS{"0001_x.sql": file(sql)}), 1, false)
		if len(step.Unknown) != unknown {
			t.Errorf("%s: unknown %v", sql, step.Unknown)
		}
		if strings.Contains(sql, "brownie:locks ACCESS") && !maps.Equal(locks,
			map[string]string{"public.orders": "ACCESS EXCLUSIVE", "public.customers": "ACCESS EXCLUSIVE"}) {
			t.Errorf("declared locks are told as %v", locks)
		}
	}
}

// What the provider's own function locks is known.
func TestLocksOfIsolateTable(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	testdb.Exec(t, database, `CREATE TABLE notes (id int PRIMARY KEY, organization_id uuid NOT NULL REFERENCES organizations)`)
	for i, sql := range []string{
		`SELECT brownie.isolate_table('public.notes')`, `SELECT brownie.isolate_table('public.notes'::regclass, 'organization_id')`,
		`SELECT brownie.hide_statistics('public.notes')`,
	} {
		engine := migrate.New(testdb.DB(t, database), migrate.Source{
			Name: fmt.Sprintf("isolate_%d", i), Files: fstest.MapFS{"0001_x.sql": file(sql + ";")},
		}, migrate.Options{})
		got, step := told(t, engine, 1, false)
		want := held(t, database, sql)
		want["public.notes"] = "ACCESS EXCLUSIVE" // as strong as an owner needs it who is no superuser
		if !maps.Equal(got, want) || len(step.Unknown) > 0 {
			t.Errorf("%s:\ntold   %v, unknown %v\nlocked %v", sql, got, step.Unknown, want)
		}
	}
}

// What rearranges all tables is not known to lock nothing.
func TestStatementsForAllTables(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	testdb.Exec(t, database, lockTables)
	for sql, want := range map[string]string{
		"VACUUM (FULL) orders;":                    "ACCESS EXCLUSIVE",
		"VACUUM (FULL false) orders;":              "SHARE UPDATE EXCLUSIVE",
		"VACUUM (FULL off) orders;":                "SHARE UPDATE EXCLUSIVE",
		"VACUUM (FULL 0) orders;":                  "SHARE UPDATE EXCLUSIVE",
		"VACUUM (FULL true) orders;":               "ACCESS EXCLUSIVE",
		"VACUUM FULL orders;":                      "ACCESS EXCLUSIVE",
		"VACUUM orders;":                           "SHARE UPDATE EXCLUSIVE",
		"VACUUM FULL;":                             "unknown",
		"VACUUM;":                                  "",
		"CLUSTER;":                                 "unknown",
		"REINDEX DATABASE CONCURRENTLY;":           "",
		"REINDEX SCHEMA public;":                   "unknown",
		"REINDEX (CONCURRENTLY off) TABLE orders;": "SHARE",
	} {
		text := "-- +goose NO TRANSACTION\n-- +goose Up\n" + sql + "\n"
		locks, step := told(t, newEngine(t, database, fstest.MapFS{"0001_x.sql": {Data: []byte(text)}}), 1, false)
		got := locks["public.orders"]
		if len(step.Unknown) > 0 {
			got = "unknown"
		}
		if got != want {
			t.Errorf("%s: told %q, want %q: %v", sql, got, want, step.Unknown)
		}
	}
}

// A server that is newer than the parser is asked about what the parser does not know.
func TestSyntaxOfANewerServer(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	newer := testdb.Value[bool](t, database, `SELECT current_setting('server_version_num')::int >= 180000`)
	for sql, known := range map[string]bool{
		`CREATE TABLE sums (a int, b int GENERATED ALWAYS AS (a + 1) VIRTUAL);`:   newer, // since PostgreSQL 18
		`CREATE TABLE sums (a int, b int GENERATED ALWAYS AS (a + 1) SOMETIMES);`: false,
	} {
		engine := newEngine(t, database, fstest.MapFS{"0001_x.sql": file(sql)})
		plan := testdb.Must(engine.Plan(t.Context(), 1, false))(t)
		err := engine.Inspect(t.Context(), &plan)
		var bad *migrate.BadFileError
		if known && (err != nil || len(plan.Steps[0].Unknown) != 1) || !known && (!errors.As(err, &bad) || bad.Line != 2) {
			t.Errorf("%s: got %v, %v", sql, err, plan.Steps[0].Unknown)
		}
		if testdb.Value[bool](t, database, `SELECT to_regclass('sums') IS NOT NULL`) {
			t.Errorf("%s was run", sql)
		}
	}
}

// What cannot run, or would leave a transaction open, is refused in the plan.
func TestRefusedStatements(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	for sql, says := range map[string]string{
		"-- +goose Up\nCOPY data FROM STDIN;\n":                                  "line 2: COPY … FROM stdin",
		"-- +goose NO TRANSACTION\n-- +goose Up\nBEGIN;\nSELECT 1;\n":            "line 3: a migration begins and ends no transaction itself",
		"-- +goose Up\nSELECT 1;\nCOMMIT;\n":                                     "line 3: a migration begins and ends no transaction itself",
		"-- +goose Up\nCREATE INDEX CONCURRENTLY i ON data (n);\n":               "cannot run in a transaction",
		"-- brownie:locks SHARE EXCLUSIVE data\n-- +goose Up\nSELECT 1;\n":       "is no lock mode",
		"-- +goose Up\nSAVEPOINT a;\nRELEASE a;\nROLLBACK;\n":                    "line 4: a migration begins and ends no transaction itself",
		"-- +goose Up\nSAVEPOINT a;\nROLLBACK TO a;\nPREPARE TRANSACTION 'x';\n": "line 4: a migration begins and ends no transaction itself",
	} {
		engine := newEngine(t, database, fstest.MapFS{"0001_x.sql": {Data: []byte(sql)}})
		plan := testdb.Must(engine.Plan(t.Context(), 1, false))(t)
		var bad *migrate.BadFileError
		if err := engine.Inspect(t.Context(), &plan); !errors.As(err, &bad) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v", sql, err)
		}
	}
}
