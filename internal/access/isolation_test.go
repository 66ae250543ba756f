package access_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

// isolated is a database with two tenants, a role of the first, and a service role.
type isolated struct {
	database     string
	store        *access.Store
	role, server access.Role
}

func newIsolated(t *testing.T) isolated {
	t.Helper()
	database := testdb.Migrated(t, testdb.Certificates)
	i := isolated{database: database, store: access.New(testdb.DB(t, database))}
	acme := newOrganization(t, database, "acme")
	newOrganization(t, database, "globex")
	i.role = testdb.Must(i.store.CreateRole(t.Context(), newRole(t, database, "acme-app", "admin", &acme)))(t)
	i.server = testdb.Must(i.store.CreateRole(t.Context(), newRole(t, database, "server", "admin", nil)))(t)
	return i
}

// prove attacks the isolation of a database. Roles belong to all databases of a server, so it leaves out the superusers of
// tests that run at the same time.
func prove(t *testing.T, store *access.Store, database string) access.Isolation {
	t.Helper()
	proof := testdb.Must(store.ProveIsolation(t.Context()))(t)
	proof.Findings = slices.DeleteFunc(proof.Findings, func(f access.Finding) bool {
		return f.Attack == "pooled superuser" && !strings.HasSuffix(f.Role, strings.TrimPrefix(database, "brownie_test"))
	})
	proof.Isolated = !slices.ContainsFunc(proof.Findings, func(f access.Finding) bool { return !f.Stopped })
	return proof
}

func TestAFreshDatabaseIsIsolated(t *testing.T) {
	t.Parallel()
	i := newIsolated(t)
	// A table that somebody added as documented.
	testdb.Exec(t, i.database, `
		CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY, organization_id uuid NOT NULL REFERENCES organizations, text text);
		SELECT brownie.isolate_table('notes')`)
	rows := testdb.Value[int](t, i.database, `SELECT count(*) FROM organizations`)
	proof := prove(t, i.store, i.database)
	attempts := map[string]int{}
	for _, finding := range proof.Findings {
		if !finding.Stopped {
			t.Errorf("not stopped: %+v", finding)
		}
		attempts[finding.Role]++
	}
	if !proof.Isolated {
		t.Error("a fresh database is not isolated")
	}
	for _, kind := range []string{"brownie_reader", "brownie_writer", "brownie_admin"} {
		if attempts[kind] < 10*6 {
			t.Errorf("only %d attempts as %s", attempts[kind], kind)
		}
	}
	if attempts[i.role.Name] == 0 {
		t.Error("the tenant's own role was not tried")
	}
	if now := testdb.Value[int](t, i.database, `SELECT count(*) FROM organizations`); now != rows {
		t.Errorf("the proof left %d organizations behind", now-rows)
	}
	if temporary := testdb.Value[int](t, i.database, `SELECT count(*) FROM pg_class WHERE relname LIKE 'brownie\_%' AND `+
		`relpersistence = 't'`); temporary != 0 {
		t.Errorf("the proof left %d temporary tables behind", temporary)
	}
}

