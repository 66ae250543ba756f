package access_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

// tenantAdmin is a session of the admin of one of two tenants, whose rows are alike but for their IDs.
type tenantAdmin struct {
	database   string
	conn       *pgx.Conn
	own, other map[string]string // the IDs, by table
}

func newTenantAdmin(t *testing.T) tenantAdmin {
	t.Helper()
	a := tenantAdmin{database: testdb.Migrated(t, testdb.Certificates)}
	fill := func(slug string) map[string]string {
		ids := map[string]string{"organizations": newOrganization(t, a.database, slug)}
		ids["teams"] = testdb.Value[string](t, a.database, `SELECT id::text FROM teams WHERE organization_id = $1`, ids["organizations"])
		ids["users"] = testdb.Value[string](t, a.database, `INSERT INTO users (organization_id, team_id, email, username)
			VALUES ($1, $2, $3 || '@example.com', $3) RETURNING id::text`, ids["organizations"], ids["teams"], slug)
		ids["incidents"] = testdb.Value[string](t, a.database, `INSERT INTO incidents (organization_id, team_id, title, idempotency_key)
			VALUES ($1, $2, 'secret of ' || $3, 'key of ' || $3) RETURNING id::text`, ids["organizations"], ids["teams"], slug)
		return ids
	}
	a.own, a.other = fill("acme"), fill("globex")
	testdb.Exec(t, a.database, `INSERT INTO incidents (organization_id, team_id, title) SELECT organization_id, team_id, title FROM `+
		`incidents, generate_series(1, 500)`)
	testdb.Exec(t, a.database, `ANALYZE`)
	organization := a.own["organizations"]
	role := testdb.Must(access.New(testdb.DB(t, a.database)).CreateRole(t.Context(),
		newRole(t, a.database, "acme-admin", "admin", &organization)))(t)
	a.conn = login(t, a.database, role.Name)
	return a
}

func TestWhatATenantAdminMayDo(t *testing.T) {
	t.Parallel()
	a := newTenantAdmin(t)
	for _, sql := range []string{
		`UPDATE organizations SET description = 'ours', settings = '{}', config_json = '{}'`,
		`INSERT INTO teams (organization_id, name, slug) SELECT id, 'new', 'new' FROM organizations`,
		`INSERT INTO users (organization_id, team_id, email, username) SELECT organization_id, id, 'new@example.com', 'new' FROM ` +
			`teams LIMIT 1`,
		`INSERT INTO configs (organization_id, name, config_type) SELECT id, 'new', 'TEAM' FROM organizations`,
		`INSERT INTO agent_configs (organization_id, team_id, name, agent_type) SELECT organization_id, id, 'new', 'CUSTOM' FROM teams`,
		`INSERT INTO stats (organization_id, metric_name, metric_type, value) SELECT id, 'new', 'gauge', 1 FROM organizations`,
		`INSERT INTO incidents (organization_id, team_id, title, idempotency_key) SELECT organization_id, id, 'new', 'key of globex' ` +
			`FROM teams LIMIT 1`,
		`UPDATE incidents SET assigned_to = (SELECT id FROM users LIMIT 1) WHERE title = 'new'`,
		`DELETE FROM incidents WHERE title = 'new'`,
		`DELETE FROM users WHERE username = 'new'`,
		`DELETE FROM teams WHERE slug = 'new'`,
	} {
		if tag, err := a.conn.Exec(t.Context(), sql); err != nil || tag.RowsAffected() == 0 {
			t.Errorf("%s: %s, %v", sql, tag, err)
		}
	}
	if rows := testdb.Value[int](t, a.database, `SELECT count(*) FROM incidents WHERE organization_id = $1`,
		a.other["organizations"]); rows != 501 {
		t.Errorf("the other tenant has %d incidents now", rows)
	}
}

