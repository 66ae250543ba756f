package provider_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// spySQL makes a function that writes down who it runs as, and what it can become by that. MIGRATOR is who plants it.
const spySQL = `
CREATE TABLE public.spied (n serial, what text, as_user name, for_user name, became text);
CREATE FUNCTION public.spy(what text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	as_user name := current_user;
	escape text;
	gain text;
	became text := '';
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'public, pg_catalog', false), pg_catalog.set_config('brownie.wanted', '{}', false);
	FOREACH escape IN ARRAY ARRAY['SELECT 1', 'RESET ROLE', 'SET ROLE NONE', 'RESET SESSION AUTHORIZATION',
		'SET SESSION AUTHORIZATION postgres'] LOOP
		BEGIN
			EXECUTE escape;
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
		FOREACH gain IN ARRAY ARRAY['ALTER ROLE "MIGRATOR" SUPERUSER', 'ALTER ROLE "MIGRATOR" CREATEROLE',
			'GRANT brownie_all_tenants TO "MIGRATOR"'] LOOP
			BEGIN
				EXECUTE gain;
				became := became || gain || ' after ' || escape || '; ';
			EXCEPTION WHEN OTHERS THEN NULL;
			END;
		END LOOP;
	END LOOP;
	BEGIN
		EXECUTE 'DECLARE planted CURSOR WITH HOLD FOR SELECT public.spy(''cursor'')';
	EXCEPTION WHEN OTHERS THEN NULL;
	END;
	INSERT INTO public.spied (what, as_user, for_user, became) VALUES (what, as_user, session_user, became);
	RETURN true;
END $$;`

// plantedSQL has the spy run by whatever may run it. A function that says it is immutable may call one that is not.
const plantedSQL = `
CREATE FUNCTION public.lower(name) RETURNS text LANGUAGE sql AS $$ SELECT pg_catalog.lower($1::text) FROM public.spy('function') $$;
CREATE FUNCTION public.same(oid, integer) RETURNS boolean LANGUAGE sql AS $$ SELECT $1 = $2::oid FROM public.spy('operator') $$;
CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = integer, FUNCTION = public.same);
CREATE FUNCTION public.fire() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM public.spy('trigger of ' || TG_TABLE_NAME);
	RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER planted BEFORE INSERT OR UPDATE OR DELETE ON public.organizations FOR EACH ROW EXECUTE FUNCTION public.fire();
CREATE TRIGGER planted BEFORE INSERT OR UPDATE OR DELETE ON public.teams FOR EACH ROW EXECUTE FUNCTION public.fire();
CREATE TRIGGER planted BEFORE INSERT OR UPDATE OR DELETE ON public.users FOR EACH ROW EXECUTE FUNCTION public.fire();
CREATE TRIGGER planted BEFORE INSERT OR UPDATE OR DELETE ON brownie.organization_options FOR EACH ROW EXECUTE FUNCTION public.fire();
CREATE TRIGGER planted BEFORE INSERT OR UPDATE OR DELETE ON brownie.role_bindings FOR EACH ROW EXECUTE FUNCTION public.fire();
CREATE TRIGGER planted BEFORE INSERT OR UPDATE OR DELETE ON brownie.goose_db_version FOR EACH ROW EXECUTE FUNCTION public.fire();
CREATE RULE planted AS ON UPDATE TO public.teams DO ALSO INSERT INTO public.spied (what) SELECT 'nothing' WHERE NOT public.spy('rule');
CREATE POLICY planted ON public.users AS RESTRICTIVE USING (public.spy('policy'));
CREATE POLICY planted ON brownie.role_bindings AS RESTRICTIVE USING (public.spy('policy of role_bindings'));
CREATE FUNCTION public.filled() RETURNS text LANGUAGE sql AS $$ SELECT 'x' FROM public.spy('default') $$;
ALTER TABLE public.teams ALTER COLUMN config_yaml SET DEFAULT public.filled();
CREATE FUNCTION public.keyed(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM public.spy('index'); RETURN $1; END $$;
CREATE INDEX planted ON public.users (public.keyed(email));
CREATE DOMAIN public.checked AS text CHECK (public.spy('domain'));
ALTER TABLE public.users ADD COLUMN planted public.checked DEFAULT 'x';
CREATE TYPE public.planted_role AS ENUM ('ADMIN', 'MEMBER', 'VIEWER');
CREATE FUNCTION public.becomes(public.userrole) RETURNS public.planted_role LANGUAGE sql AS $$
	SELECT $1::text::public.planted_role FROM public.spy('cast') $$;
CREATE CAST (public.userrole AS public.planted_role) WITH FUNCTION public.becomes(public.userrole) AS ASSIGNMENT;
ALTER TABLE public.users ALTER COLUMN role DROP DEFAULT, ALTER COLUMN role TYPE public.planted_role USING role::public.planted_role;`

