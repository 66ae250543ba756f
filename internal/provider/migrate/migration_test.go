package migrate_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
	"github.com/longyi-brownie/terraform-provider-brownie/migrations"
)

const theMigration = "brownie_migration.this"

// latest is the version that the provider's own migrations lead to.
func latest(t *testing.T) string {
	t.Helper()
	names, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(len(names))
}

// downOfLatest is the SQL by which a database comes to lack the last migration.
func downOfLatest(t *testing.T) string {
	t.Helper()
	names, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	text, err := fs.ReadFile(migrations.Files, names[len(names)-1])
	if err != nil {
		t.Fatal(err)
	}
	_, down, _ := strings.Cut(string(text), "\n-- +goose Down\n")
	return down
}

func at(version string) resource.TestCheckFunc {
	return resource.TestCheckResourceAttr(theMigration, "current_version", version)
}

func TestAccMigrationToAVersionThatIsUnknownInThePlan(t *testing.T) {
	database := testdb.Empty(t)
	resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{{
		Config: acctest.ProviderBlock(t, database, "") + `
resource "terraform_data" "version" { input = 2 }
resource "brownie_migration" "this" { version = terraform_data.version.output }`,
		Check: at("2"),
	}}})
}

func TestAccMigration(t *testing.T) {
	database := testdb.Empty(t)
	block := acctest.ProviderBlock(t, database, "")
	last := latest(t)
	newest := block + `resource "brownie_migration" "this" {}`
	resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{
		{
			Config:      block + `resource "brownie_migration" "this" { version = 999 }`,
			ExpectError: acctest.Says("version is 999, but the latest known migration is " + last),
		},
		{
			Config:      block + `resource "brownie_migration" "this" { lock_timeout = "5" }`,
			ExpectError: acctest.Says("a duration of whole milliseconds with a unit"),
		},
		{
			Config:      block + `resource "brownie_migration" "this" { on_destroy = "drop" }`,
			ExpectError: acctest.Says(`value must be one of: ["keep" "down"]`),
		},
		{
			Config:      block + `resource "brownie_migration" "this" { name = "app" }`,
			ExpectError: acctest.Says("source_dir must be the folder with its migrations"),
		},
		{
			Config:      block + "resource \"brownie_migration\" \"this\" {\n  name = \"brownie\"\n  source_dir = \"/tmp\"\n}",
			ExpectError: acctest.Says("is the history of the provider's own migrations"),
		},
		{
			Config:      block + `resource "brownie_migration" "this" { name = "Bad-Name" }`,
			ExpectError: acctest.Says("lower-case letters, digits and underscores"),
		},
		{
			Config: block + `resource "brownie_migration" "this" { version = 2 }`, Check: at("2"),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownValue(theMigration, tfjsonpath.New("pending"), knownvalue.ListSizeExact(2)),
				plancheck.ExpectKnownValue(theMigration, tfjsonpath.New("pending").AtSliceIndex(1).AtMapKey("name"),
					knownvalue.StringExact("0002_server_defaults.sql")),
			}},
		},
		{
			Config: newest, Check: at(last),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(theMigration, plancheck.ResourceActionUpdate),
				plancheck.ExpectKnownValue(theMigration, tfjsonpath.New("current_version"), knownvalue.NotNull()),
				plancheck.ExpectKnownValue(theMigration, tfjsonpath.New("pending").AtSliceIndex(0),
					knownvalue.ObjectPartial(map[string]knownvalue.Check{
						"version": knownvalue.Int64Exact(3), "name": knownvalue.StringExact("0003_tenant_integrity.sql"),
						"down": knownvalue.Bool(false),
						"sha256": knownvalue.StringFunc(func(sum string) error {
							if len(sum) != 64 {
								return fmt.Errorf("%q is no SHA-256", sum)
							}
							return nil
						}),
						"locks": knownvalue.ListPartial(map[int]knownvalue.Check{3: knownvalue.ObjectPartial(map[string]knownvalue.Check{
							"table": knownvalue.StringExact("public.users"), "mode": knownvalue.StringExact("SHARE ROW " +
								"EXCLUSIVE"), "bytes": knownvalue.NotNull(),
						})}),
					})),
			}},
		},
		{RefreshState: true, Check: resource.TestCheckResourceAttr(theMigration, "pending.#", "0")},
		{ // the name is in the state, not in the configuration
			Config:      block + "resource \"brownie_migration\" \"this\" { source_dir = \"/tmp\" }",
			ExpectError: acctest.Says("is the history of the provider's own migrations"),
		},
		{ResourceName: theMigration, ImportState: true, ImportStateVerify: true},
		{
			ResourceName: theMigration, ImportState: true, ImportStateId: "Other!",
			ExpectError: acctest.Says("it must be the name of a history"),
		},
		{ // somebody restored a database that lacks the last migration
			PreConfig: acctest.BehindTerraformsBack(t, database,
				downOfLatest(t)+`; DELETE FROM brownie.goose_db_version WHERE version_id = `+last),
			Config: newest, ConfigPlanChecks: acctest.Planned(theMigration, plancheck.ResourceActionUpdate), Check: at(last),
		},
		{ // a newer provider was here
			PreConfig: acctest.BehindTerraformsBack(t, database,
				`INSERT INTO brownie.goose_db_version (version_id, is_applied) VALUES (999, true)`),
			Config:      newest,
			ExpectError: acctest.Says("the database is at version 999, but the latest known migration is " + last),
		},
		{
			PreConfig: acctest.BehindTerraformsBack(t, database, `DROP SCHEMA public, brownie CASCADE; CREATE SCHEMA public`),
			Config:    newest, ConfigPlanChecks: acctest.Planned(theMigration, plancheck.ResourceActionCreate), Check: at(last),
		},
		{ // somebody changed a file, here: what is recorded of it
			PreConfig: acctest.BehindTerraformsBack(t, database,
				`UPDATE brownie.goose_db_version SET sha256 = 'abc' WHERE version_id = 3`),
			Config:      newest,
			ExpectError: acctest.Says("0003_tenant_integrity.sql is not the file that was applied as version 3"),
		},
	}})
	// The last thing the test case did was to destroy everything: the schema stays.
	if !testdb.Value[bool](t, database, `SELECT to_regclass('organizations') IS NOT NULL`) {
		t.Error("destroying the resource dropped the schema")
	}
}