// ROLE and SERVER stand for the tenant's role and the service role.
func TestSabotageOfTheIsolationIsFound(t *testing.T) {
	t.Parallel()
	for name, sabotage := range map[string]struct {
		sql           string
		table, attack string // what must be named; the table by its beginning
	}{
		"row-level security off":    {`ALTER TABLE incidents DISABLE ROW LEVEL SECURITY`, "incidents", "read"},
		"FORCE removed":             {`ALTER TABLE teams NO FORCE ROW LEVEL SECURITY`, "teams", "row-level security"},
		"policy that lets all read": {`CREATE POLICY help ON users FOR SELECT USING (true)`, "users", "policy help"},
		"policy for one role": {
			`CREATE POLICY support ON incidents FOR DELETE TO ROLE USING (true)`,
			"incidents", "policy support",
		},
		"policy without a check": {`ALTER POLICY tenant ON stats WITH CHECK (true)`, "stats", "policy tenant"},
		"policy that trusts a setting": {
			`ALTER POLICY tenant ON configs USING (organization_id::text = current_setting('app.secret_name', true))`,
			"configs", "policy tenant",
		},
		"new table without policy": {`CREATE TABLE notes (id bigint, organization_id uuid)`, "notes", "row-level security"},
		"new partition without policy": {
			`CREATE TABLE logs (organization_id uuid, day date) PARTITION BY RANGE (day); SELECT brownie.isolate_table('logs');
			CREATE TABLE logs_1 PARTITION OF logs DEFAULT`,
			"logs_1", "read",
		},
		"BYPASSRLS":                      {`ALTER ROLE ROLE BYPASSRLS`, "ROLE", "attributes"},
		"superuser":                      {`ALTER ROLE ROLE SUPERUSER`, "ROLE", "set session authorization"},
		"CREATEROLE":                     {`ALTER ROLE ROLE CREATEROLE`, "ROLE", "attributes"},
		"role owns a table":              {`ALTER TABLE incidents OWNER TO ROLE`, "incidents", "ownership"},
		"role in a group above tenants":  {`GRANT brownie_all_tenants TO ROLE`, "brownie_all_tenants", "set role"},
		"role may read all data":         {`GRANT pg_read_all_data TO ROLE`, "pg_read_all_data", "set role"},
		"group in a group above tenants": {`GRANT SERVER TO ROLE`, "brownie_all_tenants", "set role"},
		"leaky SECURITY DEFINER function": {
			`CREATE FUNCTION count_all() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS 'SELECT count(*) FROM incidents'`,
			"count_all()", "security definer",
		},
		"view with its owner's rights": {
			`CREATE VIEW everything AS SELECT * FROM incidents; GRANT SELECT ON everything TO brownie_reader`,
			"everything", "view",
		},
		"view of such a view": {
			`CREATE VIEW inner_one AS SELECT * FROM incidents; CREATE VIEW outer_one AS SELECT title FROM inner_one; GRANT SELECT ` +
				`(title) ON outer_one TO brownie_reader`,
			"outer_one", "view",
		},
		"materialized view": {
			`CREATE MATERIALIZED VIEW summary AS SELECT organization_id, count(*) FROM incidents GROUP BY 1; GRANT SELECT ON summary ` +
				`TO ROLE`,
			"summary", "view",
		},
		"binding view that trusts": {`CREATE OR REPLACE VIEW brownie.current_binding WITH (security_barrier = true) AS
			SELECT coalesce(nullif(current_setting('some.setting', true), '')::uuid, organization_id) AS organization_id, access,
				false AS all_tenants, false AS writes_all_tenants
			FROM brownie.role_bindings WHERE role_name = session_user`, "brownie.current_binding", "definition"},
		"binding view without barrier": {
			`ALTER VIEW brownie.current_binding SET (security_barrier = false)`,
			"brownie.current_binding", "definition",
		},
		"bindings that tenants change": {
			`GRANT SELECT, UPDATE ON brownie.role_bindings TO brownie_admin; ALTER TABLE brownie.role_bindings DISABLE ROW LEVEL SECURITY`,
			"brownie.role_bindings", "change own binding",
		},
		"limits that tenants change": {`GRANT UPDATE ON organizations TO brownie_admin`, "public.organizations", "change own max_teams"},
		"foreign key to any team": {`ALTER TABLE incidents DROP CONSTRAINT incidents_team_in_organization_fkey;
			ALTER TABLE incidents ADD FOREIGN KEY (team_id) REFERENCES teams (id)`, "incidents", "reference by team_id"},
		"TRUNCATE":                 {`GRANT TRUNCATE ON stats TO ROLE`, "stats", "privileges"},
		"schema that tenants fill": {`GRANT CREATE ON SCHEMA public TO brownie_writer`, "schema public", "create in schema"},
		"sequence that tenants share": {
			`CREATE SEQUENCE numbers; GRANT USAGE ON SEQUENCE numbers TO brownie_writer`,
			"numbers", "sequence",
		},
		"names of roles for all": {
			`GRANT EXECUTE ON FUNCTION brownie.pooler_lookup TO PUBLIC`, "brownie.pooler_lookup(text)", "security definer",
		},
		"superuser behind the pooler": {`ALTER ROLE SERVER SUPERUSER`, "SERVER", "pooled superuser"},
		"key that is no uuid":         {`CREATE TABLE notes (organization_id char(36))`, "notes", "tenant column"},
		"key of a domain, without policy": {
			`CREATE DOMAIN org AS uuid; CREATE TABLE notes (organization_id org)`,
			"notes", "row-level security",
		},
		"rows without a tenant": {
			`CREATE TABLE comments (incident_id uuid REFERENCES incidents, body text)`,
			"comments", "open table",
		},
		"tenant in another column": {
			`CREATE TABLE notes AS SELECT organization_id AS org_id, title FROM incidents`,
			"notes", "open table",
		},
		"helper role with a policy": {
			`CREATE ROLE HELPER; CREATE POLICY helper ON incidents TO HELPER USING (true); GRANT HELPER TO ROLE WITH INHERIT FALSE, ` +
				`SET TRUE`,
			"incidents", "policy helper",
		},
		"view of a role with a policy": {
			`CREATE ROLE HELPER; CREATE POLICY helper ON incidents TO HELPER USING (true); GRANT CREATE ON SCHEMA public TO HELPER;
			CREATE VIEW titles AS SELECT title FROM incidents; ALTER VIEW titles OWNER TO HELPER; GRANT SELECT ON titles TO brownie_reader`,
			"titles", "view",
		},
		"function of a role with a policy": {
			`CREATE ROLE HELPER; CREATE POLICY helper ON incidents TO HELPER USING (true); GRANT CREATE ON SCHEMA public TO HELPER;
			CREATE FUNCTION titles() RETURNS SETOF varchar SECURITY DEFINER LANGUAGE sql AS 'SELECT title FROM incidents';
				ALTER FUNCTION titles() OWNER TO HELPER`,
			"titles()", "security definer",
		},
		"materialized view of a plain role": {
			`CREATE ROLE HELPER; GRANT CREATE ON SCHEMA public TO HELPER; CREATE MATERIALIZED VIEW titles AS SELECT title FROM incidents;
			ALTER MATERIALIZED VIEW titles OWNER TO HELPER; GRANT SELECT ON titles TO brownie_reader`,
			"titles", "view",
		},
		"sequence that tenants set": {`CREATE SEQUENCE numbers; GRANT UPDATE ON SEQUENCE numbers TO brownie_writer`, "numbers", "sequence"},
		"role that watches others":  {`GRANT pg_read_all_stats TO ROLE`, "pg_read_all_stats", "set role"},
		"foreign key to any incident": {
			`CREATE TABLE notes (organization_id uuid, incident_id uuid REFERENCES incidents (id)); SELECT brownie.isolate_table('notes')`,
			"notes", "foreign key notes_incident_id_fkey",
		},
		"foreign key, row_security off": {
			`ALTER TABLE incidents DROP CONSTRAINT incidents_team_in_organization_fkey;
				ALTER TABLE incidents ADD FOREIGN KEY (team_id) REFERENCES teams (id);
			ALTER DATABASE CURRENT SET row_security = off`,
			"incidents", "reference by team_id",
		},
		"no foreign key to the team": {
			`ALTER TABLE incidents DROP CONSTRAINT incidents_team_in_organization_fkey`,
			"incidents", "foreign key of team_id",
		},
		"unique key among all tenants": {
			`CREATE TABLE notes (organization_id uuid, code text UNIQUE); SELECT brownie.isolate_table('notes')`,
			"notes", "unique key notes_code_key",
		},
		"bindings that tenants write": {
			`GRANT SELECT, INSERT, UPDATE ON brownie.role_bindings TO brownie_admin`,
			"brownie.role_bindings", "privileges",
		},
		"readable statistics":         {`GRANT SELECT ON pg_statistic TO brownie_admin`, "pg_catalog.pg_statistic", "statistics"},
		"statistics of titles":        {`ALTER TABLE incidents ALTER COLUMN title SET STATISTICS 100`, "incidents", "statistics"},
		"statistics of an expression": {`CREATE INDEX lower_title ON incidents (lower(title))`, "incidents", "statistics"},
		"statistics that were left": {
			`ALTER TABLE teams ALTER COLUMN slug SET STATISTICS -1; ANALYZE teams; ALTER TABLE teams ALTER COLUMN slug SET STATISTICS 0`,
			"teams", "statistics",
		},
		"extended statistics": {
			`CREATE STATISTICS titles (mcv) ON title, status FROM incidents`,
			"incidents", "statistics titles",
		},
		"SECURITY DEFINER trigger": {
			`CREATE FUNCTION number() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS
			'BEGIN NEW.title := (SELECT count(*) FROM incidents); RETURN NEW; END';
				CREATE TRIGGER number BEFORE INSERT ON incidents FOR EACH ROW EXECUTE FUNCTION number()`,
			"incidents", "trigger number",
		},
		"one limit that tenants change": {
			`GRANT UPDATE (max_teams) ON organizations TO brownie_admin`, "public.organizations", "change own max_teams",
		},
		"slug that tenants change": {
			`GRANT UPDATE (slug) ON organizations TO brownie_admin`, "public.organizations", "change own slug",
		},
		"activity that tenants change": {
			`GRANT UPDATE (is_active) ON organizations TO brownie_writer; GRANT UPDATE (is_active) ON organizations TO brownie_admin`,
			"public.organizations", "change own is_active",
		},
		"database open to all": {
			`DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO PUBLIC', current_database()); END $$`,
			"database", "connect",
		},
		"monitor that reads rows": {
			`GRANT SELECT ON incidents TO brownie_monitor; CREATE POLICY monitor ON incidents TO brownie_monitor USING (true)`,
			"incidents", "read",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireFound(t, sabotage.sql, sabotage.table, sabotage.attack)
		})
	}
}

