package migrate_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

const connectsSQL = `
	SELECT count(*) FROM pg_database d, aclexplode(d.datacl) acl
	WHERE d.datname = current_database() AND acl.privilege_type = 'CONNECT' AND acl.grantee <> d.datdba`

// Roles with a right to connect of their own, from before there was a group role for it, can log in at any moment of the upgrade.
func TestRolesConnectAtAnyMomentOfTheUpgrade(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t, testdb.Certificates)
	up(t, database, 19)
	const roles = 30
	name := func(i int) string { return fmt.Sprintf("connecting-%02d-%s", i, database) }
	for i := range roles {
		testdb.Exec(t, database, `CREATE ROLE "`+name(i)+`" LOGIN; GRANT CONNECT ON DATABASE `+database+` TO "`+name(i)+`"`)
		testdb.Exec(t, database, `INSERT INTO brownie.role_bindings (role_name, access) VALUES ($1, 'reader')`, name(i))
		t.Cleanup(func() { testdb.Exec(t, database, `DROP OWNED BY "`+name(i)+`"; DROP ROLE "`+name(i)+`"`) })
	}
	connect := func(i int) error {
		config := testdb.ConfigAs(t, database, name(i))
		conn, err := pgx.Connect(t.Context(),
			testdb.Server(t, database).URL(database)+"&user="+name(i)+"&sslcert="+config.SSLCert+"&sslkey="+config.SSLKey)
		if err == nil {
			err = conn.Close(t.Context())
		}
		return err
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	logins := make([]int, 3)
	for client := range logins {
		clients.Go(func() {
			for i := 0; ; i++ {
				if err := connect((client*10 + i) % roles); err != nil {
					t.Errorf("login %d: %v", i, err)
					return
				}
				logins[client]++
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 5 {
		up(t, database, 20)
		if n := testdb.Value[int64](t, database, connectsSQL); n != 1 {
			t.Errorf("at version 20, %d roles have a right to connect of their own", n)
		}
		engine := platform(t, database)
		testdb.Must(engine.Run(t.Context(), testdb.Must(engine.Plan(t.Context(), 19, true))(t)))(t)
		if n := testdb.Value[int64](t, database, connectsSQL); n != roles {
			t.Errorf("at version 19, %d roles have a right to connect of their own", n)
		}
	}
	close(stop)
	clients.Wait()
	t.Logf("logins meanwhile: %v", logins)
}
