// Package acctest is what acceptance tests have in common: the provider under test, configurations, checks, and workspaces in which
// Terraform's command runs.
package acctest

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testprovider"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider"
)

// Main runs a package's tests, searches what they made Terraform and the provider log, and stops the servers that they used. Call it
// from TestMain.
func Main(m *testing.M) {
	search, err := traceLogs()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	testdb.Main(m, testvault.Stop, search, testprovider.Remove)
}

// Factories make the provider under test.
var Factories = map[string]func() (tfprotov6.ProviderServer, error){
	"brownie": func() (tfprotov6.ProviderServer, error) { return provider.NewServer("test"), nil },
}

// ProviderBlock is the configuration of the provider for a database, with more arguments if wanted.
func ProviderBlock(t *testing.T, database, arguments string) string {
	t.Helper()
	config := testdb.Config(t, database)
	return fmt.Sprintf(`
provider "brownie" {
  host        = %q
  port        = %d
  database    = %q
  username    = %q
  sslrootcert = %q
  sslcert     = %q
  sslkey      = %q
%s
}
`, config.Host, config.Port, config.Database, config.Username, config.SSLRootCert, config.SSLCert, config.SSLKey, arguments)
}

// Run runs steps on one migrated database; each step's configuration gets the provider block.
func Run(t *testing.T, steps func(database string) []resource.TestStep) {
	t.Helper()
	run(t, testdb.Migrated(t), steps)
}

// RunIn is [Run] in a kind of database.
func RunIn(t *testing.T, kind testdb.Need, steps func(database string) []resource.TestStep) {
	t.Helper()
	run(t, testdb.Migrated(t, kind), steps)
}

func run(t *testing.T, database string, steps func(database string) []resource.TestStep) {
	t.Helper()
	block := ProviderBlock(t, database, "")
	list := steps(database)
	for i := range list {
		if list[i].Config != "" {
			list[i].Config = block + list[i].Config
		}
	}
	resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: Factories, Steps: list})
}

const (
	// Acme is an organization, which may be destroyed.
	Acme = `
resource "brownie_organization" "acme" {
  name                = "Acme"
  slug                = "acme"
  deletion_protection = false
}
`
	// Platform is a team of it.
	Platform = Acme + `
resource "brownie_team" "platform" {
  organization_id = brownie_organization.acme.id
  name            = "Platform"
  slug            = "platform"
}
`
)

// Says matches a message whatever line breaks Terraform puts into it.
func Says(words string) *regexp.Regexp {
	parts := strings.Fields(words)
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	return regexp.MustCompile(strings.Join(parts, `[\s│]+`))
}

// BehindTerraformsBack is a step's PreConfig that runs SQL.
func BehindTerraformsBack(t *testing.T, database, sql string) func() {
	t.Helper()
	return func() { testdb.Exec(t, database, sql) }
}

// BetweenPlanAndApply runs SQL after a plan was made and before it is applied.
func BetweenPlanAndApply(t *testing.T, database, sql string) plancheck.PlanCheck {
	t.Helper()
	return planCheck(func() { testdb.Exec(t, database, sql) })
}

type planCheck func()

func (run planCheck) CheckPlan(context.Context, plancheck.CheckPlanRequest, *plancheck.CheckPlanResponse) {
	run()
}

// Attributes checks several attributes of a resource.
func Attributes(address string, values map[string]string) resource.TestCheckFunc {
	var checks []resource.TestCheckFunc
	for name, value := range values {
		checks = append(checks, resource.TestCheckResourceAttr(address, name, value))
	}
	return resource.ComposeAggregateTestCheckFunc(checks...)
}

// Planned checks what a plan does with a resource.
func Planned(address string, action plancheck.ResourceActionType) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, action)}}
}

// Lifecycle is what holds for every resource: create, empty plan, update in place, import by ID and by key, drift
// repaired, and a row that was deleted by SQL planned as a create.
type Lifecycle struct {
	Address         string
	Key             string // natural key for the import
	Created         string // configuration
	Updated         string
	Check           resource.TestCheckFunc // after the update
	Drift           string                 // SQL that changes what updated configures
	Remove          string                 // SQL that deletes the row
	IgnoredByImport []string
	IDIsKey         bool // there is no other ID than the natural key
}

// Run runs it on a database of its own.
func (l Lifecycle) Run(t *testing.T) {
	t.Helper()
	var id string
	importIDs := "must be its id"
	if l.IDIsKey {
		importIDs = "must be its name"
	}
	sameID := func(s *terraform.State) error {
		now := s.RootModule().Resources[l.Address].Primary.ID
		if id != "" && id != now {
			return fmt.Errorf("%s was replaced: %s became %s", l.Address, id, now)
		}
		id = now
		return nil
	}
	Run(t, func(database string) []resource.TestStep {
		return []resource.TestStep{
			{Config: l.Created, Check: sameID},
			{
				Config: l.Updated, ConfigPlanChecks: Planned(l.Address, plancheck.ResourceActionUpdate),
				Check: resource.ComposeAggregateTestCheckFunc(sameID, l.Check),
			},
			{ResourceName: l.Address, ImportState: true, ImportStateVerify: true, ImportStateVerifyIgnore: l.IgnoredByImport},
			{
				ResourceName: l.Address, ImportState: true, ImportStateId: l.Key, ImportStateVerify: true,
				ImportStateVerifyIgnore: l.IgnoredByImport,
			},
			{
				ResourceName: l.Address, ImportState: true, ImportStateId: l.Key + "-missing",
				ExpectError: Says(importIDs),
			},
			{
				PreConfig: BehindTerraformsBack(t, database, l.Drift), Config: l.Updated,
				ConfigPlanChecks: Planned(l.Address, plancheck.ResourceActionUpdate),
				Check:            resource.ComposeAggregateTestCheckFunc(sameID, l.Check),
			},
			{
				PreConfig: BehindTerraformsBack(t, database, l.Remove), Config: l.Updated,
				ConfigPlanChecks: Planned(l.Address, plancheck.ResourceActionCreate), Check: l.Check,
			},
		}
	})
}