// folder is a folder with migrations; each file's content is what stands behind the line "-- +goose Up".
func folder(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	fill(t, dir, files)
	return dir
}

func fill(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for file, sql := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte("-- +goose Up\n"+sql+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Two applications and the platform have their migrations in one database, each with a history of its own.
func TestAccMigrationsOfApplications(t *testing.T) {
	database := testdb.Empty(t)
	shop := folder(t, "shop-schema", map[string]string{
		"001_orders.sql": "CREATE TABLE orders (n int);",
		"002_items.sql":  "CREATE TABLE items (n int);",
	})
	blog := folder(t, "blog", map[string]string{"001_posts.sql": "CREATE TABLE posts (n int);"})
	config := acctest.ProviderBlock(t, database, "") + fmt.Sprintf(`
resource "brownie_migration" "this" {}
resource "brownie_migration" "shop" { source_dir = %q }
resource "brownie_migration" "blog" {
  name       = "journal"
  source_dir = %q
}`, shop, blog)
	resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{
		{
			Config: config,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownValue("brownie_migration.blog", tfjsonpath.New("id"), knownvalue.StringExact("journal")),
				plancheck.ExpectKnownValue("brownie_migration.blog", tfjsonpath.New("drift"), knownvalue.Null()),
			}},
			Check: resource.ComposeAggregateTestCheckFunc(at(latest(t)),
				acctest.Attributes("brownie_migration.shop",
					map[string]string{"id": "shop_schema", "name": "shop_schema", "current_version": "2", "latest_version": "2"}),
				acctest.Attributes("brownie_migration.blog", map[string]string{"id": "journal", "current_version": "1"})),
		},
		{Config: config, ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}},
		{
			ResourceName: "brownie_migration.blog", ImportState: true, ImportStateVerify: true, ImportStateId: "journal",
			ImportStateVerifyIgnore: []string{"source_dir", "latest_version", "pending"}, // The folder is only known to the configuration.
		},
		{
			PreConfig:        func() { fill(t, shop, map[string]string{"003_more.sql": "ALTER TABLE orders ADD COLUMN m int;"}) },
			Config:           config,
			ConfigPlanChecks: acctest.Planned("brownie_migration.shop", plancheck.ResourceActionUpdate),
			Check:            resource.TestCheckResourceAttr("brownie_migration.shop", "current_version", "3"),
		},
		{ // a line end of Windows is no change, another column is
			PreConfig: func() { fill(t, shop, map[string]string{"001_orders.sql": "CREATE TABLE orders (n int);\r\n\r\n"}) },
			Config:    config, ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
		},
		{
			PreConfig:   func() { fill(t, shop, map[string]string{"001_orders.sql": "CREATE TABLE orders (n bigint);"}) },
			Config:      config,
			ExpectError: acctest.Says("001_orders.sql is not the file that was applied as version 1"),
		},
		{ // Each bad file is named, with the line.
			PreConfig: func() {
				fill(t, shop, map[string]string{
					"001_orders.sql": "CREATE TABLE orders (n int);", "002_again.sql": "SELECT 1;", "four.sql": "SELECT " +
						"1;", "005_empty.sql": "-- nothing",
					"006_unfinished.sql": "SELECT 1;\n\nSELECT 2", "007_open.sql": "-- +goose StatementBegin\nSELECT 1;",
				})
				if err := os.WriteFile(filepath.Join(shop, "008_no_up.sql"), []byte("SELECT 1;\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			Config:      config,
			ExpectError: acctest.Says(`002_items.sql has version 2, and so has 002_again.sql`),
		},
		{Config: config, ExpectError: acctest.Says("four.sql has no version")},
		{Config: config, ExpectError: acctest.Says(`005_empty.sql, line 1: is empty`)},
		{Config: config, ExpectError: acctest.Says("006_unfinished.sql, line 4: the statement that begins here does not end")},
		{Config: config, ExpectError: acctest.Says("007_open.sql, line 2:")},
		{Config: config, ExpectError: acctest.Says("008_no_up.sql, line 1:")},
		{
			PreConfig: func() {
				for _, name := range []string{
					"002_again.sql", "four.sql", "005_empty.sql", "006_unfinished.sql", "007_open.sql",
					"008_no_up.sql",
				} {
					if err := os.Remove(filepath.Join(shop, name)); err != nil {
						t.Fatal(err)
					}
				}
				fill(t, shop, map[string]string{"004_syntax.sql": "SELECT 1;\nALTER TABLE orders\n  ADD COLUM x int;"})
			},
			Config:      config,
			ExpectError: acctest.Says(`004_syntax.sql, line 4: syntax error`),
		},
		{
			PreConfig: func() {
				fill(t, shop, map[string]string{"004_syntax.sql": "SELECT 1;"})
				if err := os.Remove(filepath.Join(shop, "002_items.sql")); err != nil {
					t.Fatal(err)
				}
			},
			Config:      config,
			ExpectError: acctest.Says("version 2 was applied from 002_items.sql"),
		},
		{
			PreConfig:   func() { fill(t, shop, map[string]string{"002_items.sql": "CREATE TABLE items (n int);"}) },
			Config:      strings.ReplaceAll(config, shop, filepath.Join(shop, "missing")),
			ExpectError: acctest.Says("is no folder"),
		},
		{
			Config: config, Check: resource.TestCheckResourceAttr("brownie_migration.shop", "current_version", "4"),
		},
	}})
}

