package migrate_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/migrations"
)

var update = flag.Bool("update", false, "write migrations/catalog.txt")

// platform returns an engine for the platform's migrations.
func platform(t *testing.T, database string) *migrate.Engine {
	t.Helper()
	return migrate.New(testdb.DB(t, database), migrate.Platform, migrate.Options{})
}

func latest(t *testing.T) int64 {
	t.Helper()
	return testdb.Must(migrate.New(nil, migrate.Platform, migrate.Options{}).Latest())(t)
}

func up(t *testing.T, database string, version int64) {
	t.Helper()
	if current := testdb.Must(platform(t, database).Up(t.Context(), version))(t); current != version {
		t.Fatalf("got version %d, want %d", current, version)
	}
}

// The recorded catalog is what the migrations really make, version by version.
func TestCatalog(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	first, last := map[string]int64{}, map[string]int64{}
	latest := latest(t)
	for version := range latest + 1 {
		if version == 0 {
			continue
		}
		up(t, database, version)
		for _, line := range testdb.Must(platform(t, database).Catalog(t.Context()))(t) {
			if gone, ok := last[line]; ok && gone < version-1 {
				t.Fatalf("version %d brings back %s", version, line)
			}
			if _, ok := first[line]; !ok {
				first[line] = version
			}
			last[line] = version
		}
	}
	var catalog strings.Builder
	for _, line := range slices.Sorted(maps.Keys(first)) {
		to := ""
		if last[line] < latest {
			to = fmt.Sprint(last[line])
		}
		fmt.Fprintf(&catalog, "%d-%s\t%s\n", first[line], to, line)
	}
	if *update {
		if err := os.WriteFile(filepath.Join(testdb.Repository(t), "migrations", "catalog.txt"), []byte(catalog.String()),
			0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if catalog.String() != migrations.Catalog {
		t.Error("migrations/catalog.txt is out of date: run go test ./internal/migrate -run TestCatalog -update, and read what changed")
	}
}

const rowsSQL = `
	WITH o AS (INSERT INTO organizations (name, slug) SELECT 'Org ' || i, 'org-' || i FROM generate_series(1, 2) i RETURNING id),
	t AS (INSERT INTO teams (organization_id, name, slug) SELECT id, 'Team', 'team' FROM o RETURNING id, organization_id),
	u AS (INSERT INTO users (organization_id, team_id, email, username) SELECT organization_id, id, id || '@example.com', id
		FROM t RETURNING id, organization_id, team_id),
	a AS (INSERT INTO agent_configs (organization_id, team_id, name, agent_type) SELECT organization_id, id, 'Agent', 'CUSTOM' FROM t),
	c AS (INSERT INTO configs (organization_id, team_id, name, config_type) SELECT organization_id, id, 'Config', 'TEAM' FROM t),
	i AS (INSERT INTO incidents (organization_id, team_id, assigned_to, title, idempotency_key) SELECT organization_id, team_id, id,
		'Disk full', id FROM u),
	p AS (INSERT INTO brownie.organization_options (organization_id, force_destroy) SELECT id, true FROM o)
	INSERT INTO stats (organization_id, team_id, metric_name, metric_type, value) SELECT organization_id, id, 'load', 'gauge', 1 FROM t`

func TestEveryMigrationGoesDownAndUpAgain(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	engine := platform(t, database)
	catalogs := map[int64][]string{}
	for line := range strings.Lines(migrations.Catalog) {
		var first, last int64
		_, _ = fmt.Sscanf(line, "%d-%d", &first, &last)
		_, object, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		for version := first; version <= cmp.Or(last, testdb.Must(engine.Latest())(t)); version++ {
			catalogs[version] = append(catalogs[version], object)
		}
	}
	same := func(version int64) {
		t.Helper()
		got := testdb.Must(engine.Catalog(t.Context()))(t)
		for _, line := range catalogs[version] {
			if !slices.Contains(got, line) {
				t.Errorf("version %d lacks %s", version, line)
			}
		}
		for _, line := range got {
			if !slices.Contains(catalogs[version], line) {
				t.Errorf("version %d has %s", version, line)
			}
		}
	}
	count := func() int {
		return testdb.Value[int](t, database, `SELECT (SELECT count(*) FROM organizations) + (SELECT count(*)
			FROM teams) + (SELECT count(*) FROM users)
			+ (SELECT count(*) FROM agent_configs) + (SELECT count(*) FROM configs) + (SELECT count(*)
				FROM incidents) + (SELECT count(*) FROM stats)`)
	}
	down := func(version int64) {
		t.Helper()
		plan := testdb.Must(engine.Plan(t.Context(), version, true))(t)
		if len(plan.Steps) != 1 || !plan.Steps[0].Down {
			t.Fatalf("planned %+v", plan)
		}
		if current := testdb.Must(engine.Run(t.Context(), plan))(t); current != version {
			t.Fatalf("got version %d, want %d", current, version)
		}
	}
	testdb.Exec(t, database, rowsSQL)
	for version := testdb.Must(engine.Latest())(t); version > 1; version-- {
		down(version - 1)
		same(version - 1)
		up(t, database, version)
		same(version)
		down(version - 1)
		if n := count(); n != 14 {
			t.Fatalf("%d rows are left at version %d", n, version-1)
		}
	}
	if current := testdb.Must(engine.Run(t.Context(), testdb.Must(engine.PlanTeardown(t.Context(), true))(t)))(t); current != 0 {
		t.Errorf("got version %d after a teardown", current)
	}
	same(0)
	up(t, database, testdb.Must(engine.Latest())(t))
	same(testdb.Must(engine.Latest())(t))
}
