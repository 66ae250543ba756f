package provider_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider"
)

// runTests runs a package's tests, searches what they made Terraform and the provider log, and stops the servers that they used. Call it
// from TestMain.
func runTests(m *testing.M) {
	search, err := traceLogs()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	testdb.Main(m, testvault.Stop, search, removeBuiltProvider)
}

var factories = map[string]func() (tfprotov6.ProviderServer, error){
	"brownie": providerserver.NewProtocol6WithError(provider.New("test")()),
}

// providerBlock is the configuration of the provider for a database, with more arguments if wanted.
func providerBlock(t *testing.T, database, arguments string) string {
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

// acceptance runs steps on one migrated database; each step's configuration gets the provider block.
func acceptance(t *testing.T, steps func(database string) []resource.TestStep) {
	t.Helper()
	database := testdb.Migrated(t)
	block := providerBlock(t, database, "")
	list := steps(database)
	for i := range list {
		if list[i].Config != "" {
			list[i].Config = block + list[i].Config
		}
	}
	resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: list})
}

const (
	acme = `
resource "brownie_organization" "acme" {
  name                = "Acme"
  slug                = "acme"
  deletion_protection = false
}
`
	platform = acme + `
resource "brownie_team" "platform" {
  organization_id = brownie_organization.acme.id
  name            = "Platform"
  slug            = "platform"
}
`
)

// says matches a message whatever line breaks Terraform puts into it.
func says(words string) *regexp.Regexp {
	parts := strings.Fields(words)
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	return regexp.MustCompile(strings.Join(parts, `[\s│]+`))
}

// behindTerraformsBack is a step's PreConfig that runs SQL.
func behindTerraformsBack(t *testing.T, database, sql string) func() {
	t.Helper()
	return func() { testdb.Exec(t, database, sql) }
}

// betweenPlanAndApply runs SQL after a plan was made and before it is applied.
func betweenPlanAndApply(t *testing.T, database, sql string) plancheck.PlanCheck {
	t.Helper()
	return planCheck(func() { testdb.Exec(t, database, sql) })
}

type planCheck func()

func (run planCheck) CheckPlan(context.Context, plancheck.CheckPlanRequest, *plancheck.CheckPlanResponse) {
	run()
}

// attributes checks several attributes of a resource.
func attributes(address string, values map[string]string) resource.TestCheckFunc {
	var checks []resource.TestCheckFunc
	for name, value := range values {
		checks = append(checks, resource.TestCheckResourceAttr(address, name, value))
	}
	return resource.ComposeAggregateTestCheckFunc(checks...)
}

func planned(address string, action plancheck.ResourceActionType) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, action)}}
}

// lifecycle is what holds for every resource: create, empty plan, update in place, import by ID and by key, drift
// repaired, and a row that was deleted by SQL planned as a create.
type lifecycle struct {
	address         string
	key             string // natural key for the import
	created         string // configuration
	updated         string
	check           resource.TestCheckFunc // after the update
	drift           string                 // SQL that changes what updated configures
	remove          string                 // SQL that deletes the row
	ignoredByImport []string
	idIsKey         bool // there is no other ID than the natural key
}

func (l lifecycle) run(t *testing.T) {
	t.Helper()
	var id string
	importIDs := "must be its id"
	if l.idIsKey {
		importIDs = "must be its name"
	}
	sameID := func(s *terraform.State) error {
		now := s.RootModule().Resources[l.address].Primary.ID
		if id != "" && id != now {
			return fmt.Errorf("%s was replaced: %s became %s", l.address, id, now)
		}
		id = now
		return nil
	}
	acceptance(t, func(database string) []resource.TestStep {
		return []resource.TestStep{
			{Config: l.created, Check: sameID},
			{
				Config: l.updated, ConfigPlanChecks: planned(l.address, plancheck.ResourceActionUpdate),
				Check: resource.ComposeAggregateTestCheckFunc(sameID, l.check),
			},
			{ResourceName: l.address, ImportState: true, ImportStateVerify: true, ImportStateVerifyIgnore: l.ignoredByImport},
			{
				ResourceName: l.address, ImportState: true, ImportStateId: l.key, ImportStateVerify: true,
				ImportStateVerifyIgnore: l.ignoredByImport,
			},
			{
				ResourceName: l.address, ImportState: true, ImportStateId: l.key + "-missing",
				ExpectError: says(importIDs),
			},
			{
				PreConfig: behindTerraformsBack(t, database, l.drift), Config: l.updated,
				ConfigPlanChecks: planned(l.address, plancheck.ResourceActionUpdate),
				Check:            resource.ComposeAggregateTestCheckFunc(sameID, l.check),
			},
			{
				PreConfig: behindTerraformsBack(t, database, l.remove), Config: l.updated,
				ConfigPlanChecks: planned(l.address, plancheck.ResourceActionCreate), Check: l.check,
			},
		}
	})
}
