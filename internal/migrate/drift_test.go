package migrate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
)

func driftOf(t *testing.T, engine *migrate.Engine) []string {
	t.Helper()
	return testdb.Must(engine.Drift(t.Context(), testdb.Must(engine.Applied(t.Context()))(t)))(t)
}

// No version that migrations lead to, up or down, has any drift, and what others add is none.
func TestNoDriftAtAnyVersion(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	engine := platform(t, database)
	if drift := driftOf(t, engine); drift != nil {
		t.Errorf("an empty database: %q", drift)
	}
	for version := range latest(t) {
		up(t, database, version+1)
		if drift := driftOf(t, engine); drift == nil || len(drift) > 0 {
			t.Errorf("version %d: %q", version+1, drift)
		}
	}
	testdb.Exec(t, database, `
		ALTER TABLE public.users ADD COLUMN phone text, ADD CONSTRAINT phone CHECK (phone <> '');
		CREATE INDEX phone_idx ON public.users (organization_id, phone);
		CREATE TABLE public.orders (n int); CREATE VIEW public.names AS SELECT name FROM public.teams;
		CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
		CREATE TRIGGER t BEFORE INSERT ON public.users FOR EACH ROW EXECUTE FUNCTION public.f();
		DROP TABLE public.alembic_version`)
	if drift := driftOf(t, engine); len(drift) > 0 {
		t.Errorf("what others added: %q", drift)
	}
	testdb.Exec(t, database, fmt.Sprintf(oddSettings, database))
	if drift := driftOf(t, platform(t, database)); len(drift) > 0 {
		t.Errorf("with other settings: %q", drift)
	}
	app := newEngine(t, database, fstest.MapFS{"0001_x.sql": file(`CREATE TABLE public.gone (n int);`)})
	testdb.Must(app.Up(t.Context(), 1))(t)
	testdb.Exec(t, database, `DROP TABLE public.gone`)
	if drift := driftOf(t, app); drift != nil {
		t.Errorf("where nobody recorded what migrations make: %q", drift)
	}
}

// What is missing or different is named, with its definition and its migration; and nothing else is.
func TestDrift(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string][]string{
		`ALTER TABLE public.teams DROP COLUMN permissions`: {
			"column permissions of public.teams (of 0001_baseline.sql) is missing. Restore it: ALTER TABLE public.teams ADD COLUMN permissions json;",
			"constraint teams_permissions_document of public.teams (of 0005_json_documents.sql) is missing. Restore it: " +
				"ALTER TABLE public.teams ADD CONSTRAINT teams_permissions_document CHECK (",
			"constraint teams_permissions_escapes of public.teams (of 0021_json_escapes.sql) is missing. Restore it: " +
				"ALTER TABLE public.teams ADD CONSTRAINT teams_permissions_escapes CHECK (",
		},
		`ALTER TABLE public.users ALTER COLUMN email TYPE text`: {
			`column email of public.users (of 0001_baseline.sql) differs: it is "text not null" and was "character varying(255) not null"`,
		},
		`DROP INDEX public.teams_org_id_service_idx`: {"index teams_org_id_service_idx of public.teams (of 0016_tenant_first_indexes.sql) is missing. Restore it: " +
			"CREATE INDEX teams_org_id_service_idx ON public.teams"},
		`UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.teams_org_id_service_idx'::regclass`: {
			"index teams_org_id_service_idx of public.teams (of 0016_tenant_first_indexes.sql) differs",
		},
		`ALTER TABLE public.users DROP CONSTRAINT users_team_in_organization_fkey`: {
			"constraint users_team_in_organization_fkey of public.users (of ",
		},
		`DROP POLICY all_tenants_read ON public.teams`:               {"policy all_tenants_read of public.teams (of "},
		`ALTER POLICY all_tenants_read ON public.teams USING (true)`: {"policy all_tenants_read of public.teams (of "},
		`DROP TRIGGER set_updated_at ON public.teams`: {"trigger set_updated_at of public.teams (of 0002_server_defaults.sql) is missing. Restore it: " +
			"CREATE TRIGGER set_updated_at BEFORE UPDATE ON public.teams"},
		`ALTER TABLE public.teams DISABLE TRIGGER set_updated_at`: {"trigger set_updated_at of public.teams (of 0002_server_defaults.sql) differs"},
		`ALTER TABLE public.teams DISABLE ROW LEVEL SECURITY`:     {`table public.teams (of 0012_row_level_security.sql) differs: it is "forced"`},
		`DROP TABLE public.stats`:                                 {"table public.stats (of 0012_row_level_security.sql) is missing. Restore it as that file defines it"},
		`CREATE OR REPLACE FUNCTION brownie.set_updated_at() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'`: {
			"function brownie.set_updated_at() (of 0002_server_defaults.sql) differs",
		},
	} {
		t.Run(strings.ToLower(sql), func(t *testing.T) {
			t.Parallel()
			database := testdb.Migrated(t)
			testdb.Exec(t, database, sql)
			drift := driftOf(t, platform(t, database))
			if len(drift) != len(want) || !slices.EqualFunc(drift, want, strings.HasPrefix) {
				t.Errorf("got %q", drift)
			}
			// What it says repairs it.
			for _, text := range drift {
				_, statement, isStatement := strings.Cut(text, "Restore it: ")
				if !isStatement {
					return
				}
				testdb.Exec(t, database, statement)
			}
			if drift := driftOf(t, platform(t, database)); len(drift) > 0 {
				t.Errorf("after the repair: %q", drift)
			}
		})
	}
}
