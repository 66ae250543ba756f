package access_test

import (
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

const manyRolesSQL = `
	DO $do$
	BEGIN
		FOR i IN 1..%[1]d LOOP
			EXECUTE format('CREATE ROLE %%I LOGIN', 'many-' || i || '-%[2]s');
			EXECUTE format('GRANT brownie_reader TO %%I WITH INHERIT TRUE, SET FALSE', 'many-' || i || '-%[2]s');
			INSERT INTO brownie.role_bindings (role_name, access) VALUES ('many-' || i || '-%[2]s', 'reader');
		END LOOP;
	END
	$do$`

// Many roles are read at once by few statements on few connections, and leave nothing in the database's privileges.
func TestManyRolesAreFewStatements(t *testing.T) {
	t.Parallel()
	const roles, connections, parallelism = 300, 3, 10
	database := testdb.Migrated(t, testdb.Certificates)
	testdb.Exec(t, database, fmt.Sprintf(manyRolesSQL, roles, database))
	t.Cleanup(func() {
		testdb.Exec(t, database, fmt.Sprintf(`DO $do$ BEGIN FOR i IN 1..%d LOOP EXECUTE format('DROP ROLE %%I', 'many-' || i || '-%s'); `+
			`END LOOP; END $do$`, roles, database))
	})
	const reader = "reads-many-roles"
	testdb.Exec(t, database, `CREATE ROLE "`+reader+`" LOGIN IN ROLE brownie_migrator CONNECTION LIMIT `+fmt.Sprint(connections))
	testdb.Exec(t, database, `GRANT CONNECT ON DATABASE `+database+` TO "`+reader+`"`)
	t.Cleanup(func() { testdb.Exec(t, database, `DROP OWNED BY "`+reader+`"; DROP ROLE "`+reader+`"`) })
	config := testdb.ConfigAs(t, database, reader) // The server refuses one connection more.
	config.MaxConnections = connections
	db := postgres.New(config)
	store := access.New(db)

	transactions := func() int64 {
		t.Helper()
		// A session tells its counters when it ends.
		testdb.Until(t, database, `SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = $1)`, reader)
		return testdb.Value[int64](t, database, `SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()`)
	}
	before := transactions()
	var group errgroup.Group
	group.SetLimit(parallelism)
	for i := range roles {
		group.Go(func() error {
			_, err := store.Role(t.Context(), fmt.Sprintf("many-%d-%s", i+1, database))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	db.Close()
	n := transactions() - before
	t.Logf("%d roles, %d transactions", roles, n)
	if n > roles/2 {
		t.Errorf("%d roles were read by %d transactions", roles, n)
	}

	owner := access.New(testdb.DB(t, database))
	for _, name := range []string{"first", "second", "third"} {
		testdb.Must(owner.CreateRole(t.Context(), newRole(t, database, name, "reader", nil)))(t)
	}
	if n := testdb.Value[int64](t, database, `SELECT cardinality(datacl) FROM pg_database WHERE datname = current_database()`); n > 4 {
		t.Errorf("the database's list of privileges has %d entries", n)
	}
}
