package access_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

// probe is a condition that holds for a row of another tenant, and one that holds for no row but is written alike.
type probe struct{ table, holds, fails string }

// probes are conditions that the planner calls leakproof and cheap, on each kind of column.
func probes(a tenantAdmin) []probe {
	var all []probe
	for _, column := range []struct{ table, name, existing, missing, below, above string }{
		{"incidents", "title", "secret of globex", "secret of nobody", "secret of glob", "secret of globf"},
		{"incidents", "description", "deep secret", "deep sorrow", "deep s", "deep sf"},
		{"incidents", "response_time_minutes", "4711", "4712", "4710", "4713"},
		{"incidents", "team_id", a.other["teams"], "00000000-0000-4000-8000-000000000000", a.other["teams"][:35] + "0", a.other["teams"]},
		{"incidents", "started_at", "2020-02-02 02:02:02Z", "2020-02-02 02:02:03Z", "2020-02-02 02:02:01Z", "2020-02-02 02:02:02.5Z"},
		{"organizations", "description", "of globex", "of nobody", "of glob", "of globf"},
		{"users", "full_name", "Grace Globex", "Grace Nobody", "Grace G", "Grace H"},
	} {
		if column.below == column.above {
			column.above = "ffffffff-ffff-ffff-ffff-ffffffffffff"
		}
		literal := func(value string) string { return "'{" + `"` + value + `"` + "}'" }
		all = append(all,
			probe{column.table, column.name + " = ANY (" + literal(column.existing) + ")", column.name + " = ANY (" +
				literal(column.missing) + ")"},
			probe{
				column.table, fmt.Sprintf("%s > ANY (%s) AND %[1]s < ANY (%s)", column.name, literal(column.below), literal(column.above)),
				fmt.Sprintf("%s > ANY (%s) AND %[1]s < ANY (%s)", column.name, literal(column.above), literal(column.above)),
			})
	}
	return append(all,
		// Only the other tenant has a description, a user who is verified, and tags.
		probe{"incidents", "description IS NOT NULL", "closed_at IS NOT NULL"},
		probe{"incidents", "tags IS NOT NULL", "incident_metadata IS NOT NULL"},
		probe{"incidents", "started_at IS NOT NULL", "closed_at IS NOT NULL"},
		probe{"users", "is_verified", "deleted_at IS NOT NULL"},
		probe{"users", "is_verified IS TRUE", "deleted_at IS NOT NULL"},
		// Subscripts cost the planner nothing.
		probe{"incidents", `('{"secret of globex": 1}'::jsonb)[title] IS NOT NULL`, `('{"secret of nobody": 1}'::jsonb)[title] IS NOT ` +
			`NULL`},
		probe{"incidents", `('[4711:4711]={t}'::bool[])[response_time_minutes]`, `('[4712:4712]={t}'::bool[])[response_time_minutes]`},
	)
}

// newProbedTenants returns a session of the reader of one tenant; the other tenant has values that nobody else has.
func newProbedTenants(t *testing.T) tenantAdmin {
	t.Helper()
	a := newTenantAdmin(t)
	testdb.WritesPlainly(t, a.database)
	testdb.Exec(t, a.database, `UPDATE incidents SET description = 'deep secret', response_time_minutes = 4711, started_at = `+
		`'2020-02-02 02:02:02Z', tags = '[]' WHERE id = $1`, a.other["incidents"])
	testdb.Exec(t, a.database, `UPDATE organizations SET description = 'of globex' WHERE id = $1`, a.other["organizations"])
	testdb.Exec(t, a.database, `UPDATE users SET full_name = 'Grace Globex', is_verified = true, password_hash = 'hash of globex' `+
		`WHERE id = $1`, a.other["users"])
	testdb.Exec(t, a.database, `INSERT INTO users (organization_id, team_id, email, username) SELECT organization_id, id, 'u' || i || `+
		`slug || organization_id, 'u' || i || slug || organization_id FROM teams, generate_series(1, 50) i`)
	testdb.Exec(t, a.database, `ANALYZE`)
	organization := a.own["organizations"]
	role := testdb.Must(access.New(testdb.DB(t, a.database)).CreateRole(t.Context(),
		newRole(t, a.database, "acme-reader", "reader", &organization)))(t)
	a.conn = login(t, a.database, role.Name)
	return a
}