func TestWhatATenantAdminMayNotDo(t *testing.T) {
	t.Parallel()
	a := newTenantAdmin(t)
	for _, sql := range []string{
		`UPDATE organizations SET max_teams = 1000`,
		`UPDATE organizations SET max_users_per_team = 1000`,
		`UPDATE organizations SET name = 'Globex'`,
		`UPDATE organizations SET slug = 'globex'`,
		`UPDATE organizations SET is_active = true`,
		`INSERT INTO organizations (name, slug) VALUES ('globex', 'globex')`,
		`DELETE FROM organizations`,
		`TRUNCATE incidents`,
		`SELECT * FROM brownie.role_bindings`,
		`INSERT INTO brownie.role_bindings (role_name, access) VALUES ('x', 'admin')`,
		`UPDATE brownie.role_bindings SET organization_id = NULL`,
		`SELECT * FROM brownie.organization_options`,
		`SELECT * FROM brownie.goose_db_version`,
		`SELECT * FROM brownie.pooler_lookup('postgres')`,
		`SELECT brownie.isolate_table('public.incidents')`,
		`CREATE POLICY mine ON incidents USING (true)`,
		`ALTER POLICY tenant ON incidents USING (true)`,
		`DROP POLICY tenant ON incidents`,
		`ALTER TABLE incidents DISABLE ROW LEVEL SECURITY`,
		`ALTER TABLE incidents NO FORCE ROW LEVEL SECURITY`,
		`CREATE TRIGGER t AFTER INSERT ON incidents FOR EACH ROW EXECUTE FUNCTION brownie.set_updated_at()`,
		`CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
		`CREATE TABLE public.mine ()`,
		`CREATE ROLE mine`,
		`SET ROLE brownie_all_tenants`,
		`SET ROLE brownie_admin`,
		`SET SESSION AUTHORIZATION postgres`,
		`SET row_security = off; SELECT * FROM incidents`,
		`SELECT * FROM pg_statistic`,
		`COPY incidents TO PROGRAM 'cat'`,
		`SELECT password_hash FROM users`,
		`CREATE TEMPORARY TABLE mine ()`,
		`SELECT lo_from_bytea(0, 'mine')`,
	} {
		_, err := a.conn.Exec(t.Context(), sql)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s: %v", sql, err)
		}
		_, _ = a.conn.Exec(t.Context(), `RESET row_security`)
	}
	var refused *pgconn.PgError
	if _, err := a.conn.Exec(t.Context(), `UPDATE brownie.current_binding SET organization_id = NULL`); !errors.As(err, &refused) ||
		refused.Code != "55000" {
		t.Errorf("the binding view was changed: %v", err)
	}
}

// What the server answers about another tenant's row is what it answers about a row that does not exist.
func TestAnswersDoNotRevealOtherTenants(t *testing.T) {
	t.Parallel()
	a := newTenantAdmin(t)
	nobody := map[string]string{}
	for table := range a.other {
		nobody[table] = uuid.NewString()
	}
	for _, sql := range []string{
		`SELECT 1 FROM incidents WHERE id = '{incidents}'`,
		`SELECT 1 FROM organizations WHERE id = '{organizations}'`,
		`INSERT INTO incidents (organization_id, team_id, title) VALUES ('{organizations}', '{teams}', 'x')`,
		`INSERT INTO incidents (organization_id, team_id, title) VALUES ('{own}', '{teams}', 'x')`,
		`INSERT INTO incidents (organization_id, team_id, title, assigned_to) SELECT organization_id, id, 'x', '{users}' FROM teams`,
		`INSERT INTO incidents (organization_id, team_id, title, created_by) SELECT organization_id, id, 'x', '{users}' FROM teams`,
		`INSERT INTO users (organization_id, team_id, email, username) VALUES ('{own}', '{teams}', 'x@x.example', 'x')`,
		`INSERT INTO users (organization_id, org_id, team_id, email, username) SELECT organization_id, '{organizations}', id, ` +
			`'x@x.example', 'x' FROM teams`,
		`INSERT INTO configs (organization_id, team_id, name, config_type) VALUES ('{own}', '{teams}', 'x', 'TEAM')`,
		`INSERT INTO agent_configs (organization_id, team_id, name, agent_type) VALUES ('{own}', '{teams}', 'x', 'CUSTOM')`,
		`INSERT INTO stats (organization_id, team_id, metric_name, metric_type, value) VALUES ('{own}', '{teams}', 'x', 'x', 1)`,
		`INSERT INTO teams (organization_id, name, slug) VALUES ('{organizations}', 'core', 'core')`,
		`UPDATE incidents SET team_id = '{teams}'`,
		`UPDATE incidents SET organization_id = '{organizations}'`,
		`UPDATE incidents SET org_id = '{organizations}'`,
		`UPDATE users SET team_id = '{teams}'`,
		`DELETE FROM incidents WHERE id = '{incidents}'`,
		`MERGE INTO incidents i USING (SELECT '{incidents}'::uuid AS id) AS s ON i.id = s.id WHEN MATCHED THEN DELETE WHEN NOT ` +
			`MATCHED THEN DO NOTHING`,
	} {
		existing, missing := a.answer(t, sql, a.other), a.answer(t, sql, nobody)
		if existing != missing {
			t.Errorf("%s:\n  a row of another tenant: %s\n  no row at all:           %s", sql, existing, missing)
		}
	}
	for _, sql := range []string{
		`SELECT count(*) FROM pg_stats WHERE schemaname IN ('public', 'brownie')`,
		`SELECT count(*) FROM pg_sequences WHERE last_value IS NOT NULL`,
		`SELECT count(*) FROM incidents WHERE title LIKE '%globex%'`,
	} {
		var rows int
		if err := a.conn.QueryRow(t.Context(), sql).Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%s: %d, %v", sql, rows, err)
		}
	}
}

// A plan shows how it finds the own rows, and no value of another tenant.
func TestPlansShowNoValuesOfOthers(t *testing.T) {
	t.Parallel()
	a := newTenantAdmin(t)
	for _, sql := range []string{
		`EXPLAIN (VERBOSE, ANALYZE) SELECT * FROM incidents ORDER BY created_at DESC LIMIT 20`,
		`EXPLAIN (VERBOSE, ANALYZE) SELECT title, count(*) FROM incidents WHERE title LIKE 'secret%' GROUP BY title`,
		`EXPLAIN (VERBOSE, ANALYZE) SELECT u.email, t.*, o.* FROM users u JOIN teams t ON t.id = u.team_id JOIN organizations o ON ` +
			`o.id = t.organization_id`,
	} {
		plan := a.answer(t, sql, nil)
		for table, id := range a.other {
			if strings.Contains(plan, id) || strings.Contains(plan, "globex") {
				t.Errorf("%s shows something of another tenant's %s: %s", sql, table, plan)
			}
		}
		if !strings.Contains(plan, "current_binding") {
			t.Errorf("%s: no policy in the plan: %s", sql, plan)
		}
	}
}

// An estimate for a value that only the other tenant has is the one for a value that nobody has. The cross join makes
// it precise.
func TestEstimatesTellNoValuesOfOthers(t *testing.T) {
	t.Parallel()
	a := newTenantAdmin(t)
	testdb.Exec(t, a.database, `INSERT INTO users (organization_id, team_id, email, username, password_hash)
		SELECT organization_id, id, 'user' || i || '@globex.example', 'user' || i, md5(i::text) FROM teams, generate_series(1, 200) i
			WHERE id = $1`, a.other["teams"])
	testdb.Exec(t, a.database, `ANALYZE`)
	estimate := func(table, condition string) string {
		return a.answer(t, `EXPLAIN SELECT FROM `+table+` CROSS JOIN generate_series(1, 1000000) WHERE `+condition, nil)
	}
	for _, columns := range []struct {
		table, column, existing, missing string
		operators                        []string
	}{
		{"users", "password_hash", "c4ca4238a0b923820dcc509a6f75849b", "d4ca4238a0b923820dcc509a6f75849b", []string{"=", "<", ">=", "^@"}},
		{"users", "email", "user7@globex.example", "user7@nobody.example", []string{"=", "<", "^@"}},
		{"users", "team_id", a.other["teams"], uuid.NewString(), []string{"="}},
		{"users", "team_id", uuid.Nil.String(), uuid.Max.String(), []string{"<", ">="}},
		{"incidents", "title", "secret of globex", "secret of nobody", []string{"=", "<", "^@"}},
		{"incidents", "organization_id", a.other["organizations"], uuid.NewString(), []string{"="}},
		{"incidents", "organization_id", uuid.Nil.String(), uuid.Max.String(), []string{"<", ">="}},
		{"organizations", "slug", "globex", "nobody", []string{"=", "<", "^@"}},
		{"organizations", "max_teams", "50", "77777", []string{"=", "<", ">"}},
	} {
		for _, operator := range columns.operators {
			condition := columns.column + " " + operator
			existing := estimate(columns.table, condition+" '"+columns.existing+"'")
			missing := strings.ReplaceAll(estimate(columns.table, condition+" '"+columns.missing+"'"), columns.missing, columns.existing)
			if existing != missing {
				t.Errorf("%s.%s:\n  existing: %s\n  missing:  %s", columns.table, condition, existing, missing)
			}
		}
	}
}

// answer is everything that a statement tells, with the IDs that were asked about left out.
func (a tenantAdmin) answer(t *testing.T, sql string, ids map[string]string) string {
	t.Helper()
	names := []string{"{own}", a.own["organizations"]}
	var hide []string
	for table, id := range ids {
		names = append(names, "{"+table+"}", id)
		hide = append(hide, id, "("+table+")")
	}
	results, err := a.conn.PgConn().Exec(t.Context(), strings.NewReplacer(names...).Replace(sql)).ReadAll()
	var text strings.Builder
	for _, result := range results {
		text.WriteString(result.CommandTag.String() + " ")
		for _, row := range result.Rows {
			for _, value := range row {
				text.Write(value)
			}
		}
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		text.WriteString(refused.Code + " " + refused.Message + " " + refused.Detail + " " + refused.Hint + " " + refused.ConstraintName)
	}
	return strings.NewReplacer(hide...).Replace(text.String())
}

// Every policy finds its rows by an index that begins with the tenant, and so will those of tables to come.
func TestTenantTablesHaveIndexesAndPrivileges(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	if missing := testdb.Value[string](t, database, `
		SELECT coalesce(string_agg(c.relname, ', '), '') FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname =
			'organization_id'
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT EXISTS (
			SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indnatts > 1 AND i.indkey[0] =
				a.attnum)`); missing != "" {
		t.Errorf("no composite index begins with organization_id in %s", missing)
	}
	testdb.Exec(t, database, `CREATE TABLE later (organization_id uuid)`)
	for group, want := range map[string]string{
		"brownie_reader": "SELECT", "brownie_writer": "DELETE, INSERT, SELECT, UPDATE", "brownie_admin": "DELETE, INSERT, SELECT, UPDATE",
		"brownie_backup": "SELECT", "brownie_monitor": "", "brownie_pooler": "", "brownie_pooled": "", "brownie_all_tenants": "",
	} {
		if got := testdb.Value[string](t, database, `SELECT coalesce(string_agg(p, ', ' ORDER BY p), '')
			FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p
			WHERE has_table_privilege($1, 'later', p)`, group); got != want {
			t.Errorf("%s may %s a later table, want %s", group, got, want)
		}
	}
}
