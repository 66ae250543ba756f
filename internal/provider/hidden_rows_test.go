package provider_test

import (
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// A provider whose login no longer sees the tenants neither plans them anew, nor forgets them, nor calls them destroyed.
func TestAccHiddenRowsAreNotGone(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t, testdb.Certificates)
	role := "hiding-" + database
	testdb.Exec(t, database, `CREATE ROLE "`+role+`" LOGIN IN ROLE brownie_admin, brownie_all_tenants`)
	testdb.Exec(t, database, `GRANT CONNECT ON DATABASE `+database+` TO "`+role+`"`)
	testdb.Exec(t, database, `INSERT INTO brownie.role_bindings (role_name, access) VALUES ($1, 'admin')`, role)
	t.Cleanup(func() { testdb.Exec(t, database, `DROP OWNED BY "`+role+`"; DROP ROLE "`+role+`"`) })
	w := acctest.NewWorkspaceWith(t, acctest.AsRole(t, testdb.Server(t, database), database, role), `
resource "brownie_organization" "acme" {
  name                = "Acme"
  slug                = "acme"
  deletion_protection = false
}
data "brownie_organizations" "all" {
  depends_on = [brownie_organization.acme]
}
resource "brownie_team" "core" {
  for_each        = { for o in data.brownie_organizations.all.organizations : o.slug => o.id }
  organization_id = each.value
  name            = "Core"
  slug            = "core"
}
`)
	w.MustRun("apply", "-auto-approve", "-input=false", "-target=brownie_organization.acme")
	w.MustRun("apply", "-auto-approve", "-input=false")
	w.NoChanges()
	for what, hide := range map[string]string{
		"expired": `UPDATE brownie.role_bindings SET valid_until = now() - interval '1 s' WHERE role_name = $1`,
		"one tenant": `WITH other AS (INSERT INTO organizations (name, slug) VALUES ('Other', 'other') RETURNING id)
			INSERT INTO brownie.role_bindings (role_name, organization_id, access) SELECT $1, id, 'reader' FROM other
			ON CONFLICT (role_name) DO UPDATE SET organization_id = excluded.organization_id, access = excluded.access`,
		"unbound": `DELETE FROM brownie.role_bindings WHERE role_name = $1`,
	} {
		testdb.Exec(t, database, hide, role)
		for _, command := range [][]string{
			{"plan", "-input=false"},
			{"destroy", "-auto-approve", "-input=false"},
			{"destroy", "-auto-approve", "-input=false", "-refresh=false"},
			{"apply", "-auto-approve", "-input=false", "-refresh-only"},
		} {
			output, err := w.Run(command...)
			if err == nil || !acctest.Says("does not see the rows of all tenants").MatchString(output) {
				t.Errorf("%s, %s: %v\n%s", what, command, err, output)
			}
		}
		testdb.Exec(t, database, `DELETE FROM organizations WHERE slug = 'other'`)
		testdb.Exec(t, database, `INSERT INTO brownie.role_bindings (role_name, access) VALUES ($1, 'admin') ON CONFLICT (role_name)
			DO UPDATE SET access = 'admin', organization_id = NULL, valid_until = NULL`, role)
		w.NoChanges()
	}
	if n := testdb.Value[int64](t, database, `SELECT count(*) FROM organizations`); n != 1 {
		t.Errorf("%d organizations", n)
	}
}