func TestAccMigrationGoesDown(t *testing.T) {
	database := testdb.Empty(t)
	dir := folder(t, "app", map[string]string{
		"001_a.sql": "CREATE TABLE a (n int);\n-- +goose Down\nDROP TABLE a;",
		"002_b.sql": "CREATE TABLE b (n int);",
		"003_c.sql": "CREATE TABLE c (n int);\n-- +goose Down\nDROP TABLE c;",
		"004_d.sql": "CREATE TABLE d (n int);\n-- +goose Down\nDROP TABLE d;",
	})
	config := func(arguments string) string {
		return acctest.ProviderBlock(t, database, "") + fmt.Sprintf("resource \"brownie_migration\" \"this\" {\n  source_dir = "+
			"%q\n%s\n}", dir, arguments)
	}
	resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{
		{Config: config(""), Check: at("4")},
		{Config: config("version = 3"), ExpectError: acctest.Says("the database is at version 4, and going down to version 3 undoes " +
			"migrations")},
		{Config: config("version = 2\nallow_down = true"), ExpectError: acctest.Says("is done one version at a time. Set version to " +
			"3 first")},
		{
			Config: config("version = 3\nallow_down = true"), Check: at("3"),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownValue(theMigration, tfjsonpath.New("pending").AtSliceIndex(0).AtMapKey("down"), knownvalue.Bool(true)),
			}},
		},
		{Config: config("version = 2\nallow_down = true"), Check: at("2")},
		{Config: config("version = 1\nallow_down = true"), ExpectError: acctest.Says("needs a down step, which 002_b.sql lacks")},
		{Config: config("version = 2\non_destroy = \"down\""), Check: at("2")},
		{
			Config: config("version = 2\non_destroy = \"down\"\nallow_down = true"), Destroy: true,
			ExpectError: acctest.Says("needs a down step, which 002_b.sql lacks"),
		},
		{
			PreConfig: func() {
				fill(t, dir, map[string]string{"002_b.sql": "CREATE TABLE b (n int);\n-- +goose Down\nDROP TABLE b;"})
				testdb.Exec(t, database, `UPDATE brownie.goose_db_version_app SET sha256 = NULL WHERE version_id = 2`)
			},
			Config: config("version = 2\non_destroy = \"down\""), Destroy: true, ExpectError: acctest.Says("going down to version 0 " +
				"undoes all migrations"),
		},
		{Config: config("version = 2\non_destroy = \"down\"\nallow_down = true")},
	}})
	if tables := testdb.Value[int](t, database, `SELECT count(*) FROM pg_class WHERE relname IN ('a', 'b', 'c', 'd')`); tables != 0 {
		t.Errorf("%d tables are left", tables)
	}
}

