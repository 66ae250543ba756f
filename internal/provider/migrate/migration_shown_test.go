package migrate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// What somebody removed from a recorded version is shown for what it is, by plans with and without state, and by the data source.
func TestAccMigrationDrift(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	const config = `
resource "brownie_migration" "this" {}
data "brownie_migration_status" "now" { depends_on = [brownie_migration.this] }
output "drift" { value = brownie_migration.this.drift }
output "status" { value = data.brownie_migration_status.now }
`
	w := acctest.NewWorkspace(t, database, config)
	output := w.MustRun("apply", "-auto-approve")
	if strings.Count(output, "Warning: ") > 1 { // Terraform itself tells of the provider's build.
		t.Errorf("warnings of an apply after which nothing is to be done:\n%s", output)
	}
	w.NoChanges()
	testdb.Exec(t, database, `ALTER TABLE teams DROP COLUMN permissions; DROP INDEX teams_org_id_service_idx;
		DROP POLICY all_tenants_read ON teams; DROP TRIGGER set_updated_at ON teams; CREATE TABLE others (n int)`)
	wanted := []string{
		"column permissions of public.teams (of 0001_baseline.sql) is missing. Restore it: ALTER TABLE public.teams ADD COLUMN permissions json;", "index teams_org_id_service_idx of public.teams",
		"policy all_tenants_read of public.teams", "trigger set_updated_at of public.teams",
	}
	tells := func(what, output string) {
		t.Helper()
		for _, want := range append(wanted, "Schema has drifted", "Restore these objects") {
			if !acctest.Says(want).MatchString(output) {
				t.Errorf("%s does not say %q:\n%s", what, want, output)
			}
		}
		if strings.Contains(output, "others") && strings.Contains(output, "public.others") {
			t.Errorf("%s tells what others added:\n%s", what, output)
		}
	}
	tells("the plan", w.MustRun("plan", "-input=false"))
	tells("a plan without state", acctest.NewWorkspace(t, database, config).MustRun("plan", "-input=false"))
	w.MustRun("apply", "-auto-approve")
	var outputs struct {
		Drift  struct{ Value []string }
		Status struct {
			Value struct {
				UpToDate        bool `json:"up_to_date"`
				Drift, Problems []string
			}
		}
	}
	if err := json.Unmarshal([]byte(w.MustRun("output", "-json")), &outputs); err != nil {
		t.Fatal(err)
	}
	status := outputs.Status.Value
	const objects = 6 // with the column went two constraints
	if len(outputs.Drift.Value) != objects || len(status.Drift) != objects || len(status.Problems) != objects || status.UpToDate {
		t.Errorf("got %+v", outputs)
	}
	// What it says is enough to repair all of it; of the policy it names the file.
	for _, text := range outputs.Drift.Value {
		_, statement, isStatement := strings.Cut(text, "Restore it: ")
		if !isStatement {
			statement = `CREATE POLICY all_tenants_read ON teams FOR SELECT TO brownie_all_tenants
				USING ((SELECT all_tenants FROM brownie.current_binding))`
		}
		testdb.Exec(t, database, statement)
	}
	if output := w.MustRun("plan", "-input=false"); strings.Contains(output, "drifted") {
		t.Errorf("after the repair:\n%s", output)
	}
}

// The plan shows the statements, for the pull request, and of steps that are undone also what they lock.
func TestAccMigrationShowsItsStatements(t *testing.T) {
	database := testdb.Empty(t)
	long := strings.Repeat("-- ä\n", 20_000) + "SELECT 2;"
	dir := folder(t, "app", map[string]string{
		"001_a.sql": "CREATE TABLE a (n int); -- first\n-- +goose Down\nDROP TABLE a;", "002_b.sql": long,
		"003_c.sql": "ALTER TABLE a ADD COLUMN m int;\n-- +goose Down\nALTER TABLE a DROP COLUMN m;",
	})
	config := func(arguments string) string {
		return acctest.ProviderBlock(t, database, "") + fmt.Sprintf("resource \"brownie_migration\" \"this\" {\n  source_dir = "+
			"%q\n%s\n}", dir, arguments)
	}
	pending := func(i int, attribute string) tfjsonpath.Path {
		return tfjsonpath.New("pending").AtSliceIndex(i).AtMapKey(attribute)
	}
	resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{
		{
			Config: config(""), Check: at("3"),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownValue(theMigration, pending(0, "sql"), knownvalue.StringExact("CREATE TABLE a (n int); -- first")),
				plancheck.ExpectKnownValue(theMigration, pending(1, "sql"), knownvalue.StringRegexp(
					regexp.MustCompile(`^-- ä\n(?s:.*)\n-- … cut here: this is the beginning of 120.0 kB$`))),
				plancheck.ExpectKnownValue(theMigration, pending(1, "sql"), knownvalue.StringFunc(func(sql string) error {
					if len(sql) > 64<<10 || len(sql) < 63<<10 {
						return fmt.Errorf("%d bytes are shown", len(sql))
					}
					return nil
				})),
			}},
		},
		{
			Config: config("version = 2\nallow_down = true"), Check: at("2"),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownValue(theMigration, pending(0, "sql"), knownvalue.StringExact("ALTER TABLE a DROP COLUMN m;")),
				plancheck.ExpectKnownValue(theMigration, pending(0, "locks").AtSliceIndex(0).AtMapKey("table"),
					knownvalue.StringExact("public.a")),
				plancheck.ExpectKnownValue(theMigration, pending(0, "locks").AtSliceIndex(0).AtMapKey("mode"),
					knownvalue.StringExact("ACCESS EXCLUSIVE")),
			}},
		},
	}})
}

