package access_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

// Everything by which bytes of a row can reach a session has a check, a sabotage that it finds, and a sound design at
// which it stays silent. ROLE, SERVER and CURRENT stand for the tenant's role, the service role and the database.
func TestEveryWayForBytesOfARowIsWatched(t *testing.T) {
	t.Parallel()
	const echo = `CREATE FUNCTION echo(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 HOW AS $$ BEGIN RAISE NOTICE 'seen %', $1; ` +
		`RETURN true; END $$;`
	for name, kind := range map[string]struct{ sabotage, table, attack, sound string }{
		"function: leakproof": {
			strings.ReplaceAll(echo, "HOW", "LEAKPROOF"), "echo(text)", "leakproof", strings.ReplaceAll(echo, "HOW", ""),
		},
		"function: a built-in called leakproof": {
			`ALTER FUNCTION pg_catalog.texticlike(text, text) LEAKPROOF`, "texticlike(text,text)", "leakproof",
			`ALTER FUNCTION pg_catalog.texticlike(text, text) COST 2`,
		},
		"function: of superusers": {
			`GRANT EXECUTE ON FUNCTION pg_read_file(text) TO brownie_admin`, "pg_read_file(text)", "function of superusers",
			`GRANT EXECUTE ON FUNCTION pg_read_file(text) TO brownie_migrator`,
		},
		"function: in an untrusted language": {
			`CREATE FUNCTION outside(text) RETURNS int LANGUAGE internal AS 'textlen'; GRANT EXECUTE ON FUNCTION outside(text) TO ROLE`,
			"outside(text)", "untrusted language",
			`CREATE FUNCTION outside(text) RETURNS int LANGUAGE internal AS 'textlen'; REVOKE EXECUTE ON FUNCTION outside(text) FROM ` +
				`PUBLIC`,
		},
		"extension: SECURITY DEFINER": {
			`CREATE FUNCTION titles() RETURNS SETOF varchar SECURITY DEFINER LANGUAGE sql AS 'SELECT title FROM public.incidents'; ` +
				`ALTER EXTENSION plpgsql ADD FUNCTION titles()`,
			"titles()", "security definer", `CREATE FUNCTION titles() RETURNS SETOF varchar LANGUAGE sql AS 'SELECT title FROM ` +
				`public.incidents'; ALTER EXTENSION plpgsql ADD FUNCTION titles()`,
		},
		"rule: with the owner's rights": {
			`CREATE TABLE log (title text); REVOKE ALL ON log FROM brownie_reader, brownie_writer, brownie_admin;
			CREATE RULE copy AS ON INSERT TO stats DO ALSO INSERT INTO log SELECT title FROM incidents`,
			"stats", "rule copy", `CREATE RULE keep AS ON UPDATE TO stats DO INSTEAD NOTHING`,
		},
		"trigger: notifies": {
			`CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_notify('incidents', NEW.title);
				RETURN NULL; END $$;
			CREATE TRIGGER tell AFTER INSERT ON incidents FOR EACH ROW EXECUTE FUNCTION tell()`, "incidents", "trigger tell",
			`CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'changed'; RETURN NULL; END $$;
			CREATE TRIGGER tell AFTER INSERT ON incidents FOR EACH ROW EXECUTE FUNCTION tell()`,
		},
		"notification: by another function": {
			`CREATE FUNCTION send(text) RETURNS void LANGUAGE sql AS $$ SELECT pg_notify('incidents', $1) $$;
			CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM send(NEW.title); RETURN NULL; END $$;
			CREATE TRIGGER tell AFTER INSERT ON incidents FOR EACH ROW EXECUTE FUNCTION tell()`, "incidents", "trigger tell",
			`CREATE FUNCTION send(text) RETURNS void LANGUAGE sql AS $$ SELECT pg_notify('jobs', $1) $$`,
		},
		"parameter: granted": {
			`GRANT SET ON PARAMETER session_replication_role TO ROLE`, "parameter session_replication_role", "parameter", `SET ` +
				`session_replication_role = replica`,
		},
		"parameter: set for a role": {
			`ALTER ROLE ROLE SET session_replication_role = replica`, "parameter session_replication_role", "setting", `ALTER ROLE ` +
				`ROLE SET work_mem = '8MB'`,
		},
		"parameter: set for a database": {
			`ALTER DATABASE CURRENT SET lo_compat_privileges = on`, "parameter lo_compat_privileges", "setting", `ALTER DATABASE ` +
				`CURRENT SET lo_compat_privileges = off`,
		},
		"privilege: CREATE on the database": {
			`GRANT CREATE ON DATABASE CURRENT TO ROLE`, "database CURRENT", "create", `GRANT CREATE ON DATABASE CURRENT TO ` +
				`brownie_migrator`,
		},
		"privilege: CREATE on a schema": {
			`CREATE SCHEMA app; ALTER DATABASE CURRENT SET search_path = app, public; GRANT CREATE ON SCHEMA app TO PUBLIC`,
			"schema app", "create in schema", `CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO PUBLIC`,
		},
		"privilege: hashes of passwords": {
			`GRANT SELECT (password_hash) ON users TO ROLE`, "users", "column password_hash", `GRANT SELECT (email) ON users TO ROLE`,
		},
		"privilege: maintenance": {
			`GRANT REFERENCES (id) ON users TO ROLE`, "users", "privileges", `GRANT SELECT (id) ON users TO ROLE`,
		},
		"privilege: the service roles' indexes": {
			`GRANT USAGE ON SCHEMA brownie_service TO PUBLIC`, "schema brownie_service", "usage",
			`GRANT USAGE ON SCHEMA brownie_service TO brownie_all_tenants`,
		},
		"ownership: of a table": {
			`CREATE TABLE countries (name text); REVOKE ALL ON countries FROM brownie_reader, brownie_writer, brownie_admin; ALTER ` +
				`TABLE countries OWNER TO ROLE`,
			"countries", "ownership",
			`CREATE TABLE countries (name text); REVOKE ALL ON countries FROM brownie_reader, brownie_writer, brownie_admin; ALTER ` +
				`TABLE countries OWNER TO brownie_migrator`,
		},
		"temporary object": {
			`GRANT TEMPORARY ON DATABASE CURRENT TO ROLE`, "database CURRENT", "temporary", `GRANT TEMPORARY ON DATABASE CURRENT TO ` +
				`brownie_migrator`,
		},
		"view: of logins": {
			`CREATE VIEW logins AS SELECT rolname, rolpassword FROM pg_authid; GRANT SELECT ON logins TO ROLE`,
			"logins", "view",
			`CREATE VIEW logins AS SELECT rolname FROM pg_roles; GRANT SELECT ON logins TO ROLE`,
		},
		"view: of statistics": {
			`CREATE VIEW guesses AS SELECT starelid, stadistinct FROM pg_statistic; GRANT SELECT ON guesses TO PUBLIC`,
			"guesses", "view",
			`CREATE VIEW guesses AS SELECT tablename, n_distinct FROM pg_stats; GRANT SELECT ON guesses TO PUBLIC`,
		},
		"catalog: of superusers": {
			`GRANT SELECT ON pg_user_mapping TO brownie_writer`, "pg_user_mapping", "catalog of superusers", `GRANT SELECT ON ` +
				`pg_class TO brownie_writer`,
		},
		"inheritance: a shared parent": {
			`CREATE TABLE shared (organization uuid, title varchar(500)); DROP TABLE shared;
				CREATE TABLE shared (title varchar(500) NOT NULL);
			ALTER TABLE shared ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
				CREATE POLICY shared ON shared FOR SELECT USING (true); ALTER TABLE incidents INHERIT shared`, "shared", "inheritance",
			`CREATE TABLE shared (title varchar(500)); ALTER TABLE shared ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
				CREATE POLICY shared ON shared FOR SELECT USING (true);
			CREATE TABLE more () INHERITS (shared); REVOKE ALL ON more FROM brownie_reader, brownie_writer, brownie_admin`,
		},
		"copy: a tenant under another name": {
			`CREATE TABLE shared (tenant_id uuid, body text); ALTER TABLE shared ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; ` +
				`CREATE POLICY shared ON shared FOR SELECT USING (true)`,
			"shared", "tenant column", `CREATE TABLE shared (region_id uuid, body text); ALTER TABLE shared ENABLE ROW LEVEL ` +
				`SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY shared ON shared FOR SELECT USING (true)`,
		},
		"copy: a tenant by reference": {
			`CREATE TABLE shared (payer uuid REFERENCES organizations, body text); ALTER TABLE shared ENABLE ROW LEVEL SECURITY, ` +
				`FORCE ROW LEVEL SECURITY; CREATE POLICY shared ON shared FOR SELECT USING (true)`,
			"shared", "tenant column", `CREATE TABLE plans (id int PRIMARY KEY); CREATE TABLE shared (plan int REFERENCES plans);
				ALTER TABLE plans ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
			ALTER TABLE shared ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
				CREATE POLICY shared ON shared FOR SELECT USING (true); CREATE POLICY shared ON plans FOR SELECT USING (true)`,
		},
		"copy: a tenant by value": {
			`CREATE TABLE shared AS SELECT id::text AS x FROM organizations; ALTER TABLE shared ENABLE ROW LEVEL SECURITY, FORCE ROW ` +
				`LEVEL SECURITY; CREATE POLICY shared ON shared FOR SELECT USING (true)`,
			"shared", "tenant column", `CREATE TABLE shared AS SELECT gen_random_uuid()::text AS x; ALTER TABLE shared ENABLE ROW ` +
				`LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY shared ON shared FOR SELECT USING (true)`,
		},
		"core table: renamed tenant column": {
			`ALTER TABLE stats RENAME organization_id TO tenant`, "stats", "tenant column", `ALTER TABLE stats RENAME description TO about`,
		},
		"statistic: of a tenant's text": {
			`ALTER TABLE users ALTER COLUMN full_name SET STATISTICS 50`, "users", "statistics",
			`ALTER TABLE users ALTER COLUMN created_at SET STATISTICS 50`,
		},
		"large object": {
			`SELECT lo_from_bytea(987654, 'secret'); GRANT SELECT ON LARGE OBJECT 987654 TO PUBLIC`,
			"large object 987654", "large object", `SELECT lo_from_bytea(987655, 'secret')`,
		},
		"foreign table: server": {
			`CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing; GRANT USAGE ON FOREIGN SERVER ` +
				`elsewhere TO ROLE`,
			"foreign server elsewhere", "foreign server", `CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER elsewhere FOREIGN DATA ` +
				`WRAPPER nothing; GRANT USAGE ON FOREIGN SERVER elsewhere TO brownie_migrator`,
		},
		"foreign table: of tenants": {
			`CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing; CREATE FOREIGN TABLE far ` +
				`(organization_id uuid) SERVER elsewhere`,
			"far", "row-level security", `CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing; ` +
				`CREATE FOREIGN TABLE far (x int) SERVER elsewhere; REVOKE ALL ON far FROM brownie_reader, brownie_writer, ` +
				`brownie_admin`,
		},
		"publication: a tenant that replicates": {
			`CREATE PUBLICATION everything FOR TABLE incidents; ALTER ROLE ROLE REPLICATION`,
			"ROLE", "attributes", `CREATE PUBLICATION everything FOR TABLE incidents`,
		},
		"index: does not begin with the tenant": {
			`CREATE INDEX by_title ON incidents (title)`, "incidents", "index by_title",
			`CREATE INDEX by_title ON incidents (organization_id, title)`,
		},
		"index: a key that begins with a value": {
			`ALTER TABLE teams ADD CONSTRAINT backwards UNIQUE (name, organization_id)`,
			"teams", "index backwards",
			`ALTER TABLE teams ADD CONSTRAINT forwards UNIQUE (organization_id, name)`,
		},
		"policy: none that comes first": {
			`DROP POLICY "0_tenant" ON incidents`, "incidents", "first policy", `COMMENT ON POLICY "0_tenant" ON incidents IS 'kept'`,
		},
		"policy: nothing comes first": {
			`DROP POLICY "0_tenant" ON incidents; ALTER POLICY tenant ON incidents USING (brownie.policy_first() AND organization_id ` +
				`= (SELECT organization_id FROM brownie.current_binding))`,
			"incidents", "condition merged with the policy",
			`CREATE POLICY alive ON incidents AS RESTRICTIVE USING (title <> '')`,
		},
		"policy: without the planner's fence": {
			`ALTER POLICY "0_tenant" ON incidents USING (organization_id = ANY (ARRAY(SELECT organization_id FROM brownie.current_binding))
			OR (SELECT all_tenants FROM brownie.current_binding))`,
			"incidents", "condition before the policy", `ALTER POLICY tenant ON incidents RENAME TO tenants`,
		},
		"policy: another one comes first": {
			`CREATE POLICY "0" ON incidents AS RESTRICTIVE USING (version = 1)`,
			"incidents", "first policy",
			`CREATE POLICY "1" ON incidents AS RESTRICTIVE USING (version = 1)`,
		},
		"upsert: a key without its guard": {
			`DROP TRIGGER zz_refuse_others_keys ON users`, "users", "guard of users_email_key", `ALTER TABLE stats ADD UNIQUE ` +
				`(organization_id, id)`,
		},
		"upsert: a new key": {
			`ALTER TABLE teams ADD COLUMN code int; UPDATE teams SET code = hashtext(id::text); ALTER TABLE teams ALTER code SET ` +
				`DEFAULT 7; CREATE UNIQUE INDEX teams_code ON teams (code)`, "teams", "unique key teams_code",
			`ALTER TABLE teams ADD COLUMN code int; SELECT brownie.hide_statistics('teams'); CREATE UNIQUE INDEX teams_code ON teams ` +
				`(organization_id, code)`,
		},
		"upsert: no guard of a random key": {
			`DROP TRIGGER zz_refuse_others_keys ON teams`, "teams", "condition on a row in the way of teams_pkey",
			`COMMENT ON TRIGGER zz_refuse_others_keys ON teams IS 'kept'`,
		},
		"upsert: the guard with other contents": {
			`CREATE OR REPLACE FUNCTION brownie.refuse_others_keys_of_teams() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET ` +
				`search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NEW; END'`,
			"teams", "guard of teams_pkey", `COMMENT ON FUNCTION brownie.refuse_others_keys_of_teams() IS 'kept'`,
		},
		"fence: does nothing": {
			`CREATE OR REPLACE FUNCTION brownie.policy_first() RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS 'BEGIN ` +
				`RETURN true; END'`,
			"brownie.policy_first()", "definition", `SELECT brownie.policy_first()`,
		},
		"fence: comes too late": {
			`ALTER FUNCTION brownie.policy_first() STABLE`, "brownie.policy_first()", "definition", `ALTER FUNCTION ` +
				`brownie.policy_first() COST 10`,
		},
		"binding view: conditions get in": {
			`CREATE OR REPLACE VIEW brownie.current_binding WITH (security_barrier = true) AS SELECT organization_id, access,
			organization_id IS NULL AND access IN ('reader', 'writer', 'admin', 'backup') AS all_tenants, organization_id IS NULL AND
				access IN ('writer', 'admin') AS writes_all_tenants
			FROM brownie.role_bindings WHERE role_name = session_user AND (valid_until IS NULL OR valid_until > statement_timestamp())`,
			"brownie.current_binding", "look past the binding view", `SELECT * FROM brownie.current_binding`,
		},
		"control: no USAGE on the schema": {
			`REVOKE USAGE ON SCHEMA public FROM PUBLIC, brownie_reader, brownie_writer, brownie_admin`,
			"incidents", "positive control: read", `REVOKE USAGE ON SCHEMA public FROM PUBLIC`,
		},
		"control: no policy": {
			`DROP POLICY tenant ON incidents`, "incidents", "positive control: read", `COMMENT ON POLICY tenant ON incidents IS 'kept'`,
		},
		"control: no right to insert": {
			`REVOKE INSERT ON incidents FROM brownie_writer`, "incidents", "positive control: insert",
			`REVOKE INSERT ON brownie.organization_options FROM brownie_all_tenants`,
		},
		"control: the pooler": {
			`REVOKE EXECUTE ON FUNCTION brownie.pooler_lookup(text) FROM brownie_pooler`,
			"brownie.pooler_lookup(text)", "positive control: look up",
			`GRANT EXECUTE ON FUNCTION brownie.pooler_lookup(text) TO brownie_pooler`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireFound(t, kind.sabotage, kind.table, kind.attack)
		})
		t.Run(name+", sound", func(t *testing.T) {
			t.Parallel()
			requireSilence(t, kind.sound)
		})
	}
}