// A plan that creates shows what is locked, too, apart from sizes, which change all the time.
func TestAccMigrationShowsLocksWhenCreated(t *testing.T) {
	database := testdb.Empty(t)
	testdb.Exec(t, database, `CREATE TABLE big AS SELECT i AS n FROM generate_series(1, 10000) i`)
	dir := folder(t, "app", map[string]string{"001_index.sql": "CREATE INDEX big_n_idx ON big (n);\nCREATE TABLE small (n " +
		"int);\nCREATE INDEX small_n_idx ON small (n);"})
	locks := tfjsonpath.New("pending").AtSliceIndex(0).AtMapKey("locks")
	resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{{
		Config: acctest.ProviderBlock(t, database, "") + fmt.Sprintf("resource \"brownie_migration\" \"this\" { source_dir = %q }", dir),
		ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
			acctest.BetweenPlanAndApply(t, database, `INSERT INTO big SELECT i FROM generate_series(1, 10000) i`),
			plancheck.ExpectKnownValue(theMigration, locks, knownvalue.ListSizeExact(1)),
			plancheck.ExpectKnownValue(theMigration, locks.AtSliceIndex(0).AtMapKey("table"), knownvalue.StringExact("public.big")),
			plancheck.ExpectKnownValue(theMigration, locks.AtSliceIndex(0).AtMapKey("mode"), knownvalue.StringExact("SHARE")),
			plancheck.ExpectUnknownValue(theMigration, locks.AtSliceIndex(0).AtMapKey("bytes")),
		}},
		Check: resource.ComposeAggregateTestCheckFunc(at("1"),
			resource.TestMatchResourceAttr(theMigration, "pending.0.locks.0.bytes", regexp.MustCompile(`^[1-9]\d{5,}$`))),
	}}})
}

func TestAccMigrationLockBudget(t *testing.T) {
	database := testdb.Empty(t)
	testdb.Exec(t, database, `CREATE TABLE big AS SELECT i AS n FROM generate_series(1, 10000) i`)
	dir := folder(t, "app", map[string]string{"001_index.sql": "CREATE INDEX big_n_idx ON big (n);"})
	config := func(limit int) string {
		return acctest.ProviderBlock(t, database, "") + fmt.Sprintf("resource \"brownie_migration\" \"this\" {\n  source_dir = %q\n "+
			" max_locked_bytes = %d\n}", dir, limit)
	}
	resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{
		{Config: config(100000), ExpectError: acctest.Says("001_index.sql, line 2 builds an index while it locks public.big, of")},
		{Config: config(100000), ExpectError: acctest.Says("Safe alternative: CREATE INDEX CONCURRENTLY")},
		{Config: config(1000000), Check: at("1")},
	}})
}

