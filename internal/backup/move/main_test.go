package move_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/move"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// login is the role that the guides recommend: it owns its database and may create roles.
const login = "brownie-terraform"

// Two cells are two clusters. Each has a template: the source with organizations, the target with another one.
var (
	sources = sync.OnceValues(start)
	targets = sync.OnceValues(start)
)

func start() (*devstack.Postgres, error) {
	s, err := devstack.StartPostgres(context.Background(), devstack.Options{
		HBA:      []string{"# a server of its own"},
		Settings: []string{"max_connections=200", "max_prepared_transactions=5"},
	})
	if err != nil {
		return nil, err
	}
	admin, err := pgx.Connect(context.Background(), s.URL("postgres"))
	if err == nil {
		defer func() { _ = admin.Close(context.Background()) }()
		_, err = admin.Exec(context.Background(), `CREATE ROLE "`+login+`" LOGIN CREATEROLE`)
	}
	return s, err
}

func TestMain(m *testing.M) {
	if os.Getenv("MOVE_CHILD") != "" {
		child()
	}
	stop := func(of func() (*devstack.Postgres, error)) func() error {
		return func() error {
			if s, err := of(); err == nil {
				return s.Stop(context.Background())
			}
			return nil
		}
	}
	testdb.Main(m, stop(sources), stop(targets))
}

