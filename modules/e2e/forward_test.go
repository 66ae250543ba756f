//go:build e2e

package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testprovider"
)

// tenants is how many organizations Terraform makes, each with a team and a user.
const tenants = 50

// TestForward has Terraform outside of the cluster make tenants while the leader ends.
func TestForward(t *testing.T) {
	installed(t)
	w := newOutside(t)
	rules := forwardRules(t)
	t.Run("what the Role lacks is named", func(t *testing.T) {
		for i, lacks := range []string{
			`{apiGroups: [""], resources: [services], verbs: [get]}`,
			`{apiGroups: ["discovery.k8s.io"], resources: [endpointslices], verbs: [list]}`,
			`{apiGroups: [""], resources: [pods/portforward], verbs: [create, get]}`,
		} {
			allow(t, rules[:i]...)
			w.write("main.tf", w.provider+`data "brownie_organizations" "all" {}`)
			output, err := w.terraform("plan")
			if words := strings.Join(strings.Fields(strings.ReplaceAll(output, "│", "")), " "); err == nil || !strings.Contains(words, lacks) {
				t.Errorf("want %s, got %v:\n%s", lacks, err, output)
			}
			if strings.Contains(output, w.token) {
				t.Error("the token is told")
			}
		}
	})
	allow(t, rules...)
	for i, fault := range []struct {
		name   string
		inject func(t *testing.T, leader string)
	}{
		{"none", func(*testing.T, string) {}},
		{"switchover", switchover},
		{"killed", kill},
		{"pod deleted", deleted.inject},
		{"pod deleted by force", forceDeleted.inject},
	} {
		for run := range runs(t) {
			t.Run(fmt.Sprintf("%s %d", fault.name, run), func(t *testing.T) {
				w.makesTenants(t, fmt.Sprintf("f%dr%d", i, run), fault.inject)
			})
		}
	}
}

