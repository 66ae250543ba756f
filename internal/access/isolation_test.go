package access_test

import (
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

func TestAFreshDatabaseIsIsolated(t *testing.T) {
	t.Parallel()
	i := newIsolated(t)
	// A table that somebody added as documented.
	testdb.Exec(t, i.database, `
		CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY, organization_id uuid NOT NULL REFERENCES organizations, text text);
		SELECT brownie.isolate_table('notes')`)
	rows := testdb.Value[int](t, i.database, `SELECT count(*) FROM organizations`)
	proof := testdb.Must(i.store.ProveIsolation(t.Context()))(t)
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
	if temporary := testdb.Value[int](t, i.database, `SELECT count(*) FROM pg_class WHERE relname LIKE 'brownie\_%' AND relpersistence = 't'`); temporary != 0 {
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
		"row-level security off":       {`ALTER TABLE incidents DISABLE ROW LEVEL SECURITY`, "incidents", "read"},
		"FORCE removed":                {`ALTER TABLE teams NO FORCE ROW LEVEL SECURITY`, "teams", "row-level security"},
		"policy that lets all read":    {`CREATE POLICY help ON users FOR SELECT USING (true)`, "users", "read"},
		"policy for one role":          {`CREATE POLICY support ON incidents FOR DELETE TO ROLE USING (true)`, "incidents", "policy support"},
		"policy without a check":       {`ALTER POLICY tenant ON stats WITH CHECK (true)`, "stats", "insert"},
		"policy that trusts a setting": {`ALTER POLICY tenant ON configs USING (organization_id::text = current_setting('app.secret_name', true))`, "configs", "policy tenant"},
		"new table without policy":     {`CREATE TABLE notes (id bigint, organization_id uuid)`, "notes", "row-level security"},
		"new partition without policy": {`CREATE TABLE logs (organization_id uuid, day date) PARTITION BY RANGE (day); SELECT brownie.isolate_table('logs');
			CREATE TABLE logs_1 PARTITION OF logs DEFAULT`, "logs_1", "read"},
		"BYPASSRLS":                       {`ALTER ROLE ROLE BYPASSRLS`, "ROLE", "attributes"},
		"superuser":                       {`ALTER ROLE ROLE SUPERUSER`, "ROLE", "set session authorization"},
		"CREATEROLE":                      {`ALTER ROLE ROLE CREATEROLE`, "ROLE", "attributes"},
		"role owns a table":               {`ALTER TABLE incidents OWNER TO ROLE`, "incidents", "ownership"},
		"role in a group above tenants":   {`GRANT brownie_all_tenants TO ROLE`, "brownie_all_tenants", "set role"},
		"role may read all data":          {`GRANT pg_read_all_data TO ROLE`, "pg_read_all_data", "set role"},
		"group in a group above tenants":  {`GRANT SERVER TO ROLE`, "brownie_all_tenants", "set role"},
		"leaky SECURITY DEFINER function": {`CREATE FUNCTION count_all() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS 'SELECT count(*) FROM incidents'`, "count_all()", "security definer"},
		"view with its owner's rights":    {`CREATE VIEW everything AS SELECT * FROM incidents; GRANT SELECT ON everything TO brownie_reader`, "everything", "view"},
		"view of such a view":             {`CREATE VIEW inner_one AS SELECT * FROM incidents; CREATE VIEW outer_one AS SELECT title FROM inner_one; GRANT SELECT (title) ON outer_one TO brownie_reader`, "outer_one", "view"},
		"materialized view":               {`CREATE MATERIALIZED VIEW summary AS SELECT organization_id, count(*) FROM incidents GROUP BY 1; GRANT SELECT ON summary TO ROLE`, "summary", "view"},
		"binding view that trusts": {`CREATE OR REPLACE VIEW brownie.current_binding WITH (security_barrier = true) AS
			SELECT coalesce(nullif(current_setting('some.setting', true), '')::uuid, organization_id) AS organization_id, access,
				false AS all_tenants, false AS writes_all_tenants
			FROM brownie.role_bindings WHERE role_name = session_user`, "brownie.current_binding", "definition"},
		"binding view without barrier": {`ALTER VIEW brownie.current_binding SET (security_barrier = false)`, "brownie.current_binding", "definition"},
		"bindings that tenants change": {`GRANT SELECT, UPDATE ON brownie.role_bindings TO brownie_admin; ALTER TABLE brownie.role_bindings DISABLE ROW LEVEL SECURITY`, "brownie.role_bindings", "change own binding"},
		"limits that tenants change":   {`GRANT UPDATE ON organizations TO brownie_admin`, "public.organizations", "raise own limits"},
		"foreign key to any team": {`ALTER TABLE incidents DROP CONSTRAINT incidents_team_in_organization_fkey;
			ALTER TABLE incidents ADD FOREIGN KEY (team_id) REFERENCES teams (id)`, "incidents", "reference by team_id"},
		"TRUNCATE":                    {`GRANT TRUNCATE ON stats TO ROLE`, "stats", "privileges"},
		"schema that tenants fill":    {`GRANT CREATE ON SCHEMA public TO brownie_writer`, "schema public", "create in schema"},
		"sequence that tenants share": {`CREATE SEQUENCE numbers; GRANT USAGE ON SEQUENCE numbers TO brownie_writer`, "numbers", "sequence"},
		"names of roles for all":      {`GRANT EXECUTE ON FUNCTION brownie.pooler_lookup TO PUBLIC`, "brownie.pooler_lookup(text)", "security definer"},
		"superuser behind the pooler": {`ALTER ROLE SERVER SUPERUSER`, "SERVER", "pooled superuser"},
		"monitor that reads rows":     {`GRANT SELECT ON incidents TO brownie_monitor; CREATE POLICY monitor ON incidents TO brownie_monitor USING (true)`, "incidents", "read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIsolated(t)
			put := strings.NewReplacer("TO ROLE", `TO "`+i.role.Name+`"`, "ROLE ROLE", `ROLE "`+i.role.Name+`"`, "GRANT SERVER", `GRANT "`+i.server.Name+`"`,
				"ROLE SERVER", `ROLE "`+i.server.Name+`"`)
			testdb.Exec(t, i.database, put.Replace(sabotage.sql))
			proof := testdb.Must(i.store.ProveIsolation(t.Context()))(t)
			if proof.Isolated {
				t.Fatal("it was not found")
			}
			table := strings.NewReplacer("ROLE", i.role.Name, "SERVER", i.server.Name).Replace(sabotage.table)
			var found []access.Finding
			for _, finding := range proof.Findings {
				if !finding.Stopped {
					found = append(found, finding)
					if strings.HasPrefix(finding.Table, table) && finding.Attack == sabotage.attack && finding.Detail != "" {
						return
					}
				}
			}
			t.Errorf("what was found does not name %s, %s: %+v", table, sabotage.attack, found)
		})
	}
}