// Sizes are read and written with units; a plain number goes on working.
func TestAccMigrationSizes(t *testing.T) {
	database := testdb.Empty(t)
	testdb.Exec(t, database, `CREATE TABLE big AS SELECT i AS n FROM generate_series(1, 50000) i`)
	dir := folder(t, "app", map[string]string{"001_index.sql": "CREATE INDEX big_n_idx ON big (n);"})
	config := func(limit string) string {
		return acctest.ProviderBlock(t, database, "") + fmt.Sprintf("resource \"brownie_migration\" \"this\" {\n  source_dir = %q\n "+
			" max_locked_bytes = %s\n}", dir, limit)
	}
	const refused = "writes would have to wait too long, since max_locked_bytes is 100.0 kB: 001_index.sql, line 2 builds an index " +
		"while it locks public.big, of 1."
	resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{
		{Config: config(`"100kB"`), ExpectError: acctest.Says(refused)},
		{Config: config(`100000`), ExpectError: acctest.Says(refused)},
		{Config: config(`-1`), ExpectError: acctest.Says(`is "-1": it must be a number of bytes, or a number with a unit`)},
		{Config: config(`"1 parsec"`), ExpectError: acctest.Says(`is "1 parsec": it must be a number of bytes`)},
		{Config: config(`64 * 1024 * 1024 * 1024`), Check: resource.TestCheckResourceAttr(theMigration, "max_locked_bytes", "68719476736")},
		{Config: config(`"1GB"`), ConfigPlanChecks: acctest.Planned(theMigration, plancheck.ResourceActionUpdate)},
	}})
}

// A state that an older provider wrote, where the limit is a number and steps have no SQL, is read as it is.
func TestStateOfAnOlderProvider(t *testing.T) {
	t.Parallel()
	server := testdb.Must(acctest.Factories["brownie"]())(t)
	answer := testdb.Must(server.UpgradeResourceState(t.Context(), &tfprotov6.UpgradeResourceStateRequest{
		TypeName: "brownie_migration",
		RawState: &tfprotov6.RawState{JSON: []byte(`{"id": "brownie", "name": "brownie", "version": null, "source_dir": null, "allow_down": false,
			"on_destroy": "keep", "lock_timeout": "5s", "max_locked_bytes": 1073741824, "current_version": 1, "latest_version": 1, "pending": [
			{"version": 1, "name": "0001_baseline.sql", "sha256": "", "down": false, "locks": [], "locked_bytes": 0}]}`)},
	}))(t)
	for _, diagnostic := range answer.Diagnostics {
		t.Errorf("%s: %s", diagnostic.Summary, diagnostic.Detail)
	}
}

// Ctrl-C ends a migration, and is called what it is.
func TestAccMigrationIsInterrupted(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	dir := folder(t, "app", map[string]string{"001_a.sql": "CREATE TABLE a (n int);", "002_slow.sql": "SELECT pg_sleep(600);"})
	w := acctest.NewWorkspace(t, database, fmt.Sprintf("resource \"brownie_migration\" \"this\" { source_dir = %q }", dir))
	apply := w.Command("apply", "-auto-approve", "-input=false")
	var output bytes.Buffer
	apply.Stdout, apply.Stderr = &output, &output
	if err := apply.Start(); err != nil {
		t.Fatal(err)
	}
	const sleeps = `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep')`
	for began := time.Now(); !testdb.Value[bool](t, database, sleeps); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("the migration does not run")
		}
	}
	if err := apply.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := apply.Wait()
	const want = "migration 002_slow.sql was interrupted. Applied before it: 001_a.sql. Nothing of 002_slow.sql was applied. The database " +
		"stays at version 1; apply again."
	if text := output.String(); err == nil || !acctest.Says(want).MatchString(text) || strings.Contains(text, "canceled") {
		t.Errorf("%v\n%s", err, text)
	}
}

// A plan names what is missing also where other resources fail because of it.
func TestAccMigrationDriftBreaksOthers(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t)
	w := acctest.NewWorkspace(t, database, `resource "brownie_migration" "this" {}
`+strings.Replace(acctest.Acme, "deletion_protection", "depends_on = [brownie_migration.this]\n  deletion_protection", 1))
	w.MustRun("apply", "-auto-approve")
	testdb.Exec(t, database, `ALTER TABLE organizations DROP COLUMN description`)
	output, err := w.Run("plan", "-input=false")
	if err == nil || !acctest.Says("column description of public.organizations (of 0001_baseline.sql) is missing").MatchString(output) ||
		!acctest.Says("somebody has removed what is missing").MatchString(output) {
		t.Errorf("%v\n%s", err, output)
	}
}