// helper is the name of a role that a sabotage may make.
func (i isolated) helper() string { return "helper" + i.database }

// put replaces ROLE, SERVER, HELPER and CURRENT in a statement by the names of this test.
func (i isolated) put(sql string) string {
	return strings.NewReplacer("TO ROLE", `TO "`+i.role.Name+`"`, "HELPER", i.helper(), "DATABASE CURRENT", "DATABASE "+i.database,
		"ROLE ROLE", `ROLE "`+i.role.Name+`"`,
		"GRANT SERVER", `GRANT "`+i.server.Name+`"`, "ROLE SERVER", `ROLE "`+i.server.Name+`"`).Replace(sql)
}

// requireSilence checks that the proof has nothing against a sound design.
func requireSilence(t *testing.T, sql string) {
	t.Helper()
	i := newIsolated(t)
	testdb.Exec(t, i.database, i.put(sql))
	for _, finding := range prove(t, i.store, i.database).Findings {
		if !finding.Stopped {
			t.Errorf("%+v", finding)
		}
	}
}

// requireFound sabotages an isolated database and checks that the proof names what was done, and what to do.
func requireFound(t *testing.T, sql, table, attack string) {
	t.Helper()
	i := newIsolated(t)
	helper := i.helper()
	if strings.Contains(sql, "HELPER") {
		t.Cleanup(func() {
			testdb.Exec(t, i.database, `REASSIGN OWNED BY `+helper+` TO CURRENT_USER; DROP OWNED BY `+helper+`; DROP ROLE `+helper)
		})
	}
	testdb.Exec(t, i.database, i.put(sql))
	proof := prove(t, i.store, i.database)
	if proof.Isolated {
		t.Fatal("it was not found")
	}
	table = strings.NewReplacer("ROLE", i.role.Name, "SERVER", i.server.Name, "CURRENT", i.database).Replace(table)
	var found []access.Finding
	for _, finding := range proof.Findings {
		if !finding.Stopped {
			found = append(found, finding)
			if strings.HasPrefix(finding.Table, table) && finding.Attack == attack && finding.Detail != "" {
				return
			}
		}
	}
	t.Errorf("what was found does not name %s, %s: %+v", table, attack, found)
}

