package access_test

import (
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// The migration, the roles and devstack each name the group role that may connect to a database: all of them mean the same one.
func TestTheConnectGroupHasOneName(t *testing.T) {
	t.Parallel()
	beside := testdb.Empty(t) // where the server is asked after a database is gone
	server := testdb.Server(t, beside)
	type row struct {
		Name   string `db:"name"`
		Member bool   `db:"member"`
	}
	for what, name := range map[string]string{
		"upper case": `Odd Group`, "quotes": `odd group "'$$\`, "47 bytes": "odd group" + strings.Repeat("x", 38),
		"48 bytes": "odd group" + strings.Repeat("x", 39), "47 bytes, fewer characters": "odd group" + strings.Repeat("é", 19),
		"49 bytes, fewer characters": "odd group" + strings.Repeat("é", 20), "63 bytes": "odd group" + strings.Repeat("Z", 54),
	} {
		if err := server.CreateDatabase(t.Context(), name, ""); err != nil {
			t.Fatalf("%s: %s", what, err)
		}
		config := testdb.Must(server.Config(name))(t)
		testdb.Migrate(t, config)
		db := postgres.New(config)
		store := access.New(db)
		role, err := store.CreateRole(t.Context(), access.Role{Name: "member-" + beside, Access: "reader"})
		if err != nil {
			t.Errorf("%s: %s", what, err)
		}
		groups, err := postgres.Change[row](t.Context(), db, postgres.Statement{
			SQL: `
			SELECT g.rolname::text AS name, EXISTS (SELECT FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.member
				WHERE m.roleid = g.oid AND r.rolname = $1) AS member
			FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) acl JOIN pg_catalog.pg_roles g ON g.oid = acl.grantee
			WHERE d.datname = pg_catalog.current_database() AND acl.privilege_type = 'CONNECT' AND g.oid <> d.datdba`,
			Args: []any{role.Name},
		})
		if err != nil || len(groups) != 1 || !groups[0].Member {
			t.Fatalf("%s: the migration's group and the role's differ: %+v, %v", what, groups, err)
		}
		if err := store.DropRole(t.Context(), role, ""); err != nil {
			t.Errorf("%s: %s", what, err)
		}
		db.Close()
		if err := server.DropDatabase(t.Context(), name); err != nil {
			t.Errorf("%s: %s", what, err)
		}
		if testdb.Value[bool](t, beside, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, groups[0].Name) {
			t.Errorf("%s: devstack left %s", what, groups[0].Name)
		}
	}
}