// What EXPLAIN ANALYZE counts, and whether a sub-select beside a condition is reached, is the same whether the condition
// holds for a row of another tenant or for none: the policy comes first, however the planner is set and the query written.
func TestConditionsRunAfterThePolicy(t *testing.T) {
	t.Parallel()
	a := newProbedTenants(t)
	shapes := map[string]string{
		"plain": `SELECT 1 FROM TABLE WHERE CONDITION`,
		"lazy sub-select": `SELECT 1 FROM TABLE WHERE CASE WHEN CONDITION THEN (SELECT set_config('probe.reached', 'yes', false)) IS ` +
			`NULL ELSE false END`,
		"or": `SELECT 1 FROM TABLE WHERE (CONDITION) AND ((SELECT set_config('probe.reached', 'yes', false)) IS NULL OR ` +
			`(CONDITION))`,
		"union all": `SELECT 1 FROM (SELECT * FROM TABLE UNION ALL SELECT * FROM TABLE) AS TABLE WHERE CASE WHEN CONDITION THEN ` +
			`(SELECT set_config('probe.reached', 'yes', false)) IS NULL ELSE false END`,
		"lateral": `SELECT 1 FROM generate_series(1, 2) g, LATERAL (SELECT 1 FROM TABLE WHERE CASE WHEN CONDITION THEN ` +
			`(SELECT set_config('probe.reached', 'yes', false)) IS NULL ELSE false END AND g > 0 OFFSET 0) AS s`,
		// Equalities are merged into classes, whose members are then compared with the policy's own value.
		"merged": `SELECT 1 FROM TABLE WHERE (CASE WHEN CONDITION THEN REACHED END) = (CASE WHEN TENANT IS NOT NULL THEN TENANT END)
			AND (CASE WHEN TENANT IS NOT NULL THEN TENANT END) = TENANT`,
		"merged in a join": `SELECT 1 FROM teams tenants JOIN TABLE ON tenants.organization_id = CASE WHEN CONDITION THEN REACHED END`,
		"for update of it": `SELECT 1 FROM TABLE WHERE CONDITION ORDER BY 1 LIMIT 1`,
	}
	settings := map[string][]string{
		"sequential scans": {"enable_indexscan", "enable_bitmapscan", "enable_indexonlyscan"},
		"index scans":      {"enable_seqscan", "enable_bitmapscan"},
		"bitmap scans":     {"enable_seqscan", "enable_indexscan", "enable_indexonlyscan"},
		"costs of nothing": {"cpu_operator_cost", "cpu_tuple_cost", "seq_page_cost"},
	}
	for scans, off := range settings {
		for _, setting := range off {
			value := map[bool]string{true: "0", false: "off"}[strings.HasSuffix(setting, "cost")]
			if _, err := a.conn.Exec(t.Context(), `SELECT set_config($1, $2, false)`, setting, value); err != nil {
				t.Fatal(err)
			}
		}
		for shape, query := range shapes {
			for _, p := range probes(a) {
				users := strings.ReplaceAll(query, "SELECT * FROM TABLE", "SELECT title, description, response_time_minutes, team_id, "+
					"started_at, tags, closed_at, incident_metadata FROM TABLE")
				switch p.table {
				case "users":
					users = strings.ReplaceAll(query, "SELECT * FROM TABLE", "SELECT full_name, is_verified, deleted_at FROM TABLE")
				case "organizations":
					users = query
				}
				holds, fails := a.told(t, users, p.table, p.holds), a.told(t, users, p.table, p.fails)
				if holds != fails {
					t.Errorf("%s, %s, %s:\n%s\nfor a row of another tenant:\n%s\nfor no row:\n%s", scans, shape, p.table, p.holds, holds,
						fails)
				}
				if strings.Contains(holds, "reached") {
					t.Errorf("%s, %s, %s: %s is evaluated for rows of another tenant", scans, shape, p.table, p.holds)
				}
			}
		}
		if _, err := a.conn.Exec(t.Context(), `RESET ALL`); err != nil {
			t.Fatal(err)
		}
	}
}