// A plan is for one state of the database.
func TestAccMigrationOfAStalePlan(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	dir := folder(t, "app", map[string]string{
		"001_a.sql": "CREATE TABLE a (n int);", "002_b.sql": "CREATE TABLE b (n int);",
		"003_c.sql": "CREATE TABLE c (n int);",
	})
	resourceWith := func(version int) string {
		return fmt.Sprintf("resource \"brownie_migration\" \"this\" {\n  source_dir = %q\n  version = %d\n}", dir, version)
	}
	first, other := acctest.NewWorkspace(t, database, resourceWith(3)), acctest.NewWorkspace(t, database, resourceWith(2))
	// Nothing is there yet: Terraform itself notices that the second plan, which it makes when it applies, differs.
	first.MustRun("plan", "-out=saved")
	other.MustRun("apply", "-auto-approve")
	output, err := first.Run("apply", "saved")
	if err == nil || !acctest.Says("inconsistent final plan").MatchString(output) ||
		!acctest.Says("the database is at version 2 already, and the apply takes it to 3").MatchString(output) {
		t.Errorf("a stale plan: %v\n%s", err, output)
	}
	if output, err := first.Apply(); err != nil {
		t.Errorf("%s\n%s", err, output)
	}
	fill(t, dir, map[string]string{"004_d.sql": "CREATE TABLE d (n int);", "005_e.sql": "CREATE TABLE e (n int);"})
	first.Write(resourceWith(5))
	other.Write(resourceWith(4))
	first.MustRun("plan", "-out=saved")
	other.MustRun("apply", "-auto-approve")
	output, err = first.Run("apply", "saved")
	if err == nil || !acctest.Says("the plan takes the database from version 3 to 5, but it is at version 4 now").MatchString(output) {
		t.Errorf("a stale plan: %v\n%s", err, output)
	}
	if there := testdb.Value[bool](t, database, `SELECT to_regclass('e') IS NOT NULL`); there {
		t.Error("the stale plan was applied")
	}
	if output, err := first.Apply(); err != nil {
		t.Errorf("%s\n%s", err, output)
	}
	first.NoChanges()
	// That somebody else did the very same is no error.
	fill(t, dir, map[string]string{"006_f.sql": "CREATE TABLE f (n int);"})
	first.Write(resourceWith(6))
	other.Write(resourceWith(6))
	first.MustRun("plan", "-out=saved")
	other.MustRun("apply", "-auto-approve")
	if output, err := first.Run("apply", "saved"); err != nil {
		t.Errorf("%s\n%s", err, output)
	}
}

// An existing platform's database is taken over with its rows.
func TestAccMigrationAdoptsTheExistingPlatform(t *testing.T) {
	database := testdb.Empty(t)
	baseline, err := fs.ReadFile(migrations.Files, "0001_baseline.sql")
	if err != nil {
		t.Fatal(err)
	}
	_, sql, _ := strings.Cut(string(baseline), "-- +goose Up")
	sql, _, _ = strings.Cut(sql, "-- +goose Down")
	testdb.Exec(t, database, sql)
	testdb.Exec(t, database, `INSERT INTO organizations (id, name, slug, is_active, max_teams, max_users_per_team)
		VALUES (gen_random_uuid(), 'Acme', 'acme', true, 1, 1)`)
	config := acctest.ProviderBlock(t, database, "") + `resource "brownie_migration" "this" {}`
	resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{
		{
			PreConfig: acctest.BehindTerraformsBack(t, database, `ALTER TABLE teams ADD COLUMN extra int; DROP INDEX ix_users_email`),
			Config:    config,
			ExpectError: acctest.Says("It resembles version 1, with 2 differences: - missing: index public.users CREATE INDEX " +
				"ix_users_email"),
		},
		{
			PreConfig: acctest.BehindTerraformsBack(t, database,
				`ALTER TABLE teams DROP COLUMN extra; CREATE INDEX ix_users_email ON users (email);
				UPDATE alembic_version SET version_num = 'abcdef'`),
			Config:      config,
			ExpectError: acctest.Says("Alembic's revision there is abcdef; it must be d607e412e7b0"),
		},
		{
			PreConfig: acctest.BehindTerraformsBack(t, database, `UPDATE alembic_version SET version_num = 'd607e412e7b0'`),
			Config:    config, Check: at(latest(t)),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownValue(theMigration, tfjsonpath.New("pending").AtSliceIndex(0).AtMapKey("version"),
					knownvalue.Int64Exact(2)),
			}},
		},
	}})
	if slug := testdb.Value[string](t, database, `SELECT string_agg(slug, ' ') FROM organizations`); slug != "acme" {
		t.Errorf("organizations are %q", slug)
	}
}