// forwardRules are those of the Role in the guide.
func forwardRules(t *testing.T) []object {
	t.Helper()
	guide, err := os.ReadFile("../../templates/guides/connecting.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(guide), "```yaml\n")
	text, _, _ = strings.Cut(text, "```")
	text, err = attempt(t.Context(), text, "kubectl", "create", "--dry-run=client", "--filename=-", "--output=json")
	var role struct{ Rules []object }
	if err == nil {
		err = json.Unmarshal([]byte(text), &role)
	}
	if err != nil || len(role.Rules) != 3 {
		t.Fatalf("the guide has no such Role: %v %s", err, text)
	}
	return role.Rules
}

const forwarder = "forwarder"

// allow gives the forwarder's Role these rules, and no others.
func allow(t *testing.T, rules ...object) {
	t.Helper()
	rbac := "rbac.authorization.k8s.io"
	_, _ = kubectl(t.Context(), "delete", "role", forwarder, "--ignore-not-found")
	apply(t, object{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": object{"name": forwarder}},
		object{"apiVersion": rbac + "/v1", "kind": "Role", "metadata": object{"name": forwarder}, "rules": rules},
		object{
			"apiVersion": rbac + "/v1", "kind": "RoleBinding", "metadata": object{"name": forwarder},
			"roleRef":  object{"apiGroup": rbac, "kind": "Role", "name": forwarder},
			"subjects": []object{{"kind": "ServiceAccount", "name": forwarder, "namespace": namespace}},
		})
}

// outside is a folder of Terraform, with a login to the cluster and to the database.
type outside struct {
	folder, provider, token string
	environment             []string
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	w := &outside{folder: t.TempDir()}
	w.environment = append(os.Environ(), "TF_CLI_CONFIG_FILE="+testprovider.CLIConfig(t), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1",
		"KUBECONFIG=/nowhere")
	t.Cleanup(func() { _ = testprovider.Remove() })
	allow(t)
	w.token = mustKubectl(t, "create", "token", forwarder, "--duration=1h")
	var view struct {
		Clusters []struct {
			Cluster struct {
				Server string
				CA     []byte `json:"certificate-authority-data"`
			}
		}
	}
	text := mustKubectl(t, "config", "view", "--raw", "--minify", "--flatten", "--output=json")
	if err := json.Unmarshal([]byte(text), &view); err != nil {
		t.Fatal(err)
	}
	cluster := view.Clusters[0].Cluster
	w.write("api.pem", string(cluster.CA))
	authorities, certificate, key := pems(t, "administrator")
	w.write("ca.pem", authorities)
	w.write("client.crt", certificate)
	w.write("client.key", key)
	w.write("token", w.token)
	w.provider = fmt.Sprintf(`
terraform {
  required_providers {
    brownie = { source = "longyi-brownie/brownie" }
  }
}
provider "brownie" {
  username    = %q
  sslrootcert = "ca.pem"
  sslcert     = "client.crt"
  sslkey      = "client.key"
  kubernetes = {
    namespace              = %q
    service                = "%s-primary"
    host                   = %q
    token                  = file("token")
    cluster_ca_certificate = file("api.pem")
  }
}
`, administrator, namespace, release, cluster.Server)
	return w
}

func (w *outside) write(name, text string) {
	if err := os.WriteFile(filepath.Join(w.folder, name), []byte(text), 0o600); err != nil {
		panic(err)
	}
}

func (w *outside) command(ctx context.Context, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "terraform", append(arguments, "-input=false", "-no-color", "-parallelism=2")...)
	command.Dir, command.Env = w.folder, w.environment
	return command
}

func (w *outside) terraform(arguments ...string) (string, error) {
	output, err := w.command(context.Background(), arguments...).CombinedOutput()
	return string(output), err
}

// makesTenants applies while the fault happens, and once more. Nothing may be missing or twice afterwards.
func (w *outside) makesTenants(t *testing.T, prefix string, inject func(t *testing.T, leader string)) {
	t.Helper()
	before := leader(t)
	_ = os.Remove(filepath.Join(w.folder, "terraform.tfstate"))
	w.write("main.tf", w.provider+fmt.Sprintf(`
locals {
  tenants = toset([for n in range(%d) : format("%s-%%02d", n)])
}
resource "brownie_organization" "tenant" {
  for_each            = local.tenants
  name                = each.key
  slug                = each.key
  deletion_protection = false
  force_destroy       = true
}
resource "brownie_team" "core" {
  for_each        = local.tenants
  organization_id = brownie_organization.tenant[each.key].id
  slug            = "core"
  name            = "Core"
}
resource "brownie_user" "first" {
  for_each        = local.tenants
  organization_id = brownie_organization.tenant[each.key].id
  team_id         = brownie_team.core[each.key].id
  email           = "${each.key}@example.test"
  username        = each.key
}
`, tenants, prefix))
	start := time.Now()
	output, first := w.applyWhile(t, func() { inject(t, before) })
	t.Logf("the first apply took %.1f s: %v", time.Since(start).Seconds(), first)
	if first != nil {
		t.Log(output)
	}
	start = time.Now()
	if output, err := w.terraform("apply", "-auto-approve"); err != nil {
		t.Errorf("the second apply: %s\n%s", err, output)
	}
	t.Logf("the second apply took %.1f s", time.Since(start).Seconds())
	if output, err := w.terraform("plan", "-detailed-exitcode"); err != nil {
		t.Errorf("something is left to do: %s\n%s", err, output)
	}
	now := leader(t)
	t.Logf("the leader was %s and is %s", before, now)
	got := mustAsk(t, now, database, fmt.Sprintf(`SELECT
		(SELECT count(*) || ' of ' || count(DISTINCT slug) FROM public.organizations WHERE slug LIKE '%[1]s-%%') || ', ' ||
		(SELECT count(*) FROM public.teams t JOIN public.organizations o ON o.id = t.organization_id WHERE o.slug LIKE '%[1]s-%%') || ', ' ||
		(SELECT count(*) FROM public.users WHERE username LIKE '%[1]s-%%')`, prefix))
	if want := fmt.Sprintf("%d of %[1]d, %[1]d, %[1]d", tenants); got != want {
		t.Errorf("there are %s; want %s", got, want)
	}
	if output, err := w.terraform("destroy", "-auto-approve"); err != nil {
		t.Errorf("%s\n%s", err, output)
	}
}

// applyWhile applies, and does something else when the first object is there.
func (w *outside) applyWhile(t *testing.T, then func()) (output string, failed error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	command := w.command(ctx, "apply", "-auto-approve")
	pipe, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = command.Stdout
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	done := make(chan struct{})
	for lines, began := bufio.NewScanner(pipe), false; lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		if !began && strings.Contains(lines.Text(), "Creation complete") {
			began = true
			go func() {
				defer close(done)
				then()
			}()
		}
	}
	failed = command.Wait()
	if !strings.Contains(text.String(), "Creation complete") {
		t.Fatalf("nothing was made: %v\n%s", failed, text.String())
	}
	<-done
	return text.String(), failed
}