// qualified is a condition with its table's name in front of columns that other tables have, too.
func qualified(table, condition string) string {
	return regexp.MustCompile(`\b(description|team_id)\b`).ReplaceAllStringFunc(condition, func(column string) string {
		if table == "" {
			return column
		}
		return table + "." + column
	})
}

// told is what EXPLAIN ANALYZE of a query tells without the condition itself, and what its sub-select left.
func (a tenantAdmin) told(t *testing.T, query, table, condition string) string {
	t.Helper()
	if _, err := a.conn.Exec(t.Context(), `SELECT set_config('probe.reached', '', false)`); err != nil {
		t.Fatal(err)
	}
	tenant := map[bool]string{true: "id", false: table + ".organization_id"}[table == "organizations"]
	sql := `EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) ` + strings.NewReplacer("TABLE", table, "TENANT", tenant,
		"CONDITION", qualified(table, condition), "REACHED", `(SELECT CASE WHEN set_config('probe.reached', 'yes', false) <> '' THEN `+
			`gen_random_uuid() END)`).Replace(query)
	rows, err := a.conn.Query(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %s", sql, err)
	}
	var plan strings.Builder
	for _, line := range lines {
		name, _, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if name == "Filter" || strings.HasSuffix(name, " Cond") || strings.HasSuffix(name, "Filter") && !strings.Contains(line, "Rows "+
			"Removed") {
			continue // It repeats the condition.
		}
		if strings.Contains(line, "Index Searches") {
			continue // It follows from the number of values in the condition.
		}
		plan.WriteString(line + "\n")
	}
	var reached string
	if err := a.conn.QueryRow(t.Context(), `SELECT current_setting('probe.reached')`).Scan(&reached); err != nil {
		t.Fatal(err)
	}
	if reached != "" {
		plan.WriteString("reached")
	}
	return plan.String()
}

// Nobody sees more than the own row of the bindings, whatever the condition.
func TestTheBindingViewHidesOtherRoles(t *testing.T) {
	t.Parallel()
	a := newProbedTenants(t)
	for _, condition := range []string{
		"organization_id = ANY ('{" + a.other["organizations"] + "}')", "access = ANY ('{admin}')",
		"organization_id IS NOT NULL AND access = ANY ('{admin}')",
	} {
		if told := a.told(t, `SELECT 1 FROM brownie.current_binding WHERE CASE WHEN CONDITION THEN (SELECT `+
			`set_config('probe.reached', 'yes', false)) IS NULL ELSE false END`, "", condition); strings.Contains(told, "reached") {
			t.Errorf("%s is evaluated for other roles' rows", condition)
		}
	}
}