// What ran is recorded with who ran it, and shown by the data source.
func TestAccMigrationStatus(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	dir := folder(t, "app", map[string]string{"001_a.sql": "CREATE TABLE a (n int);", "002_b.sql": "ALTER TABLE a ADD COLUMN m int;"})
	w := acctest.NewWorkspace(t, database, fmt.Sprintf(`
resource "brownie_migration" "this" {
  source_dir = %[1]q
  version    = 1
}
data "brownie_migration_status" "app" {
  source_dir = %[1]q
  depends_on = [brownie_migration.this]
}
data "brownie_migration_status" "platform" {}
output "app" { value = data.brownie_migration_status.app }
output "platform" { value = data.brownie_migration_status.platform }
`, dir))
	w.Env = append(w.Env, "TFC_RUN_ID=run-abc", "TF_LOG=INFO", "TF_LOG_PATH="+filepath.Join(w.Dir, "log"))
	w.MustRun("apply", "-auto-approve")
	var outputs struct {
		App, Platform struct {
			Value struct {
				Current  int64    `json:"current_version"`
				Latest   int64    `json:"latest_version"`
				UpToDate bool     `json:"up_to_date"`
				Problems []string `json:"problems"`
				Applied  []struct {
					Name, SHA256, Role string
					AppliedAt          string `json:"applied_at"`
					ProviderVersion    string `json:"provider_version"`
					RunID              string `json:"run_id"`
				}
				Pending []struct {
					Name  string
					Locks []struct{ Table, Mode string }
				}
			}
		}
	}
	output, err := w.Command("output", "-json").Output()
	if err == nil {
		err = json.Unmarshal(output, &outputs)
	}
	if err != nil {
		t.Fatalf("%s\n%s", err, output)
	}
	app, platform := outputs.App.Value, outputs.Platform.Value
	if app.Current != 1 || app.Latest != 2 || app.UpToDate || len(app.Problems) != 0 || len(app.Applied) != 1 || len(app.Pending) != 1 {
		t.Fatalf("got %+v", app)
	}
	if a := app.Applied[0]; a.Name != "001_a.sql" || len(a.SHA256) != 64 || a.Role != "postgres" || a.RunID != "run-abc" ||
		a.ProviderVersion == "" || a.AppliedAt == "" {
		t.Errorf("recorded is %+v", a)
	}
	if p := app.Pending[0]; p.Name != "002_b.sql" || len(p.Locks) != 1 || p.Locks[0].Table != "public.a" ||
		p.Locks[0].Mode != "ACCESS EXCLUSIVE" {
		t.Errorf("pending is %+v", p)
	}
	if platform.Current != 0 || strconv.Itoa(len(platform.Pending)) != latest(t) || platform.UpToDate {
		t.Errorf("the platform's: %+v", platform)
	}
	log, err := os.ReadFile(filepath.Join(w.Dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"migration begins", "migration ended"} {
		if !slices.ContainsFunc(strings.Split(string(log), "\n"), func(line string) bool {
			return strings.Contains(line, words) && strings.Contains(line, "001_a.sql")
		}) {
			t.Errorf("the log does not say %q", words)
		}
	}
	testdb.Exec(t, database, `UPDATE brownie.goose_db_version_app SET sha256 = 'abc'`)
	w.Write(fmt.Sprintf(`
data "brownie_migration_status" "app" { source_dir = %q }
output "problems" { value = data.brownie_migration_status.app.problems }`, dir))
	if output := w.MustRun("apply", "-auto-approve"); !strings.Contains(output, "is not the file that was applied as version 1") {
		t.Errorf("the data source does not tell of an edited file:\n%s", output)
	}
}

// A module brings its own migrations; its folder is found wherever Terraform runs.
func TestAccMigrationInAModule(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	w := acctest.NewWorkspace(t, database, `module "shop" { source = "./shop" }`)
	files := filepath.Join(w.Dir, "shop", "migrations")
	if err := os.MkdirAll(files, 0o700); err != nil {
		t.Fatal(err)
	}
	fill(t, files, map[string]string{"001_orders.sql": "CREATE TABLE orders (n int);"})
	module := `terraform {
  required_providers {
    brownie = { source = "longyi-brownie/brownie" }
  }
}
resource "brownie_migration" "shop" { source_dir = "${path.module}/migrations" }
`
	if err := os.WriteFile(filepath.Join(w.Dir, "shop", "main.tf"), []byte(module), 0o600); err != nil {
		t.Fatal(err)
	}
	w.MustRun("get") // "init" would look for the provider in the registry
	w.MustRun("apply", "-auto-approve")
	w.NoChanges()
	if !testdb.Value[bool](t, database, `SELECT to_regclass('orders') IS NOT NULL
		AND to_regclass('brownie.goose_db_version_migrations') IS NOT NULL`) {
		t.Error("the module's migration did not run")
	}
}

// 8 applies at once on an empty database: one migrates, the others wait and find nothing to do.
func TestAccMigrationsAtOnce(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	var group sync.WaitGroup
	for range 8 {
		w := acctest.NewWorkspace(t, database, `resource "brownie_migration" "this" {}`)
		group.Go(func() {
			if output, err := w.Apply(); err != nil {
				t.Errorf("%s\n%s", err, output)
				return
			}
			w.NoChanges()
		})
	}
	group.Wait()
	if n := testdb.Value[int](t, database, `SELECT count(*) FROM brownie.goose_db_version`); strconv.Itoa(n-1) != latest(t) {
		t.Errorf("%d migrations are recorded", n-1)
	}
}

// What is pending is not told when the database that it is for is unknown.
func TestAccMigrationOfAnUnknownDatabase(t *testing.T) {
	database := testdb.Empty(t)
	with := func(run int, name string) string {
		return fmt.Sprintf("resource \"terraform_data\" \"database\" {\n  input = %q\n  triggers_replace = [%d]\n}\n", database, run) +
			strings.Replace(acctest.ProviderBlock(t, database, ""), fmt.Sprintf("%q", database), name, 1)
	}
	known := fmt.Sprintf("%q", database)
	resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{
		{Config: with(1, known) + `resource "brownie_migration" "this" { version = 2 }`, Check: at("2")},
		{Config: with(1, known) + `removed {
  from = brownie_migration.this
  lifecycle { destroy = false }
}`},
		{
			Config: with(2, "terraform_data.database.output") + `resource "brownie_migration" "this" {}`, Check: at(latest(t)),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectUnknownValue(theMigration,
				tfjsonpath.New("pending"))}},
		},
	}})
}

// What a migration warns of is shown by the apply that runs it, each warning once.
func TestAccMigrationThatWarns(t *testing.T) {
	const raise = "DO $$ BEGIN RAISE WARNING 'row % has no owner', 7 USING HINT = 'Give it one.'; RAISE NOTICE 'all is well'; END $$;"
	files := folder(t, "warns", map[string]string{"001_warns.sql": raise + "\n" + raise})
	w := acctest.NewWorkspace(t, testdb.Empty(t), fmt.Sprintf("resource \"brownie_migration\" \"this\" { source_dir = %q }", files))
	output := testdb.Must(w.Apply())(t)
	if count := strings.Count(output, "row 7 has no owner. Give it one."); count != 1 || !strings.Contains(output,
		"Warning: Migration 001_warns.sql warns") {
		t.Errorf("the warning is shown %d times:\n%s", count, output)
	}
	if _, applied, _ := strings.Cut(output, "Plan: "); strings.Contains(applied, "all is well") {
		t.Errorf("a notice is shown:\n%s", output)
	}
	w.NoChanges()
}
