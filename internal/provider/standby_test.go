package provider_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// Data sources read from a standby where that is allowed; resources, and the proof, say that they need the server that accepts writes.
func TestAccStandby(t *testing.T) {
	t.Parallel()
	r := testdb.NewReplicated(t)
	r.Exec(t, "d", `INSERT INTO organizations (name, slug) VALUES ('Acme', 'acme')`)
	const reads = `
data "brownie_organizations" "all" {}
data "brownie_organization" "acme" { slug = "acme" }
data "brownie_organization_usage" "acme" { organization_id = data.brownie_organization.acme.id }
data "brownie_teams" "acme" { organization_id = data.brownie_organization.acme.id }
data "brownie_users" "acme" { organization_id = data.brownie_organization.acme.id }
data "brownie_migration_status" "schema" {}
data "brownie_role" "service" { name = "service" }
output "slugs" { value = join(",", data.brownie_organizations.all.organizations[*].slug) }
output "pending" { value = length(data.brownie_migration_status.schema.pending) }
`
	provider := func(attrs string) string {
		return "provider \"brownie\" {\n  target_session_attrs = \"" + attrs + "\"\n}\n"
	}
	at := func(server *devstack.Postgres, role, config string) acctest.Workspace {
		return acctest.NewWorkspaceWith(t, acctest.AsRole(t, server, "d", role), config)
	}
	for _, attrs := range []string{"any", "prefer-standby"} {
		w := at(r.Standby, "service", provider(attrs)+reads)
		if output, err := w.Apply(); err != nil || !strings.Contains(output, `slugs   = "acme"`) {
			t.Errorf("%s: %v\n%s", attrs, err, output)
		}
	}
	const organization = `
resource "brownie_organization" "globex" {
  name = "Globex"
  slug = "globex"
}`
	const readOnly = "does not accept writes (a standby, or a read-only database). List all members in the provider argument host, " +
		"so that the writable one is found"
	for name, test := range map[string]struct{ role, attrs, config, says string }{
		"a read by default":     {"service", "read-write", reads, readOnly + ". Data sources, but no resources, may also read from a standby"},
		"a resource":            {"service", "any", organization, readOnly + ": target_session_attrs is for data sources"},
		"the proof":             {"administrator", "any", `data "brownie_tenant_isolation" "proof" {}`, readOnly},
		"a read as the owner":   {"administrator", "any", reads, "or log in as the owner of the schema, or as a brownie_role without"},
		"too few connections":   {"service", "any\"\n  max_connections = \"1", reads, "it must be at least 2"},
		"a value that is wrong": {"service", "primary", reads, `"prefer-standby"`},
	} {
		w := at(r.Standby, test.role, provider(test.attrs)+test.config)
		output, err := w.Apply()
		if err == nil || !acctest.Says(test.says).MatchString(output) {
			t.Errorf("%s: %v\n%s", name, err, output)
		}
	}

	w := at(r.Primary, "service", provider("any")+`data "brownie_organization" "acme" { slug = "acme" }`+organization)
	w.MustRun("apply", "-auto-approve", "-input=false")
	w.Env = append(w.Env, acctest.AsRole(t, r.Standby, "d", "service")...)
	if output, err := w.Run("plan", "-input=false"); err == nil || !acctest.Says("terraform plan -refresh=false").MatchString(output) {
		t.Errorf("a plan while only a standby answers: %v\n%s", err, output)
	}
	w.MustRun("plan", "-input=false", "-refresh=false", "-detailed-exitcode")
}

// The cluster as PostgreSQL alone knows it, with the rights that the guide recommends, and with the one that it takes to see how far
// replicas are.
func TestAccCluster(t *testing.T) {
	t.Parallel()
	r := testdb.NewReplicated(t)
	const config = `
data "brownie_cluster" "this" {}
locals { members = data.brownie_cluster.this.members }
output "roles" { value = join(",", local.members[*].role) }
output "lags" { value = join(",", [for m in local.members : coalesce(m.lag_bytes, -1)]) }
output "states" { value = join(",", [for m in local.members : coalesce(m.state, "unknown")]) }
output "timeline" { value = local.members[0].timeline }
output "expires" { value = local.members[0].certificate_not_after != null && local.members[1].certificate_not_after == null }
output "paused" { value = data.brownie_cluster.this.paused == null }
`
	w := acctest.NewWorkspaceWith(t, acctest.AsRole(t, r.Primary, "d", "administrator"), config)
	output, err := w.Apply()
	if err != nil || !acctest.Says("GRANT pg_read_all_stats TO").MatchString(output) || !strings.Contains(output, `lags = "-1,-1"`) ||
		!strings.Contains(output, `roles = "leader,replica"`) {
		t.Errorf("without the right: %v\n%s", err, output)
	}
	r.Exec(t, "d", `GRANT pg_read_all_stats TO administrator`)
	output, err = w.Apply()
	for _, line := range []string{
		`roles = "leader,replica"`, `lags = "-1,0"`, `states = "running,streaming"`, `timeline = 1`, `expires = true`, `paused = true`,
	} {
		if err != nil || !strings.Contains(output, line) || strings.Contains(output, "known in part") {
			t.Errorf("there is no %s: %v\n%s", line, err, output)
		}
	}
	if output, err := acctest.NewWorkspaceWith(t, acctest.AsRole(t, r.Standby, "d", "administrator"), config).Apply(); err == nil ||
		!acctest.Says("does not accept writes").MatchString(output) {
		t.Errorf("a standby: %v\n%s", err, output)
	}
	patroni := `data "brownie_cluster" "this" {
  patroni = { urls = ["%s"], ca_cert = "ca.crt", client_cert = "tls.crt", client_key = "%s" }
}`
	for says, arguments := range map[string][]any{
		"is no https:// URL":             {"http://pg-0:8008", "tls.key"},
		"holds a private key itself":     {"https://pg-0:8008", `-----BEGIN PRIVATE KEY-----`},
		"patroni.ca_cert is neither PEM": {"https://pg-0:8008", "tls.key"},
	} {
		w := acctest.NewWorkspaceWith(t, acctest.AsRole(t, r.Primary, "d", "administrator"), fmt.Sprintf(patroni, arguments...))
		if output, err := w.Apply(); err == nil || !acctest.Says(says).MatchString(output) {
			t.Errorf("%s: %v\n%s", says, err, output)
		}
	}
}