// What people build in good faith is no breach.
func TestSoundTablesAreIsolated(t *testing.T) {
	t.Parallel()
	const refuse = `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = ` +
		`'AP001'; END $$;`
	for name, sql := range map[string]string{
		"range partitions": `CREATE TABLE logs (organization_id uuid NOT NULL, day date NOT NULL) PARTITION BY RANGE (day);
			CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM ('2020-01-01') TO ('2030-01-01');
			SELECT brownie.isolate_table('logs'), brownie.isolate_table('logs_1')`,
		"partitions by tenant": `CREATE TABLE logs (organization_id uuid NOT NULL) PARTITION BY HASH (organization_id);
			CREATE TABLE logs_1 PARTITION OF logs FOR VALUES WITH (MODULUS 2, REMAINDER 0);
				CREATE TABLE logs_2 PARTITION OF logs FOR VALUES WITH (MODULUS 2, REMAINDER 1);
			SELECT brownie.isolate_table('logs'), brownie.isolate_table('logs_1'), brownie.isolate_table('logs_2')`,
		"partition that nobody may use directly": `CREATE TABLE logs (organization_id uuid NOT NULL, day date) PARTITION BY LIST (day);
			CREATE TABLE logs_1 PARTITION OF logs DEFAULT; SELECT brownie.isolate_table('logs');
				REVOKE ALL ON logs_1 FROM brownie_reader, brownie_writer, brownie_admin`,
		"append-only rows": `CREATE TABLE audit (organization_id uuid NOT NULL, what text); SELECT brownie.isolate_table('audit'); ` +
			refuse + ` CREATE TRIGGER refuse BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION refuse()`,
		"append-only statements": `CREATE TABLE audit (organization_id uuid NOT NULL, what text); SELECT ` +
			`brownie.isolate_table('audit'); ` + refuse + ` CREATE TRIGGER refuse BEFORE UPDATE OR DELETE ON audit EXECUTE FUNCTION ` +
			`refuse()`,
		"validating trigger": `CREATE TABLE notes (organization_id uuid NOT NULL, text text); SELECT brownie.isolate_table('notes'); ` +
			refuse + ` CREATE TRIGGER refuse BEFORE INSERT ON notes FOR EACH ROW WHEN (NEW.text IS NULL) EXECUTE FUNCTION refuse()`,
		"trigger of a core table": refuse + ` CREATE TRIGGER refuse BEFORE INSERT ON users FOR EACH ROW WHEN (NEW.email NOT LIKE ` +
			`'%.com') EXECUTE FUNCTION refuse()`,
		"trigger that sets the tenant": `CREATE TABLE notes (organization_id uuid, text text); SELECT brownie.isolate_table('notes');
			CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.organization_id := coalesce((SELECT organization_id
				FROM brownie.current_binding), NEW.organization_id); RETURN NEW; END $$;
			CREATE TRIGGER own BEFORE INSERT OR UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION own()`,
		"trigger that skips rows": `CREATE TABLE notes (organization_id uuid, text text); SELECT brownie.isolate_table('notes');
			CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
				CREATE TRIGGER skip BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION skip()`,
		"rule that does nothing": `CREATE RULE keep AS ON DELETE TO stats DO INSTEAD NOTHING`,
		"generated key": `CREATE TABLE docs (doc jsonb, tenant uuid, organization_id uuid GENERATED ALWAYS AS ` +
			`(tenant) STORED); SELECT brownie.isolate_table('docs')`,
		"key of a domain": `CREATE DOMAIN org AS uuid; CREATE TABLE notes (organization_id org NOT NULL, text text); ` +
			`SELECT brownie.isolate_table('notes')`,
		"view with the caller's rights": `CREATE VIEW v WITH (security_invoker = on) AS SELECT * FROM incidents; GRANT SELECT ON v TO ` +
			`brownie_reader`,
		"stricter policy": `CREATE TABLE notes (organization_id uuid, deleted boolean DEFAULT false); SELECT ` +
			`brownie.isolate_table('notes'); CREATE POLICY alive ON notes AS RESTRICTIVE USING (NOT deleted)`,
		"new column of a core table": `ALTER TABLE organizations ADD plan varchar(10); UPDATE organizations SET plan = 'x'; ALTER ` +
			`TABLE organizations ALTER plan SET NOT NULL; SELECT brownie.hide_statistics('organizations'); ALTER TABLE users ADD born ` +
			`date NOT NULL DEFAULT now(); ALTER TABLE users ALTER born DROP DEFAULT`,
		"table with everything": `CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, organization_id uuid NOT NULL
			REFERENCES organizations ON DELETE CASCADE,
			team_id uuid NOT NULL, title text NOT NULL CHECK (title <> ''), loud text GENERATED ALWAYS AS (upper(title)) STORED, UNIQUE
				(organization_id, title),
			FOREIGN KEY (team_id, organization_id) REFERENCES teams (id, organization_id) DEFERRABLE INITIALLY DEFERRED);
				SELECT brownie.isolate_table('notes')`,
		"isolated while all names are quoted": `SET quote_all_identifiers = on; CREATE TABLE notes (id uuid PRIMARY KEY, organization_id uuid);
			SELECT brownie.isolate_table('notes')`,
		"one row per tenant": `CREATE TABLE options (organization_id uuid PRIMARY KEY REFERENCES organizations DEFERRABLE ` +
			`INITIALLY DEFERRED, n int); SELECT brownie.isolate_table('options')`,
		"unlogged and inherited": `CREATE UNLOGGED TABLE parents (organization_id uuid); CREATE UNLOGGED TABLE children () INHERITS ` +
			`(parents); SELECT brownie.isolate_table('parents'), brownie.isolate_table('children')`,
		"other schema, odd names": `CREATE SCHEMA "App"; CREATE TABLE "App"."Notes Of" (organization_id uuid, "select" text); SELECT ` +
			`brownie.isolate_table('"App"."Notes Of"')`,
		"table for everybody": `CREATE TABLE countries (name text); ALTER TABLE countries ENABLE ROW LEVEL SECURITY, FORCE ROW ` +
			`LEVEL SECURITY; CREATE POLICY everybody ON countries FOR SELECT USING (true)`,
		"table for service roles": `CREATE TABLE jobs (name text); REVOKE ALL ON jobs FROM brownie_reader, brownie_writer, ` +
			`brownie_admin; GRANT SELECT, INSERT, UPDATE, DELETE ON jobs TO brownie_all_tenants`,
		"trigger with unqualified names": `CREATE FUNCTION known() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NOT EXISTS (SELECT
			FROM teams WHERE id = NEW.team_id) THEN RAISE 'no such team' USING ERRCODE = 'AP001'; END IF; RETURN NEW; END $$;
			CREATE TRIGGER known BEFORE INSERT ON incidents FOR EACH ROW EXECUTE FUNCTION known()`,
		"settings of the database": `ALTER DATABASE CURRENT SET search_path = ''; ALTER DATABASE CURRENT SET row_security = off`,
		"constraint trigger": `CREATE FUNCTION complete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NOT EXISTS (SELECT FROM
			public.teams WHERE organization_id = NEW.id) THEN RAISE 'an organization needs a team'; END IF; RETURN NULL; END $$;
			CREATE CONSTRAINT TRIGGER complete AFTER INSERT ON organizations DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION
				complete()`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireSilence(t, sql)
		})
	}
}