// What cannot be closed is told apart from what should be.
func TestKnownChannelsAreTold(t *testing.T) {
	t.Parallel()
	i := newIsolated(t)
	var told []string
	for _, channel := range prove(t, i.store, i.database).KnownChannels {
		if !channel.Stopped || channel.Detail == "" {
			t.Errorf("%+v", channel)
		}
		told = append(told, channel.Table+" "+channel.Attack)
	}
	for _, channel := range []string{
		"organizations key organizations_name_key", "organizations key organizations_slug_key", "users key users_email_key", "users " +
			"key users_username_key",
		"users key users_oidc_subject_key", "incidents key incidents_pkey",
	} {
		if !slices.Contains(told, channel) {
			t.Errorf("%s is not told: %q", channel, told)
		}
	}
	if slices.ContainsFunc(told, func(channel string) bool { return strings.HasPrefix(channel, "*") }) {
		t.Errorf("a superuser migrated, but the channels are %q", told)
	}
}

// Whoever reads a summary sees first what is wrong, and then what follows from it.
func TestCausesComeFirst(t *testing.T) {
	t.Parallel()
	i := newIsolated(t)
	testdb.Exec(t, i.database, `ALTER TABLE incidents DISABLE ROW LEVEL SECURITY`)
	findings := prove(t, i.store, i.database).Findings
	if first := findings[0]; first.Table != "incidents" || first.Attack != "row-level security" || !first.IsCause {
		t.Errorf("the first finding is %+v", first)
	}
	last := slices.IndexFunc(findings, func(f access.Finding) bool { return !f.IsCause })
	if rest := findings[last:]; slices.ContainsFunc(rest, func(f access.Finding) bool { return f.IsCause && !f.Stopped }) {
		t.Error("a cause comes after what follows from causes")
	}
}