// Tenants have no index that finds rows of others, and service roles have those that they search by.
func TestIndexesBeginWithTheTenant(t *testing.T) {
	t.Parallel()
	a := newProbedTenants(t)
	if others := testdb.Value[string](t, a.database, `
		SELECT coalesce(string_agg(indexrelid::regclass::text, ', '), '') FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
		WHERE c.relnamespace = 'public'::regnamespace AND pg_get_indexdef(indexrelid, 1, true) <> 'organization_id' AND c.relname <>
			'alembic_version'
			AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conname IN ('organizations_pkey',
				'organizations_name_key', 'organizations_slug_key',
				'teams_pkey', 'users_pkey', 'users_email_key', 'users_username_key', 'users_oidc_subject_key', 'agent_configs_pkey',
					'configs_pkey', 'incidents_pkey', 'stats_pkey'))
			AND pg_get_expr(i.indpred, i.indrelid) IS DISTINCT FROM '(organization_id OPERATOR(brownie_service.>=) '
				'''00000000-0000-0000-0000-000000000000''::uuid)'`); others != "" {
		t.Errorf("these do not begin with organization_id: %s", others)
	}
	_, err := a.conn.Exec(t.Context(), `SELECT FROM incidents WHERE organization_id OPERATOR(brownie_service.>=) organization_id`)
	if err == nil || !strings.Contains(err.Error(), "permission denied for schema brownie_service") {
		t.Errorf("a tenant speaks of the service roles' indexes: %v", err)
	}

	testdb.Exec(t, a.database, `INSERT INTO stats (organization_id, metric_name, metric_type, value) SELECT id, 'm' || i, 'gauge', i `+
		`FROM organizations, generate_series(1, 500) i`)
	testdb.Exec(t, a.database, `INSERT INTO configs (organization_id, name, config_type) SELECT id, 'c' || i, 'TEAM' FROM `+
		`organizations, generate_series(1, 500) i`)
	testdb.Exec(t, a.database, `ANALYZE`)
	server := testdb.Must(access.New(testdb.DB(t, a.database)).CreateRole(t.Context(), newRole(t, a.database, "server", "admin", nil)))(t)
	conn := login(t, a.database, server.Name)
	if _, err := conn.Exec(t.Context(), `SET enable_seqscan = off`); err != nil {
		t.Fatal(err)
	}
	for search, index := range map[string]string{
		"incidents WHERE team_id = '" + a.other["teams"] + "'": "incidents_team_id_service_idx", "incidents WHERE assigned_to = '" +
			a.other["users"] + "'": "incidents_assigned_to_service_idx",
		"incidents WHERE idempotency_key = 'key of globex'": "incidents_idempotency_key_service_idx",
		"users WHERE email = 'x'":                           "users_email_key",
		"users WHERE team_id = '" + a.other["teams"] + "'":  "users_team_id_service_idx",
		"stats ORDER BY timestamp DESC LIMIT 10":            "stats_timestamp_service_idx",
		"stats WHERE metric_name = 'x'":                     "stats_metric_name_service_idx",
		"configs WHERE status = 'ACTIVE'":                   "configs_status_service_idx",
		"organizations WHERE slug = 'globex'":               "organizations_slug_key", "teams WHERE org_id = '" +
			a.other["organizations"] + "'": "teams_org_id_service_idx",
	} {
		rows, err := conn.Query(t.Context(), `EXPLAIN SELECT * FROM `+search)
		if err != nil {
			t.Fatal(err)
		}
		plan := strings.Join(testdb.Must(pgx.CollectRows(rows, pgx.RowTo[string]))(t), "\n")
		if !strings.Contains(plan, index) {
			t.Errorf("a service role searches %s without %s:\n%s", search, index, plan)
		}
	}
}

