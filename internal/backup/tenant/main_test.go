package tenant_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

// login is the role that the guides recommend: it owns its database and may create roles.
const login = "brownie-terraform"

var server = sync.OnceValues(func() (*devstack.Postgres, error) {
	s, err := devstack.StartPostgres(context.Background(), devstack.Options{HBA: []string{"# a server of its own"}})
	if err != nil {
		return nil, err
	}
	admin, err := pgx.Connect(context.Background(), s.URL("postgres"))
	if err == nil {
		defer func() { _ = admin.Close(context.Background()) }()
		_, err = admin.Exec(context.Background(), `CREATE ROLE "`+login+`" LOGIN CREATEROLE`)
	}
	return s, err
})

func TestMain(m *testing.M) {
	testdb.Main(m, func() error {
		if s, err := server(); err == nil {
			return s.Stop(context.Background())
		}
		return nil
	})
}

var databases atomic.Int32

// connect logs in to a database as its owner, or as an administrator.
func connect(t *testing.T, database, role string) *pgx.Conn {
	t.Helper()
	s := testdb.Must(server())(t)
	url := s.URL(database)
	conn := testdb.Must(pgx.Connect(t.Context(), url))(t)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if role != "" {
		run(t, conn, `SET SESSION AUTHORIZATION "`+role+`"`)
	}
	return conn
}

func run(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%.200s: %s", sql, err)
	}
}

func value(t *testing.T, conn *pgx.Conn, sql string, args ...any) (text string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&text); err != nil {
		t.Fatalf("%.200s: %s", sql, err)
	}
	return text
}

// newDatabase makes a database with the schema, or a copy of another one.
func newDatabase(t *testing.T, template string) string {
	t.Helper()
	s := testdb.Must(server())(t)
	admin := connect(t, "postgres", "")
	name := fmt.Sprintf("tenants_%d", databases.Add(1))
	if template == "" {
		run(t, admin, `CREATE DATABASE `+name+` OWNER "`+login+`"`)
		testdb.Migrate(t, testdb.ConfigOn(t, s, name, login))
	} else {
		run(t, admin, `CREATE DATABASE `+name+` OWNER "`+login+`" TEMPLATE `+template)
	}
	return name
}

const fillSQL = `
	INSERT INTO public.organizations (name, slug, description)
	SELECT 'Organization ' || n, 'org-' || n, E'it''s \\ a "test"\n\\.\n$$ä😀' || n FROM generate_series(1, 3) AS n;
	INSERT INTO public.teams (organization_id, name, slug) SELECT id, 'Team ' || n, 'team-' || n FROM public.organizations, generate_series(1, 2) AS n;
	INSERT INTO public.users (organization_id, team_id, email, username, preferences)
	SELECT t.organization_id, t.id, md5(t.id::text || n) || '@example.com', md5(t.id::text || n), '{"a":  1.0, "a": [null, "\\\u00e4"]}'
	FROM public.teams t, generate_series(1, 3) AS n;
	INSERT INTO public.incidents (organization_id, team_id, title, description, assigned_to, tags, started_at)
	SELECT u.organization_id, u.team_id, 'Incident ' || n, repeat(E'\t''"\\', n), u.id, 'null', 'infinity' FROM public.users u, generate_series(1, 400) AS n;
	INSERT INTO public.stats (organization_id, team_id, metric_name, metric_type, value, timestamp, labels)
	SELECT organization_id, id, 'm', 't', v, '-infinity', NULL FROM public.teams, unnest(ARRAY['NaN', 'Infinity', '0.1', '1e-300']::float8[]) AS v;
	INSERT INTO public.configs (organization_id, name, config_type) SELECT id, 'c', 'ORGANIZATION' FROM public.organizations;
	INSERT INTO brownie.organization_options (organization_id, force_destroy) SELECT id, true FROM public.organizations;
	INSERT INTO brownie.role_bindings (role_name, organization_id, access) SELECT slug || '-app', id, 'reader' FROM public.organizations`

// tables and the columns that say whose a row is; roles and their bindings are the cluster's.
var tables = [][2]string{
	{"public.organizations", "id"},
	{"public.teams", "organization_id"},
	{"public.users", "organization_id"},
	{"public.incidents", "organization_id"},
	{"public.stats", "organization_id"},
	{"public.configs", "organization_id"},
	{"public.agent_configs", "organization_id"},
	{"brownie.organization_options", "organization_id"},
}

const (
	whole         = `t::text`
	withoutUpdate = `(to_jsonb(t) - 'updated_at')::text`
)

// rowsOf are those of one organization.
func rowsOf(t *testing.T, conn *pgx.Conn, organization, as string) string {
	t.Helper()
	return fingerprint(t, conn, organization, as, "=")
}

// rowsOfOthers are all but those of one organization, and all bindings.
func rowsOfOthers(t *testing.T, conn *pgx.Conn, organization string) string {
	t.Helper()
	return fingerprint(t, conn, organization, whole, "<>") +
		value(t, conn, `SELECT string_agg(b::text, ' ' ORDER BY b::text) FROM brownie.role_bindings b`)
}

func fingerprint(t *testing.T, conn *pgx.Conn, organization, as, is string) (all string) {
	t.Helper()
	for _, table := range tables {
		all += value(t, conn, fmt.Sprintf(`SELECT '%s: ' || count(*) || ' ' || coalesce(md5(string_agg(%s, ' ' ORDER BY %[2]s)), '') || ' '
			FROM %[1]s t WHERE %[3]s %[4]s $1`, table[0], as, table[1], is), organization)
	}
	return all
}
