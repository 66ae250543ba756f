package access_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// A role that an apply makes can log in at once, directly and through PgBouncer, and the same apply proves it.
func TestAccLogin(t *testing.T) {
	database := testdb.Migrated(t, testdb.Certificates)
	server, pooler := testdb.Server(t, database), testdb.Pooler(t, database)
	issue := func(commonName string) devstack.Certificate {
		certificate, err := server.ClientCertificate(commonName)
		if err != nil {
			t.Fatal(err)
		}
		return certificate
	}
	own, other := issue("login-app"), issue("login-other")
	login := func(name string, certificate devstack.Certificate, more string) string {
		return fmt.Sprintf(`
data "brownie_login" %q {
  role    = brownie_role.app.name
  sslcert = %q
  sslkey  = %q
%s
}
`, name, certificate.CertFile, certificate.KeyFile, more)
	}
	pooled := fmt.Sprintf("host = %q\nport = %d", pooler.Host(), pooler.Port())
	config := acctest.ProviderBlock(t, database, "") + acctest.Acme + `
resource "brownie_role" "app" {
  name            = "login-app"
  access          = "writer"
  organization_id = brownie_organization.acme.id
}` + login("direct", own, "") + login("pooled", own, pooled) + login("stolen", other, "") + login("stolen_pooled", other, pooled) +
		login("nowhere", own, "port = 1") + login("wrong_database", own, "database = \"no-such-database\"")
	good := func(name string) resource.TestCheckFunc {
		address := "data.brownie_login." + name
		return resource.ComposeAggregateTestCheckFunc(
			acctest.Attributes(address, map[string]string{
				"logged_in": "true", "session_user": "login-app", "tls_version": "TLS 1.3", "access": "writer", "all_tenants": "false",
			}),
			resource.TestCheckNoResourceAttr(address, "error"),
			resource.TestCheckResourceAttrPair(address, "organization_id", "brownie_organization.acme", "id"))
	}
	refused := func(name, words string) resource.TestCheckFunc {
		address := "data.brownie_login." + name
		return resource.ComposeAggregateTestCheckFunc(
			resource.TestCheckResourceAttr(address, "logged_in", "false"),
			resource.TestMatchResourceAttr(address, "error", acctest.Says(words)),
			resource.TestCheckNoResourceAttr(address, "session_user"))
	}
	resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{
		{
			Config: config,
			Check: resource.ComposeAggregateTestCheckFunc(good("direct"), good("pooled"),
				refused("stolen", "certificate authentication failed"), refused("stolen_pooled", "certificate authentication failed"),
				refused("nowhere", "connection refused"), refused("wrong_database", `database "no-such-database" does not exist`)),
		},
		{Config: config, ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}},
		{
			Config: config + login("inline", devstack.Certificate{
				CertFile: own.CertFile,
				KeyFile:  strings.ReplaceAll(own.KeyPEM, "\n", " "),
			}, ""),
			ExpectError: acctest.Says("sslkey holds a private key itself"),
		},
		{
			Config:      config + login("missing_file", devstack.Certificate{CertFile: "/nonexistent/a.crt", KeyFile: own.KeyFile}, ""),
			ExpectError: acctest.Says(`sslcert is neither PEM text nor the path of a readable file`),
		},
	}})
}

// A password in the environment does not make a proof of a certificate, and nothing is tried at a port that is not known.
func TestAccLoginProvesOnlyTheCertificate(t *testing.T) {
	t.Parallel()
	server, err := devstack.StartPostgres(t.Context(), devstack.Options{HBA: []string{"hostssl all login-password 127.0.0.1/32 " +
		"scram-sha-256"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	admin, err := acctest.ConnectAs(t, server, "postgres", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec(t.Context(), `CREATE ROLE "login-password" LOGIN PASSWORD 'secret'`); err != nil {
		t.Fatal(err)
	}
	certificate, err := server.ClientCertificate("somebody-else")
	if err != nil {
		t.Fatal(err)
	}
	proof := fmt.Sprintf(`
data "brownie_login" "proof" {
  role    = "login-password"
  sslcert = %q
  sslkey  = %q
}
output "logged_in" { value = data.brownie_login.proof.logged_in }
`, certificate.CertFile, certificate.KeyFile)
	w := acctest.NewWorkspaceWith(t, append(acctest.AsRole(t, server, "postgres", "postgres"), "PGPASSWORD=secret"), proof)
	w.MustRun("apply", "-auto-approve")
	if output := w.MustRun("output", "logged_in"); !strings.HasPrefix(output, "false") {
		t.Errorf("logged_in = %s", output)
	}
	w.Write(`
resource "terraform_data" "port" { input = 5432 }
provider "brownie" { port = terraform_data.port.output }
` + proof)
	if output, err := w.Run("plan"); err == nil || !acctest.Says(`"port" is not known yet`).MatchString(output) {
		t.Errorf("a login to a port that is not known: %v\n%s", err, output)
	}
}

func TestAccTenantIsolation(t *testing.T) {
	const proof = `data "brownie_tenant_isolation" "proof" {}`
	acctest.Run(t, func(database string) []resource.TestStep {
		return []resource.TestStep{
			{
				Config: proof,
				Check: resource.ComposeAggregateTestCheckFunc(
					resource.TestCheckResourceAttr("data.brownie_tenant_isolation.proof", "isolated", "true"),
					resource.TestCheckTypeSetElemNestedAttrs("data.brownie_tenant_isolation.proof", "known_channels.*", map[string]string{
						"table": "users", "channel": "key users_email_key",
					}),
					resource.TestMatchResourceAttr("data.brownie_tenant_isolation.proof", "summary", acctest.Says("attacks were "+
						"tried, and all were stopped"))),
			},
			{
				PreConfig: acctest.BehindTerraformsBack(t, database, `CREATE TABLE notes (organization_id uuid)`), Config: proof,
				Check: resource.ComposeAggregateTestCheckFunc(acctest.Attributes("data.brownie_tenant_isolation.proof", map[string]string{
					"isolated": "false", "findings.0.table": "notes", "findings.0.stopped": "false",
				}), resource.TestMatchResourceAttr("data.brownie_tenant_isolation.proof", "summary", acctest.Says("notes, row-level "+
					"security, as any: is off"))),
			},
			{
				PreConfig: acctest.BehindTerraformsBack(t, database, `DROP TABLE notes; ALTER TABLE incidents DISABLE ROW LEVEL `+
					`SECURITY`), Config: proof,
				Check: resource.ComposeAggregateTestCheckFunc(
					resource.TestMatchResourceAttr("data.brownie_tenant_isolation.proof", "summary", acctest.Says("what was not "+
						"stopped: - incidents, row-level security, as any: is off")),
					resource.TestMatchResourceAttr("data.brownie_tenant_isolation.proof", "summary", acctest.Says("- incidents, read, "+
						"as"))),
			},
		}
	})
}
