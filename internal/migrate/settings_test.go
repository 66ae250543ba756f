package migrate_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
)

// oddSettings are what a database may have set for all its sessions, and all that changes how PostgreSQL writes definitions.
const oddSettings = `
	ALTER DATABASE "%[1]s" SET quote_all_identifiers = on;
	ALTER DATABASE "%[1]s" SET search_path = other, brownie;
	ALTER DATABASE "%[1]s" SET DateStyle = 'SQL, DMY';
	ALTER DATABASE "%[1]s" SET IntervalStyle = 'iso_8601';
	ALTER DATABASE "%[1]s" SET TimeZone = 'Asia/Kathmandu';
	ALTER DATABASE "%[1]s" SET standard_conforming_strings = off;
	ALTER DATABASE "%[1]s" SET escape_string_warning = off;
	ALTER DATABASE "%[1]s" SET bytea_output = 'escape';
	ALTER DATABASE "%[1]s" SET extra_float_digits = -3;
	ALTER DATABASE "%[1]s" SET default_transaction_isolation = 'serializable';
	ALTER DATABASE "%[1]s" SET default_transaction_deferrable = on;
	ALTER DATABASE "%[1]s" SET lock_timeout = '100ms';
	ALTER DATABASE "%[1]s" SET statement_timeout = '5s';`

// A schema is the same whatever is set for the sessions that make, adopt and compare it.
func TestSettingsOfTheDatabaseChangeNothing(t *testing.T) {
	t.Parallel()
	usual := testdb.Must(platform(t, testdb.Migrated(t)).Catalog(t.Context()))(t)
	database := testdb.Empty(t)
	testdb.Exec(t, database, fmt.Sprintf(oddSettings, database))
	up(t, database, latest(t))
	if odd := testdb.Must(platform(t, database).Catalog(t.Context()))(t); !slices.Equal(odd, usual) {
		t.Errorf("the catalog differs: %s", difference(usual, odd))
	}
	testdb.Exec(t, database, `DROP TABLE brownie.goose_db_version`)
	plan, err := platform(t, database).Plan(t.Context(), latest(t), false)
	if err != nil || plan.Adopts != latest(t) {
		t.Errorf("planned %+v, %v", plan, err)
	}
	locks, _ := told(t, migrate.New(testdb.DB(t, database), migrate.Source{Name: "app", Files: fstest.MapFS{"0001_x.sql": file(`ALTER TABLE public.users ADD COLUMN extra int;`)}}, migrate.Options{}), 1, false)
	if locks["public.users"] != "ACCESS EXCLUSIVE" {
		t.Errorf("locks are %v", locks)
	}
}