// child moves in a process of its own, which kills itself when it has told as many steps as MOVE_CHILD says; 0 is none.
func child() {
	at, err := strconv.Atoi(os.Getenv("MOVE_CHILD"))
	config := func(prefix string) postgres.Config {
		c, e := postgres.Config{MaxConnections: 4}.WithEnvironment(func(name string) string { return os.Getenv(prefix + name) })
		if e != nil {
			err = e
		}
		return c.WithDefaults()
	}
	m := &move.Mover{
		Source: postgres.New(config("SOURCE_")), Target: postgres.New(config("TARGET_")), Log: slog.New(&killer{at: at}),
		Wait: 10 * time.Second,
	}
	if err == nil {
		switch os.Getenv("MOVE_RUN") {
		case "abort":
			_, err = m.Abort(context.Background(), "org-2")
		case "finish":
			_, err = m.Finish(context.Background(), "org-2")
		default:
			_, err = m.Move(context.Background(), "org-2")
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// killer ends the process the hard way.
type killer struct {
	slog.Handler
	at, told int
}

func (k *killer) Enabled(context.Context, slog.Level) bool { return true }

func (k *killer) Handle(_ context.Context, r slog.Record) error {
	fmt.Fprintln(os.Stderr, r.Message)
	if k.told++; k.told == k.at {
		self, _ := os.FindProcess(os.Getpid())
		_ = self.Kill()
		select {}
	}
	return nil
}

var databases atomic.Int32

// cells are two of them, with an organization org-2 that is to move, and org-1 and org-3 that stay.
type cells struct {
	t              *testing.T
	source, target cell
	mover          *move.Mover
	id             string
	n              int32
}

// cell is one database.
type cell struct {
	*devstack.Postgres
	database string
	db       *postgres.DB
	roles    *access.Store
}

func newCell(t *testing.T, server *devstack.Postgres, n int32, template string) cell {
	t.Helper()
	c := cell{Postgres: server, database: fmt.Sprintf("cell_%d", n)}
	if err := server.CreateDatabase(t.Context(), c.database, template); err != nil {
		t.Fatal(err)
	}
	admin := testdb.Must(pgx.Connect(t.Context(), server.URL("postgres")))(t)
	defer func() { _ = admin.Close(context.Background()) }()
	run(t, admin, `ALTER DATABASE `+c.database+` OWNER TO "`+login+`"`)
	c.db = c.as(t, login)
	c.roles = access.New(c.db)
	return c
}

// as logs in as a role.
func (c cell) as(t *testing.T, role string) *postgres.DB {
	t.Helper()
	db := postgres.New(testdb.ConfigOn(t, c.Postgres, c.database, role))
	t.Cleanup(db.Close)
	return db
}

// admin logs in as the administrator.
func (c cell) admin(t *testing.T) *pgx.Conn {
	t.Helper()
	conn := testdb.Must(pgx.Connect(t.Context(), c.URL(c.database)))(t)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// templates has the schema, and rows, on both servers.
var templates = sync.OnceValue(func() *template { return new(template) })

type template struct {
	once sync.Once
}

func (tmpl *template) make(t *testing.T, a, b *devstack.Postgres) {
	t.Helper()
	tmpl.once.Do(func() {
		for _, s := range []*devstack.Postgres{a, b} {
			admin := testdb.Must(pgx.Connect(t.Context(), s.URL("postgres")))(t)
			run(t, admin, `CREATE DATABASE template OWNER "`+login+`"`)
			_ = admin.Close(t.Context())
			testdb.Migrate(t, testdb.ConfigOn(t, s, "template", login))
			db := postgres.New(testdb.ConfigOn(t, s, "template", login))
			fill, first := fillSQL, 1
			if s == b {
				first = 7
			}
			fill = strings.ReplaceAll(fill, "FIRST", strconv.Itoa(first))
			err := db.Borrow(t.Context(), nil, func(conn *pgx.Conn) error {
				_, err := conn.PgConn().Exec(t.Context(), fill).ReadAll()
				return err
			})
			db.Close()
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// newCells makes two cells, and roles: those of org-2 are app, viewer and locked, that of org-1 is other, and service acts for all.
func newCells(t *testing.T) *cells {
	t.Helper()
	a, b := testdb.Must(sources())(t), testdb.Must(targets())(t)
	templates().make(t, a, b)
	n := databases.Add(1)
	c := &cells{t: t, n: n, source: newCell(t, a, n, "template"), target: newCell(t, b, n, "template")}
	c.mover = &move.Mover{Source: c.source.db, Target: c.target.db, Log: slog.New(slog.DiscardHandler), Wait: 10 * time.Second}
	conn := c.source.admin(t)
	c.id = value(t, conn, `SELECT id::text FROM public.organizations WHERE slug = 'org-2'`)
	other := value(t, conn, `SELECT id::text FROM public.organizations WHERE slug = 'org-1'`)
	second := time.Second
	until := time.Now().Add(1000 * time.Hour).Truncate(time.Second)
	for _, role := range []access.Role{
		{Name: c.role("app"), Access: "admin", OrganizationID: &c.id, Pooled: true, ConnectionLimit: 17, StatementTimeout: &second, ValidUntil: &until},
		{Name: c.role("viewer"), Access: "reader", OrganizationID: &c.id, ConnectionLimit: -1},
		{Name: c.role("locked"), Access: "writer", OrganizationID: &c.id, ConnectionLimit: 3, Locked: true},
		{Name: c.role("other"), Access: "writer", OrganizationID: &other, ConnectionLimit: 20},
		{Name: c.role("service"), Access: "admin", ConnectionLimit: -1},
	} {
		if _, err := c.source.roles.CreateRole(t.Context(), role); err != nil {
			t.Fatal(err)
		}
		if role.OrganizationID == nil {
			testdb.Must(c.target.roles.CreateRole(t.Context(), role))(t)
		}
	}
	return c
}

func (c *cells) role(name string) string { return fmt.Sprintf("%s-%d", name, c.n) }

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

const fillSQL = `
	INSERT INTO public.organizations (name, slug, description)
	SELECT 'Organization ' || n, 'org-' || n, E'it''s \\ a "test"\n\\.\n$$ä😀' || n FROM generate_series(FIRST, FIRST + 2) AS n;
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
	CREATE TABLE public.reports (id bigint GENERATED ALWAYS AS IDENTITY (START FIRST INCREMENT 10) PRIMARY KEY DEFERRABLE,
		organization_id uuid NOT NULL REFERENCES public.organizations ON DELETE CASCADE, body jsonb, title text UNIQUE DEFERRABLE INITIALLY DEFERRED);
	INSERT INTO public.reports (organization_id, title, body) SELECT id, slug || n, '{"x": 1.0, "é": [null, 1e400]}' FROM public.organizations, generate_series(1, 5) AS n;
	CREATE TABLE public.months (id uuid DEFAULT gen_random_uuid(), month integer, "odd ""name" numeric DEFAULT 1.10, twice integer
		GENERATED ALWAYS AS (month * 2) STORED, organization_id uuid NOT NULL REFERENCES public.organizations ON DELETE CASCADE,
		PRIMARY KEY (id, month)) PARTITION BY RANGE (month);
	CREATE TABLE public.months_1 PARTITION OF public.months FOR VALUES FROM (1) TO (7);
	CREATE TABLE public.months_2 PARTITION OF public.months FOR VALUES FROM (7) TO (13);
	INSERT INTO public.months (month, organization_id, "odd ""name") SELECT n, id, 'NaN' FROM public.organizations, generate_series(1, 12) AS n;
	SELECT brownie.isolate_table('public.reports'), brownie.isolate_table('public.months')`

// tables and the columns that say whose a row is.
var tables = [][2]string{
	{"public.organizations", "id"},
	{"public.teams", "organization_id"},
	{"public.users", "organization_id"},
	{"public.incidents", "organization_id"},
	{"public.stats", "organization_id"},
	{"public.configs", "organization_id"},
	{"public.agent_configs", "organization_id"},
	{"public.reports", "organization_id"},
	{"public.months", "organization_id"},
	{"brownie.organization_options", "organization_id"},
}

// rows are those of one organization (=), or of all others (<>).
func rows(t *testing.T, conn *pgx.Conn, organization, is string) (all string) {
	t.Helper()
	for _, table := range tables {
		all += value(t, conn, fmt.Sprintf(`SELECT '%s: ' || count(*) || ' ' || coalesce(md5(string_agg(t::text, ' ' ORDER BY t::text)), '') || E'\n'
			FROM %[1]s t WHERE %[2]s %[3]s $1`, table[0], table[1], is), organization)
	}
	return all
}
