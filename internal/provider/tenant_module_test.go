package provider_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// tenantModule is the module's folder.
func tenantModule(t *testing.T) fs.FS {
	t.Helper()
	return os.DirFS(filepath.Join(testdb.Repository(t), "modules", "tenant"))
}

// readmeImports are the blocks with which the module's README answers a lost state, with a Vault's own mounts.
func readmeImports(t *testing.T, vault *testvault.Mounts) string {
	t.Helper()
	text := testdb.Must(fs.ReadFile(tenantModule(t), "README.md"))(t)
	_, rest, found := strings.Cut(string(text), "## A lost state\n")
	_, rest, _ = strings.Cut(rest, "```terraform\n")
	blocks, _, _ := strings.Cut(rest, "```")
	if !found || blocks == "" {
		t.Fatal("the README has no blocks for a lost state")
	}
	return strings.NewReplacer(`"pki/`, `"`+vault.PKI+"/", `"pki"`, `"`+vault.PKI+`"`, `"brownie", path`, `"`+vault.KV+`", path`, "@brownie:", "@"+vault.KV+":").Replace(blocks)
}

// Two tenants by modules/tenant, one of which is suspended, comes back, and leaves.
func TestAccTenantModule(t *testing.T) {
	t.Parallel()
	database, vault := testdb.Migrated(t, testdb.Certificates), testvault.New(t)
	stays, leaves := "s-"+strings.ReplaceAll(database, "_", "-"), "l-"+strings.ReplaceAll(database, "_", "-")
	for _, role := range []string{stays + "-app", stays + "-reports", leaves + "-app"} {
		vault.Must(http.MethodPost, vault.PKI+"/roles/"+role, map[string]any{
			"allowed_domains": []string{role}, "allow_bare_domains": true, "enforce_hostnames": false, "key_type": "ec", "server_flag": false, "ttl": "720h",
			"max_ttl": "720h",
		})
	}
	w := acctest.NewWorkspaceWith(t, append(testdb.Server(t, database).Env(database), vault.Env()...), "")
	if err := os.CopyFS(filepath.Join(w.Dir, "tenant"), tenantModule(t)); err != nil {
		t.Fatal(err)
	}
	write := func(entries string) {
		w.Write(fmt.Sprintf(`
locals {
  tenants = yamldecode(<<-EOT
%s
  EOT
  )
}

resource "brownie_migration" "schema" {}

module "tenant" {
  source   = "./tenant"
  for_each = local.tenants

  key          = each.key
  tenant       = each.value
  certificates = { mount = %q, store = { mount = %q } }
}

output "tenants" {
  value = module.tenant
}
`, entries, vault.PKI, vault.KV))
	}
	entry := func(key, more string) string {
		return fmt.Sprintf(`
    %[1]s:
      name: Tenant %[1]s
      settings: { theme: dark, limits: [1, 2] }
      teams:
        core: { name: Core }
      users:
        ada: { email: ada@%[1]s.example, team: core, role: admin }
        alan: { email: alan@%[1]s.example, team: core, is_active: false }
%[2]s`, key, more)
	}
	const twoRoles = "      roles:\n        app: {}\n        reports: { access: reader, statement_timeout: 5m }\n"
	is := func(what, query string, want int64) {
		t.Helper()
		if got := testdb.Value[int64](t, database, query, leaves); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	const (
		active    = `SELECT count(*) FROM public.users u JOIN public.organizations o ON o.id = u.organization_id WHERE o.slug = $1 AND u.is_active AND o.is_active`
		mayLogIn  = `SELECT count(*) FROM pg_roles WHERE rolname = $1 || '-app' AND rolcanlogin`
		whatStays = `SELECT count(*) FROM public.users u JOIN public.organizations o ON o.id = u.organization_id WHERE o.slug = $1`
	)
	apply := func(entries string) {
		t.Helper()
		write(entries)
		w.MustRun("apply", "-auto-approve", "-input=false")
		w.NoChanges()
	}
	write(entry(stays, twoRoles) + entry(leaves, ""))
	w.MustRun("get") // "init" would look for the provider in the registry
	apply(entry(stays, twoRoles) + entry(leaves, ""))
	is("active users", active, 1)
	is("roles that log in", mayLogIn, 1)
	if valid, _ := vault.Serials(); len(valid) != 3 {
		t.Errorf("%d certificates are valid, want one for each role", len(valid))
	}

	// The state is lost; what database and Vault have is imported, by the blocks of the README.
	if err := os.Remove(filepath.Join(w.Dir, "terraform.tfstate")); err != nil {
		t.Fatal(err)
	}
	imports := filepath.Join(w.Dir, "imports.tf")
	if err := os.WriteFile(imports, []byte(readmeImports(t, vault)), 0o600); err != nil {
		t.Fatal(err)
	}
	// An organization, a team and two users of each, three roles with their certificates, and the schema.
	if output := w.MustRun("plan", "-input=false"); !regexp.MustCompile(`Plan: 15 to import, 0 to add, \d+ to change, 0 to destroy`).MatchString(output) {
		t.Errorf("the state is not brought back:\n%s", output)
	}
	w.MustRun("apply", "-auto-approve", "-input=false")
	if err := os.Remove(imports); err != nil {
		t.Fatal(err)
	}
	w.NoChanges()
	if valid, revoked := vault.Serials(); len(valid) != 3 || len(revoked) != 0 {
		t.Errorf("certificates were issued (%v) or revoked (%v)", valid, revoked)
	}

	apply(entry(stays, twoRoles) + entry(leaves, "      stage: suspended\n"))
	is("active users of who is suspended", active, 0)
	is("roles of who is suspended that log in", mayLogIn, 0)
	is("users of who is suspended", whatStays, 2)
	apply(entry(stays, twoRoles) + entry(leaves, ""))
	is("active users of who came back", active, 1)
	is("roles of who came back that log in", mayLogIn, 1)

	// Nobody leaves by a line that got lost.
	write(entry(stays, twoRoles))
	if output, err := w.Run("plan", "-input=false"); err == nil || !strings.Contains(output, "deletion_protection") {
		t.Errorf("a tenant would be deleted without being told to leave: %v\n%s", err, output)
	}
	apply(entry(stays, twoRoles) + entry(leaves, "      stage: leaving\n"))
	is("users of who is leaving", whatStays, 2)
	apply(entry(stays, twoRoles))
	is("users of who left", whatStays, 0)
	is("roles of who left", `SELECT count(*) FROM pg_roles WHERE starts_with(rolname, $1)`, 0)
	if valid, revoked := vault.Serials(); len(valid) != 2 || len(revoked) != 1 {
		t.Errorf("valid are %v and revoked %v; want those of who stays, and that of who left", valid, revoked)
	}
	apply(entry(stays, twoRoles+"      stage: leaving\n"))
	w.MustRun("destroy", "-auto-approve", "-input=false")
}

// Terraform drops what the module does not know, so the example's check stops the plan, in place of the deletion of people.
func TestAccFaultsInTheFileOfTheTenantModule(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorkspaceWith(t, nil, "")
	folder := filepath.Join(w.Dir, "tenant")
	if err := os.CopyFS(folder, tenantModule(t)); err != nil {
		t.Fatal(err)
	}
	w.Dir = filepath.Join(folder, "examples", "basic")
	const file = `
acme:
  name: Acme
  lockd: true
  user: { ada: { email: ada@acme.example, team: core } }
  teams: { core: { name: Core, active: false } }
  users: { alan: { email: alan@acme.example, team: core, isactive: false }, grace: , edith: [] }
  roles: { app: , batch: { certificates: false } }
globex: { name: Globex, leaving: true, users: [] }
nothing:
fine: { name: Fine, teams: , users: }
`
	if err := os.WriteFile(filepath.Join(w.Dir, "tenants.yaml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	w.MustRun("get")
	text := onlyError(t, w)
	for _, words := range []string{
		`acme: unknown key "lockd"; allowed are name, slug, description, settings, stage, max_teams`, `acme: unknown key "user"; allowed`,
		`acme, teams.core: unknown key "active"; allowed are name, description, is_active.`, `acme, users.alan: unknown key "isactive"; allowed`,
		`acme, roles.batch: unknown key "certificates"; allowed`, `globex: unknown key "leaving"; allowed`,
	} {
		if !strings.Contains(text, "\n"+words) {
			t.Errorf("%s\nwant %s", text, words)
		}
	}
	if n := strings.Count(text, "unknown key"); n != 6 {
		t.Errorf("%s\n%d are unknown, want 6", text, n)
	}
}