// deferredSQL plants what is to run at the very end of a transaction: each run defers the next.
const deferredSQL = `
CREATE TABLE public.later (n int) PARTITION BY LIST (n);
CREATE TABLE public.later_all PARTITION OF public.later DEFAULT;
CREATE FUNCTION public.fire_later() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM public.spy('deferred');
	SET CONSTRAINTS ALL DEFERRED;
	INSERT INTO public.later SELECT NEW.n + 1 WHERE NEW.n < (SELECT max(runs) FROM public.depth);
	RETURN NULL;
END $$;
CREATE TABLE public.depth AS SELECT 1 AS runs;
CREATE CONSTRAINT TRIGGER planted AFTER INSERT ON public.later DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.fire_later();
CREATE FUNCTION public.begin() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.later VALUES (1); RETURN NEW; END $$;
CREATE TRIGGER planted_later BEFORE INSERT ON public.organizations FOR EACH ROW EXECUTE FUNCTION public.begin();`

// plantedDatabase is a database in which a migrator has planted the spy, and a provider with a login role of its own.
type plantedDatabase struct {
	server             *devstack.Postgres
	name, login, spies string // spies is the migrator
	db                 *postgres.DB
	roles              *access.Store
	tenants            *tenancy.Store
	prefix             string // of the names of roles
}

func (p *plantedDatabase) admin(t *testing.T) *pgx.Conn {
	t.Helper()
	conn := testdb.Must(pgx.Connect(t.Context(), p.server.URL(p.name)))(t)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %s", sql, err)
	}
}

// plant migrates the database as the provider does, makes a migrator and plants what the SQL says, as that.
func (p *plantedDatabase) plant(t *testing.T, sql string) {
	t.Helper()
	config := testdb.Must(p.server.Config(p.name))(t)
	if p.login != "postgres" {
		certificate := testdb.Must(p.server.ClientCertificate(p.login))(t)
		config.Username, config.SSLCert, config.SSLKey = p.login, certificate.CertFile, certificate.KeyFile
	}
	p.db = postgres.New(config)
	t.Cleanup(p.db.Close)
	p.roles, p.tenants, p.spies = access.New(p.db), tenancy.New(p.db), p.prefix+"migrator"
	engine := migrate.New(p.db, migrate.Platform, migrate.Options{})
	testdb.Must(engine.Up(t.Context(), testdb.Must(engine.Latest())(t)))(t)
	testdb.Must(p.roles.CreateRole(t.Context(), access.Role{Name: p.spies, Access: "migrator", ConnectionLimit: -1}))(t)
	migrator := testdb.Must(acctest.ConnectAs(t, p.server, p.name, p.spies))(t)
	execute(t, migrator, strings.ReplaceAll("SET ROLE brownie_migrator;"+spySQL+sql, "MIGRATOR", p.spies))
	execute(t, migrator, "TRUNCATE public.spied")
	_ = migrator.Close(t.Context())
}

