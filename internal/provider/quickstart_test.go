package provider_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// A newcomer adds an organization to the demo. It has users of the same names as another one, and changes nothing that there is.
func TestAccQuickstartTakesAnotherOrganization(t *testing.T) {
	t.Parallel()
	vault := testvault.New(t)
	if err := vault.MakeApplicationsRole(t.Context(), vault.PKI); err != nil {
		t.Fatal(err)
	}
	// Roles belong to the cluster, which tests share. The mounts are the test's own.
	database := testdb.Empty(t, testdb.Certificates)
	unique := "-" + strings.ReplaceAll(database, "_", "-")
	own := strings.NewReplacer("acme ", "acme"+unique+" ", "globex ", "globex"+unique+" ",
		`"brownie-fastapi-server"`, `"server`+unique+`"`, `"pgbouncer"`, `"pooler`+unique+`"`,
		`mount       = "pki"`, fmt.Sprintf("mount = %q", vault.PKI), `mount = "brownie"`, fmt.Sprintf("mount = %q", vault.KV))
	w := acctest.NewWorkspace(t, database, "")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(w.Dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"main.tf", "outputs.tf", "proofs.tf", "versions.tf"} {
		write(file, own.Replace(string(testdb.Must(os.ReadFile(filepath.Join(testdb.Repository(t), "examples", "quickstart", file)))(t))))
	}
	write("vault.auto.tfvars", fmt.Sprintf("vault_role = %q\n", devstack.ApplicationsRole))
	write("versions.tf", strings.Replace(string(testdb.Must(os.ReadFile(filepath.Join(w.Dir, "versions.tf")))(t)), `provider "brownie" {}`,
		fmt.Sprintf("provider \"brownie\" {\n  vault = { address = %q, token = %q }\n}", vault.Address, vault.Token()), 1))
	w.MustRun("apply", "-auto-approve", "-input=false")

	third := "initech" + unique
	main := string(testdb.Must(os.ReadFile(filepath.Join(w.Dir, "main.tf")))(t))
	write("main.tf", strings.Replace(main, "  organizations = {\n", `  organizations = {
    `+third+` = {
      name  = "Initech"
      teams = { core = "Core" }
      users = { ada = { team = "core", name = "Ada Else", role = "admin" } }
    }
`, 1))
	// The organization, a team, a user, their two configs, a role and its certificate.
	if output := w.MustRun("apply", "-auto-approve", "-input=false"); !strings.Contains(output, "7 added, 0 changed, 0 destroyed.") {
		t.Error(output)
	}
	w.NoChanges()
	vault.Must(http.MethodGet, vault.KV+"/data/clients/"+third+"-app", nil)
	for _, name := range []string{"server", "pgbouncer", "brownie-fastapi-server"} {
		if _, err := vault.Do(t.Context(), http.MethodPost, vault.PKI+"/issue/"+devstack.ApplicationsRole,
			map[string]any{"common_name": name}); err == nil {
			t.Errorf("the role issues %s", name)
		}
	}

	// The state is lost. The guide's blocks bring everything back, and change nothing in the database or in Vault.
	for _, file := range []string{"terraform.tfstate", "terraform.tfstate.backup"} {
		if err := os.Remove(filepath.Join(w.Dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	objects := strings.NewReplacer("each.value.email", `"${each.value.user}@${each.value.organization}.example"`, "brownie_role.tenant", "brownie_role.app", ".tenant[", ".all[", "local.tenants", "local.organizations",
		`"pki/`, `"`+vault.PKI+"/", "@brownie:", "@"+vault.KV+":",
		`store    = { mount = "brownie"`, fmt.Sprintf("mount = %q\n  store = { mount = %q", vault.PKI, vault.KV))
	imports := "locals { slugs = { for key, organization in local.organizations : key => key } }\n"
	for _, section := range []string{"A lost state", "Agent configs and configs", "Certificates"} {
		imports += objects.Replace(guideBlocks(t, section, "terraform"))
	}
	for resource, role := range map[string]string{"server": "server" + unique, "pooler": "pooler" + unique} {
		imports += fmt.Sprintf("import {\n  to = brownie_role.%s\n  id = %q\n}\n", resource, role)
	}
	write("imports.tf", imports)
	output := w.MustRun("apply", "-auto-approve", "-input=false")
	if !acctest.Says(`34 imported, 0 added, 6 changed, 0 destroyed`).MatchString(output) {
		t.Error(output)
	}
	if err := os.Remove(filepath.Join(w.Dir, "imports.tf")); err != nil {
		t.Fatal(err)
	}
	w.NoChanges()
	w.MustRun("destroy", "-auto-approve", "-input=false")
}
