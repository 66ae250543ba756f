package migrate_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
)

// The guide's way to fill a column commits batch by batch, and goes on where an attempt before was interrupted.
func TestTheGuidesBackfill(t *testing.T) {
	t.Parallel()
	guide := string(testdb.Must(os.ReadFile(filepath.Join(testdb.Repository(t), "templates", "guides", "migrations.md")))(t))
	_, rest, _ := strings.Cut(guide, "Fill a column in batches")
	_, rest, _ = strings.Cut(rest, "```sql\n")
	backfill, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the guide has no backfill")
	}
	number := []string{"last_id bigint := 0", "ids bigint[]"}
	uuid := []string{"last_id uuid := '00000000-0000-0000-0000-000000000000'", "ids uuid[]"}
	if !strings.Contains(guide, "`"+uuid[0]+"` and `"+uuid[1]+"`") {
		t.Error("the guide does not say how to fill a table whose keys are UUIDs")
	}
	fillInBatches(t, "bigint GENERATED ALWAYS AS IDENTITY", backfill)
	fillInBatches(t, "uuid DEFAULT gen_random_uuid()", strings.NewReplacer(number[0], uuid[0], number[1], uuid[1]).Replace(backfill))
}

func fillInBatches(t *testing.T, id, backfill string) {
	t.Helper()
	database := testdb.Empty(t)
	engine := migrate.New(testdb.DB(t, database), migrate.Source{Name: "orders", Files: fstest.MapFS{
		"0001_orders.sql": file(`CREATE TABLE public.orders (id ` + id + ` PRIMARY KEY, n int, note text);
			INSERT INTO public.orders (n) SELECT i FROM generate_series(1, 2500) i;`),
		"0002_backfill.sql": &fstest.MapFile{Data: []byte(backfill)},
	}}, migrate.Options{})
	testdb.Must(engine.Up(t.Context(), 1))(t)
	testdb.Exec(t, database, `UPDATE orders SET note = 'kept' WHERE n % 100 = 0`)
	testdb.Must(engine.Up(t.Context(), 2))(t)
	if n := testdb.Value[int64](t, database, `SELECT count(*) FROM orders WHERE note = 'none'`); n != 2475 {
		t.Errorf("%s: %d rows were filled", id, n)
	}
	if n := testdb.Value[int64](t, database, `SELECT count(DISTINCT xmin::text) FROM orders WHERE note = 'none'`); n != 3 {
		t.Errorf("%s: the rows were filled by %d transactions", id, n)
	}
}
