//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestModule applies both Terraform modules from nothing. No key gets into state, plan or Helm's values.
func TestModule(t *testing.T) {
	removeNamespace(t, namespace)
	folder := t.TempDir()
	// A module that refers to one beside it is copied with it.
	if err := os.CopyFS(filepath.Join(folder, "modules"), os.DirFS("..")); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	i := image(t, "postgres")
	write("main.tf", `
variable "certificates" {
  type      = map(object({ certificate_pem = string, private_key_pem = string, ca_pem = string }))
  ephemeral = true
}
provider "kubernetes" {
  config_path = "`+os.Getenv("KUBECONFIG")+`"
}
provider "helm" {
  kubernetes = { config_path = "`+os.Getenv("KUBECONFIG")+`" }
}
module "postgres" {
  source           = "./modules/postgres-ha"
  name             = "`+release+`"
  namespace        = { name = "`+namespace+`" }
  image            = { repository = "`+i["repository"].(string)+`", tag = "`+i["tag"].(string)+`" }
  storage          = { size = "1Gi" }
  resources        = { requests = { cpu = "50m", memory = "256Mi" }, limits = { memory = "768Mi" } }
  certificate_pems = { for kind in ["server", "replication", "rewind", "api"] : kind => var.certificates[kind] }
}
module "pgbouncer" {
  source           = "./modules/pgbouncer"
  name             = "`+pooler+`"
  cluster          = { name = "`+release+`", namespace = module.postgres.namespace }
  image            = { repository = "`+setting(t, "E2E_IMAGES")+`/pgbouncer", tag = "`+setting(t, "E2E_TAG")+`" }
  leader_image     = { repository = "`+setting(t, "E2E_IMAGES")+`/brownie-leader", tag = "`+setting(t, "E2E_TAG")+`" }
  settings         = { default_pool_size = "7" }
  certificate_pems = { server = var.certificates["pooler-server"], client = var.certificates["pooler-client"] }
}
output "hosts" {
  value = module.postgres.hosts
}
output "pooler" {
  value = module.pgbouncer.host
}
`)
	pems := map[string]map[string]any{}
	for _, secret := range secrets(t) {
		data := secret["stringData"].(object)
		pems[secret["metadata"].(object)["name"].(string)] = map[string]any{
			"certificate_pem": data["tls.crt"], "private_key_pem": data["tls.key"], "ca_pem": data["ca.crt"],
		}
	}
	text, err := json.Marshal(map[string]any{"certificates": pems})
	if err != nil {
		t.Fatal(err)
	}
	write("certificates.auto.tfvars.json", string(text))
	terraform := func(arguments ...string) (string, error) {
		return attempt(context.Background(), "", "terraform", append([]string{"-chdir=" + folder}, arguments...)...)
	}
	if _, err := terraform("init", "-input=false", "-no-color"); err != nil {
		if strings.Contains(err.Error(), "Failed to query available provider packages") {
			t.Skipf("NOT RUN: Terraform can get a provider of the module from no registry and no folder of this machine: %s", err)
		}
		t.Fatal(err)
	}
	for _, arguments := range [][]string{
		{"plan", "-input=false", "-no-color", "-out=plan"},
		{"apply", "-input=false", "-no-color", "-auto-approve"},
		{"plan", "-input=false", "-no-color", "-detailed-exitcode"}, // nothing is left to do
	} {
		if _, err := terraform(arguments...); err != nil {
			t.Fatal(err)
		}
	}
	leader(t)
	plan, err := terraform("show", "-json", "plan")
	if err != nil {
		t.Fatal(err)
	}
	state, err := os.ReadFile(filepath.Join(folder, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"plan": plan, "state": string(state), "Helm's values": helm(t, "get", "values", release), "release": helm(t, "get", "manifest", release),
		"pooler's values": helm(t, "get", "values", pooler), "pooler's release": helm(t, "get", "manifest", pooler),
	} {
		if text == "" || strings.Contains(text, "PRIVATE KEY") {
			t.Errorf("the %s is empty, or holds a private key", what)
		}
	}
	helm(t, "test", release, "--timeout=1m")

	t.Run("the release goes, the data stay", func(t *testing.T) {
		mustAsk(t, leader(t), database, "CREATE TABLE public.kept ()")
		helm(t, "uninstall", release, "--wait")
		if _, err := terraform("apply", "-input=false", "-no-color", "-auto-approve"); err != nil {
			t.Fatal(err)
		}
		mustAsk(t, leader(t), database, "SELECT FROM public.kept")
	})
	if _, err := terraform("destroy", "-input=false", "-no-color", "-auto-approve"); err != nil {
		t.Error(err)
	}
}