// work lets the provider do what it does with tenants, roles and the history of migrations.
func (p *plantedDatabase) work(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	organization := tenancy.Organization{Name: "Acme", Slug: "acme", IsActive: true, MaxTeams: 10, MaxUsersPerTeam: 50}
	created := testdb.Must(p.tenants.CreateOrganization(ctx, organization))(t)
	changed := created
	changed.Name = "Acme Inc"
	created = testdb.Must(p.tenants.UpdateOrganization(ctx, created, changed))(t)
	team := testdb.Must(p.tenants.CreateTeam(ctx, tenancy.Team{OrganizationID: created.ID, Name: "Core", Slug: "core", IsActive: true}))(t)
	renamed := team
	renamed.Name = "Kernel"
	team = testdb.Must(p.tenants.UpdateTeam(ctx, team, renamed))(t)
	user := testdb.Must(p.tenants.CreateUser(ctx, tenancy.User{
		OrganizationID: created.ID, TeamID: team.ID, Email: "a@acme.example", Username: "a", Role: "member", IsActive: true,
	}))(t)
	promoted := user
	promoted.Role = "admin"
	testdb.Must(p.tenants.UpdateUser(ctx, user, promoted))(t)
	testdb.Must(p.tenants.User(ctx, user.ID))(t)
	testdb.Must(p.tenants.OrganizationUsage(ctx, created.ID))(t)

	role := testdb.Must(p.roles.CreateRole(ctx, access.Role{
		Name: p.prefix + "reader", Access: "reader", OrganizationID: &created.ID, ConnectionLimit: -1,
	}))(t)
	other := role
	other.Name, other.Access = p.prefix+"writer", "writer"
	role = testdb.Must(p.roles.UpdateRole(ctx, role, other))(t)
	testdb.Must(p.roles.Role(ctx, role.Name))(t)
	for _, err := range []error{
		p.roles.DropRole(ctx, role, ""), p.tenants.DeleteUser(ctx, user.ID), p.tenants.DeleteTeam(ctx,
			team.ID), p.tenants.DeleteOrganization(ctx, created.ID),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	engine := migrate.New(p.db, migrate.Platform, migrate.Options{})
	latest := testdb.Must(engine.Latest())(t)
	testdb.Must(engine.Applied(ctx))(t)
	// Goes back and forth over the last step, which forgets and records it.
	testdb.Must(engine.Run(ctx, testdb.Must(engine.Plan(ctx, latest-1, true))(t)))(t)
	testdb.Must(engine.Up(ctx, latest))(t)
}

type sighting struct{ What, AsUser, ForUser, Became string }

// check finds out as whom the spy ran, and that it gained nothing by it.
func (p *plantedDatabase) check(t *testing.T) (seen []string) {
	t.Helper()
	conn := p.admin(t)
	rows := testdb.Must(conn.Query(t.Context(), `SELECT DISTINCT what, as_user, for_user, became FROM public.spied ORDER BY what`))(t)
	for _, s := range testdb.Must(pgx.CollectRows(rows, pgx.RowToStructByName[sighting]))(t) {
		seen = append(seen, s.What)
		if s.AsUser != "brownie_migrator" || s.ForUser != p.login || s.Became != "" {
			t.Errorf("%s ran as %s for %s, and could do this: %s", s.What, s.AsUser, s.ForUser, s.Became)
		}
	}
	var powerful bool
	err := conn.QueryRow(t.Context(), `SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = $1`, p.spies).Scan(&powerful)
	if err != nil || powerful {
		t.Errorf("the migrator is superuser or may create roles: %t, %v", powerful, err)
	}
	return seen
}

// plantedDatabases returns a database for the provider as superuser, and one for it with the documented rights, on a server
// on which no superuser has made the group roles.
func plantedDatabases(t *testing.T) map[string]*plantedDatabase {
	t.Helper()
	shared := testdb.Empty(t, testdb.Certificates)
	server := testdb.Must(devstack.StartPostgres(t.Context(), devstack.Options{HBA: []string{"# a server of its own"}}))(t)
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	owned := &plantedDatabase{server: server, name: "owned", login: "brownie-terraform"}
	admin := testdb.Must(pgx.Connect(t.Context(), server.URL("postgres")))(t)
	defer func() { _ = admin.Close(context.Background()) }()
	execute(t, admin, `CREATE ROLE "brownie-terraform" LOGIN CREATEROLE`)
	execute(t, admin, `CREATE DATABASE owned OWNER "brownie-terraform"`)
	super := &plantedDatabase{server: testdb.Server(t, shared), name: shared, login: "postgres", prefix: shared + "-"}
	t.Cleanup(func() {
		if super.roles != nil {
			_ = access.New(testdb.DB(t, shared)).DropRole(context.Background(), access.Role{Name: super.spies}, "postgres")
		}
	})
	return map[string]*plantedDatabase{"superuser": super, "owner": owned}
}

// Whatever a migrator plants in the schema, the provider runs it with the rights of the schema's owner only.
func TestPlantedCodeGainsNothing(t *testing.T) {
	t.Parallel()
	for name, p := range plantedDatabases(t) {
		t.Run(name, func(t *testing.T) {
			p.plant(t, plantedSQL)
			p.work(t)
			want := []string{
				"cast", "default", "domain", "index", "policy", "rule", "trigger of goose_db_version",
				"trigger of organization_options", "trigger of organizations", "trigger of role_bindings", "trigger of " +
					"teams", "trigger of users",
			}
			if seen := p.check(t); !slices.Equal(seen, want) {
				t.Errorf("what ran was %q, want %q", seen, want)
			}
		})
	}
}

// A trigger that is deferred runs before the transaction ends, and with the owner's rights. One that defers itself again makes
// the change fail, since nothing confines what runs at the very end.
func TestPlantedDeferredTriggersGainNothing(t *testing.T) {
	t.Parallel()
	for name, p := range plantedDatabases(t) {
		t.Run(name, func(t *testing.T) {
			p.plant(t, deferredSQL)
			organization := tenancy.Organization{Name: "Acme", Slug: "acme", MaxTeams: 1, MaxUsersPerTeam: 1}
			created := testdb.Must(p.tenants.CreateOrganization(t.Context(), organization))(t)
			if seen := p.check(t); !slices.Equal(seen, []string{"deferred"}) {
				t.Errorf("what ran was %q", seen)
			}
			if err := p.tenants.DeleteOrganization(t.Context(), created.ID); err != nil {
				t.Error(err)
			}
			execute(t, p.admin(t), `INSERT INTO public.depth VALUES (3)`)
			if _, err := p.tenants.CreateOrganization(t.Context(), organization); err == nil || !strings.Contains(err.Error(),
				"pending trigger events") {
				t.Errorf("a trigger that defers itself: %v", err)
			}
			p.check(t)
		})
	}
}
