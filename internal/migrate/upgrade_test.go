package migrate_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

// A database of the last version in which tenants could learn of others: what works there works after the upgrade, and a
// table that an application isolated itself is as well kept as the platform's.
func TestATenantThatWorksWorksAfterTheUpgrade(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t, testdb.Certificates)
	up(t, database, 13)
	testdb.Exec(t, database, rowsSQL)
	testdb.Exec(t, database, `CREATE TABLE notes (id int PRIMARY KEY, organization_id uuid NOT NULL REFERENCES organizations,
		team_id uuid, body text,
		FOREIGN KEY (team_id, organization_id) REFERENCES teams (id, organization_id)); SELECT brownie.isolate_table('notes');
		INSERT INTO notes SELECT row_number() OVER (ORDER BY t.id), organization_id, t.id, 'note' FROM teams t`)
	conns := map[string]*pgx.Conn{}
	for role, level := range map[string]string{
		"upgraded-writer-" + database:  "brownie_writer",
		"upgraded-service-" + database: "brownie_admin, brownie_all_tenants",
	} {
		testdb.Exec(t, database, `CREATE ROLE "`+role+`" LOGIN IN ROLE `+level+`; GRANT CONNECT ON DATABASE `+database+` TO "`+role+`"`)
		t.Cleanup(func() { testdb.Exec(t, database, `DROP OWNED BY "`+role+`"; DROP ROLE "`+role+`"`) })
		testdb.Exec(t, database, `INSERT INTO brownie.role_bindings (role_name, organization_id, access)
			SELECT $1, CASE WHEN $2 = 'brownie_writer' THEN (SELECT min(id::text)::uuid FROM organizations) END,
				CASE WHEN $2 = 'brownie_writer' THEN 'writer' ELSE 'admin' END`, role, level)
		config := testdb.ConfigAs(t, database, role)
		conn := testdb.Must(pgx.Connect(t.Context(),
			testdb.Server(t, database).URL(database)+"&user="+role+"&sslcert="+config.SSLCert+"&sslkey="+config.SSLKey))(t)
		t.Cleanup(func() { _ = conn.Close(t.Context()) })
		conns[level] = conn
	}
	work := func(when string) {
		t.Helper()
		for level, want := range map[string]int64{"brownie_writer": 1, "brownie_admin, brownie_all_tenants": 2} {
			for _, sql := range []string{
				`SELECT id FROM organizations`, `SELECT id, email FROM users`, `SELECT * FROM incidents`, `SELECT * FROM notes`,
				`UPDATE users SET full_name = 'x'`,
				`UPDATE incidents SET assigned_to = assigned_to,
					team_id = team_id`, `UPDATE notes SET body = 'y'`, `UPDATE configs SET priority = priority + 1`,
			} {
				if tag, err := conns[level].Exec(t.Context(), sql); err != nil || tag.RowsAffected() != want {
					t.Errorf("%s, %s, %s: %s, %v", when, level, sql, tag, err)
				}
			}
		}
	}
	work("at version 13")
	up(t, database, latest(t))
	work("after the upgrade")
	if _, err := conns["brownie_admin, brownie_all_tenants"].Exec(t.Context(), `SELECT * FROM users`); err != nil {
		t.Errorf("a service role no longer reads all columns: %v", err)
	}
	if policies := testdb.Value[string](t, database,
		`SELECT string_agg(polname, ' ' ORDER BY polname COLLATE "C") FROM pg_policy
			WHERE polrelid = 'notes'::regclass`); policies != "0_tenant all_tenants_indexes all_tenants_read all_tenants_write backup owner tenant" {
		t.Errorf("the application's table has policies %s", policies)
	}
	if definition := testdb.Value[string](t, database,
		`SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'notes'::regclass
			AND conname = 'notes_team_id_organization_id_fkey'`); definition == "" {
		t.Error("the application's reference to teams is gone")
	}
}