// Where a superuser migrated, the counters that tell whether an index found a row are taken from everybody.
func TestCountersTellTenantsNothing(t *testing.T) {
	t.Parallel()
	a := newProbedTenants(t)
	for _, sql := range []string{
		`SELECT pg_stat_get_xact_tuples_fetched('users'::regclass)`, `SELECT pg_stat_get_tuples_fetched('users'::regclass)`, `SELECT ` +
			`pg_stat_get_numscans('users_email_key'::regclass)`,
		`SELECT * FROM pg_stat_xact_all_tables`, `SELECT * FROM pg_stat_user_indexes`, `SELECT * FROM pg_statio_all_tables`, `SELECT ` +
			`* FROM pg_stat_database`,
		`SELECT lo_from_bytea(0, 'x')`, `SELECT lo_create(0)`, `SELECT lo_creat(-1)`, `SELECT lo_put(1, 0, 'x')`,
		`SELECT password_hash FROM users`, `SELECT * FROM users`, `SELECT u FROM users u`,
	} {
		if _, err := a.conn.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	server := testdb.Must(access.New(testdb.DB(t, a.database)).CreateRole(t.Context(), newRole(t, a.database, "server", "reader", nil)))(t)
	conn := login(t, a.database, server.Name)
	var hash string
	err := conn.QueryRow(t.Context(), `SELECT u.password_hash FROM (SELECT * FROM users) u WHERE password_hash IS NOT NULL`).Scan(&hash)
	if err != nil || hash != "hash of globex" {
		t.Errorf("a service role reads %q: %v", hash, err)
	}
}

// The guide's section "What a tenant can still find out", line by line: what it names is really so, and no more.
func TestWhatATenantCanStillFindOut(t *testing.T) {
	t.Parallel()
	a := newProbedTenants(t)
	for _, setting := range []string{"enable_seqscan", "enable_bitmapscan", "enable_sort"} {
		if _, err := a.conn.Exec(t.Context(), `SELECT set_config($1, 'off', false)`, setting); err != nil {
			t.Fatal(err)
		}
	}
	for what, p := range map[string]struct {
		probe
		column string
	}{
		"sign-in names": {probe{"users", "email >= 'globex@' AND email < 'globexa'", "email >= 'nobody@' AND email < 'nobodya'"}, "email"},
		"user names": {
			probe{"users", "username >= 'globex' AND username < 'globexa'", "username >= 'nobody' AND username < 'nobodya'"},
			"username",
		},
		"slugs": {probe{"organizations", "slug = 'globex'", "slug = 'nobody'"}, "slug"},
		"IDs":   {probe{"incidents", "id = '" + a.other["incidents"] + "'", "id = '00000000-0000-4000-8000-000000000000'"}, "id"},
	} {
		query := `SELECT 1 FROM TABLE WHERE CONDITION ORDER BY ` + p.column
		if a.told(t, query, p.table, p.holds) == a.told(t, query, p.table, p.fails) {
			t.Errorf("%s: the guide says that a tenant can find them out; mend the guide", what)
		}
	}
	var known, sizes, removed bool
	if err := a.conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'brownie_all_tenants'), (SELECT `+
		`relpages > 0 FROM pg_class WHERE relname = 'incidents')`).Scan(&known, &sizes); err != nil || !known || !sizes {
		t.Errorf("names of roles and sizes: %t, %t, %v", known, sizes, err)
	}
	if _, err := a.conn.Exec(t.Context(), `RESET enable_seqscan; SET enable_indexscan = off`); err != nil {
		t.Fatal(err)
	}
	if removed = strings.Contains(a.told(t, `SELECT 1 FROM TABLE WHERE CONDITION`, "incidents", "title <> ''"), "Rows Removed by "+
		"Filter: 501"); !removed {
		t.Error("sizes: EXPLAIN ANALYZE no longer counts the rows of others")
	}
	estimate := func(operator string) string {
		return strings.ReplaceAll(a.answer(t, `EXPLAIN SELECT FROM incidents CROSS JOIN generate_series(1, 1000000) WHERE created_at `+
			operator+` '2020-01-01'`, nil), operator, "")
	}
	if estimate("<") == estimate(">") {
		t.Error("frequencies: estimates of times no longer differ")
	}
}

// PostgreSQL evaluates the WHERE of ON CONFLICT DO UPDATE on the row in the way before it asks that row's policies.
func TestRowsInTheWayOfAnInsertAreHidden(t *testing.T) {
	t.Parallel()
	a := newProbedTenants(t)
	organization := a.own["organizations"]
	role := testdb.Must(access.New(testdb.DB(t, a.database)).CreateRole(t.Context(),
		newRole(t, a.database, "acme-writer", "writer", &organization)))(t)
	a.conn = login(t, a.database, role.Name)
	testdb.Exec(t, a.database, `CREATE SCHEMA app; CREATE TABLE app.notes (id int PRIMARY KEY, organization_id uuid NOT NULL, body
		text); SELECT brownie.isolate_table('app.notes');
		GRANT USAGE ON SCHEMA app TO brownie_writer; GRANT SELECT, INSERT, UPDATE ON app.notes TO brownie_writer`)
	testdb.Exec(t, a.database, `INSERT INTO app.notes VALUES (1, $1, 'note of globex')`, a.other["organizations"])
	users := `INSERT INTO users (organization_id, team_id, id, email, username) SELECT organization_id, id, `
	for _, sql := range []string{
		users + `gen_random_uuid(), 'globex@example.com', 'x' FROM teams ON CONFLICT (email) DO UPDATE SET full_name = 'x' WHERE ` +
			`users.full_name::int = 1`,
		users + `gen_random_uuid(), 'x@example.com', 'globex' FROM teams ON CONFLICT (username) DO UPDATE SET full_name = 'x' WHERE ` +
			`users.full_name::int = 1`,
		users + `'` + a.other["users"] + `', 'x@example.com', 'x' FROM teams ON CONFLICT ON CONSTRAINT users_pkey DO UPDATE SET ` +
			`full_name = 'x' WHERE users.full_name::int = 1`,
		`INSERT INTO incidents (organization_id, team_id, id, title) SELECT organization_id, id, '` + a.other["incidents"] + `', 'x' ` +
			`FROM teams ON CONFLICT (id) DO UPDATE SET title = 'x' WHERE incidents.description::int = 1`,
		`INSERT INTO app.notes SELECT 1, id, 'x' FROM organizations ON CONFLICT (id) DO UPDATE SET body = 'x' WHERE notes.body::int = 1`,
	} {
		var refused *pgconn.PgError
		if _, err := a.conn.Exec(t.Context(), sql); !errors.As(err, &refused) || refused.Code != "23505" &&
			!strings.Contains(refused.Message, "as arbiters") || strings.Contains(refused.Message, "lobex") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, sql := range []string{
		users + `'00000000-0000-4000-8000-000000000001', 'new@example.com', 'new' FROM teams ON CONFLICT (id) DO UPDATE SET full_name ` +
			`= 'again'`,
		users + `'00000000-0000-4000-8000-000000000001', 'new@example.com', 'new' FROM teams ON CONFLICT (id) DO UPDATE SET full_name ` +
			`= 'again'`,
	} {
		if tag, err := a.conn.Exec(t.Context(), sql); err != nil || tag.RowsAffected() != 1 {
			t.Errorf("an own row in the way: %s, %v", tag, err)
		}
	}
}

// The planner may put one constant in the place of another that it takes to be equal, and evaluates it later than the check
// that they are equal. What it then looks for is still the tenant's own.
func TestIndexesAreAskedForTheOwnTenantOnly(t *testing.T) {
	t.Parallel()
	a := newProbedTenants(t)
	testdb.Exec(t, a.database, `INSERT INTO stats (organization_id, metric_name, metric_type, value) SELECT $1, 'cpu-globex-' || i, `+
		`'gauge', i FROM generate_series(1, 100) i`, a.other["organizations"])
	testdb.Exec(t, a.database, `ANALYZE`)
	if _, err := a.conn.Exec(t.Context(), `SET enable_seqscan = off; SET enable_bitmapscan = off; SET join_collapse_limit = 1; SET `+
		`enable_hashjoin = off; SET enable_mergejoin = off`); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{
		`SELECT count(*) FROM (SELECT set_config('my.org', '{other}', false) c FROM generate_series(1, 1) g OFFSET 0) o CROSS JOIN stats s
			WHERE o.c IS NOT NULL AND s.organization_id = current_setting('my.org')::uuid AND CONDITION`,
		`SELECT count(*) FROM (SELECT set_config('my.org', '{other}', false) c FROM generate_series(1, 1) g OFFSET 0) o
			LEFT JOIN stats s ON o.c IS NOT NULL AND s.organization_id = current_setting('my.org')::uuid AND CONDITION`,
		`SELECT count(*) FROM stats s WHERE s.organization_id = '{other}' AND CONDITION`,
		`SELECT count(*) FROM stats s WHERE s.organization_id = ANY ('{{other}}') AND CONDITION`,
	} {
		told := map[string]string{}
		for _, name := range []string{"cpu-globex-1", "nobody"} {
			if _, err := a.conn.Exec(t.Context(), `SELECT set_config('my.org', $1, false)`, a.own["organizations"]); err != nil {
				t.Fatal(err)
			}
			told[name] = a.told(t, strings.ReplaceAll(query, "{other}", a.other["organizations"]), "", "s.metric_name = '"+name+"'")
		}
		if told["cpu-globex-1"] != told["nobody"] {
			t.Errorf("%s:\nfor a row of another tenant:\n%s\nfor no row:\n%s", query, told["cpu-globex-1"], told["nobody"])
		}
	}
}

// A row that is being made is seen by an INSERT that finds it in its way, but by no check before. So keys that can be guessed
// before their row is there are none that ON CONFLICT may name.
func TestRowsThatAreBeingMadeAreHidden(t *testing.T) {
	t.Parallel()
	a := newProbedTenants(t)
	store := access.New(testdb.DB(t, a.database))
	own, other := a.own["organizations"], a.other["organizations"]
	victim := login(t, a.database, testdb.Must(store.CreateRole(t.Context(),
		newRole(t, a.database, "globex-writer", "writer", &other)))(t).Name)
	a.conn = login(t, a.database, testdb.Must(store.CreateRole(t.Context(), newRole(t, a.database, "acme-writer", "writer", &own)))(t).Name)
	if _, err := victim.Exec(t.Context(), `BEGIN; INSERT INTO users (organization_id, team_id, email, username, full_name, `+
		`oidc_subject) SELECT organization_id, id, 'newhire@globex.example', 'newhire', 'New Hire', 'subject' FROM teams`); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"(email)", "(username)", "(oidc_subject)", "ON CONSTRAINT users_email_key"} {
		insert := `INSERT INTO users (organization_id, team_id, email, username, oidc_subject) SELECT organization_id, id,
			'newhire@globex.example', 'newhire', 'subject' FROM teams
			ON CONFLICT ` + key + ` DO UPDATE SET full_name = 'x' WHERE users.full_name::int = 1`
		for _, sql := range []string{
			insert,
			`WITH u AS (UPDATE users SET full_name = full_name WHERE false RETURNING 1), i AS (` + insert + ` RETURNING 1) SELECT ` +
				`(SELECT count(*) FROM u), (SELECT count(*) FROM i)`,
		} {
			var refused *pgconn.PgError
			if _, err := a.conn.Exec(t.Context(), sql); !errors.As(err, &refused) || !strings.Contains(refused.Message, "as arbiters") {
				t.Errorf("%s: %v", sql, err)
			}
		}
	}
	if _, err := victim.Exec(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`INSERT INTO users (organization_id, team_id, email, username) SELECT organization_id, id, 'newhire@acme.example', 'acmehire' ` +
			`FROM teams`,
		`UPDATE users SET full_name = 'x' WHERE email = 'newhire@acme.example'`,
		`INSERT INTO users (organization_id, team_id, id, email, username) SELECT organization_id, team_id, id, email, username FROM ` +
			`users WHERE email = 'newhire@acme.example' ON CONFLICT (id) DO UPDATE SET full_name = 'y'`,
		`INSERT INTO incidents (organization_id, team_id, title, idempotency_key) SELECT organization_id, id, 'x', 'k' FROM teams ON ` +
			`CONFLICT (organization_id, idempotency_key) DO UPDATE SET title = 'y'`,
		`MERGE INTO users u USING (SELECT organization_id, id FROM teams) t ON u.email = 'merged@acme.example' WHEN MATCHED THEN UPDATE
			SET full_name = 'z'
			WHEN NOT MATCHED THEN INSERT (organization_id, team_id, email, username) VALUES (t.organization_id, t.id,
				'merged@acme.example', 'merged')`,
	} {
		if _, err := a.conn.Exec(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
