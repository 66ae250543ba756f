package provider_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// Nothing connects while planning what is only created: the host does not even resolve.
func TestAccPlanningACreateWorksOffline(t *testing.T) {
	resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{{
		Config: `provider "brownie" { host = "nowhere.invalid" }
resource "brownie_migration" "this" {}
` + acctest.Platform,
		PlanOnly: true, ExpectNonEmptyPlan: true,
	}}})
}

func TestAccUnknownHost(t *testing.T) {
	const unknown = `
resource "terraform_data" "server" { input = "db.example" }
provider "brownie" { host = terraform_data.server.output }
`
	resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{
		{
			Config: unknown + acctest.Platform, PlanOnly: true, ExpectNonEmptyPlan: true,
			ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPreRefresh: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction("brownie_team.platform", plancheck.ResourceActionCreate),
			}},
		},
		{
			Config: unknown + `data "brownie_organizations" "all" {}`, PlanOnly: true,
			ExpectError: acctest.Says(`provider argument "host" is not known yet`),
		},
	}})
}

func TestAccMissingHost(t *testing.T) {
	t.Setenv("PGHOST", "") // so this test cannot be parallel
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{{
		Config:      `data "brownie_organizations" "all" {}`,
		ExpectError: acctest.Says(`provider argument "host" is missing. Set it in the provider block or by the environment variable PGHOST`),
	}}})
}

func TestAccEnvironment(t *testing.T) {
	database := testdb.Migrated(t)
	config := testdb.Config(t, database)
	for name, value := range map[string]string{
		"PGHOST": config.Host, "PGDATABASE": database, "PGUSER": config.Username, "PGSSLMODE": "verify-full",
		"PGSSLROOTCERT": config.SSLRootCert, "PGSSLCERT": config.SSLCert, "PGSSLKEY": config.SSLKey, "PGPORT": strconv.Itoa(config.Port),
	} {
		t.Setenv(name, value)
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{
		{Config: `data "brownie_organizations" "all" {}`, Check: func(*terraform.State) error {
			// The provider's connections stay open for some seconds.
			if n := testdb.Value[int](t, database, `SELECT count(*) FROM pg_stat_activity
				WHERE datname = current_database() AND application_name = 'terraform-provider-brownie/test'`); n == 0 {
				return errors.New("no connection carries the provider's name and version")
			}
			return nil
		}},
	}})
}

func TestAccBadProviderArguments(t *testing.T) {
	for argument, test := range map[string]struct{ value, says string }{
		"port":            {`70000`, "between 1 and 65535"},
		"sslmode":         {`"on"`, `"verify-full"`},
		"connect_timeout": {`"10"`, "positive duration with units"},
		"host":            {`"postgres://u:pw@db/x"`, "must not be a URL"},
		"max_connections": {`0`, "between 1 and 1000"},
		"sslcert":         {`"client.crt"`, "a certificate login needs both"},
		"sslkey":          {`"client.key"`, "a certificate login needs both"},
	} {
		t.Run(argument, func(t *testing.T) {
			resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{{
				Config: "provider \"brownie\" {\n  " + argument + " = " + test.value + "\n}\n" + acctest.Acme, PlanOnly: true,
				ExpectError: acctest.Says(test.says),
			}}})
		})
	}
}
