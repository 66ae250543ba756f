package acctest

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
)

// keyMaterial begins private keys: those in PEM, and without their first line also those that the provider makes, of which only
// the type is alike (RFC 5958 with EC P-256, and Ed25519).
var keyMaterial = []string{"PRIVATE KEY", "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0w", "MC4CAQAwBQYDK2VwBCIEI"}

// findSecret returns the words around the first secret in a text, or nothing.
func findSecret(text string, secrets ...string) string {
	for _, secret := range append(secrets, keyMaterial...) {
		if at := strings.Index(text, secret); secret != "" && at >= 0 {
			return text[max(0, at-80):at] + "⟦…⟧" // without the secret itself
		}
	}
	return ""
}

// findSecretInFiles searches all files below a folder.
func findSecretInFiles(dir string, secrets ...string) (found []string, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if around := findSecret(string(text), secrets...); around != "" {
			found = append(found, fmt.Sprintf("%s holds a secret: %s", path, around))
		}
		return nil
	})
	return found, err
}

// traceLogs makes Terraform and the provider write all that they can log, a file for each test, and searches the files in the end.
func traceLogs() (search func() error, err error) {
	dir, err := os.MkdirTemp("", "brownie-trace-")
	if err != nil {
		return nil, err
	}
	if err := os.Setenv("TF_LOG_PATH_MASK", filepath.Join(dir, "%s.log")); err != nil {
		return nil, err
	}
	return func() error {
		found, err := findSecretInFiles(dir)
		if err == nil {
			err = os.RemoveAll(dir)
		}
		if len(found) > 0 {
			return fmt.Errorf("secrets were logged:\n%s", strings.Join(found, "\n"))
		}
		return err
	}, nil
}

// noSecrets searches what Terraform makes of a step.
type noSecrets struct{ token string }

func (n noSecrets) search(what string, document any) error {
	text, err := json.Marshal(document)
	if err != nil {
		return err
	}
	if around := findSecret(string(text), n.token); around != "" {
		return fmt.Errorf("the %s holds a secret: %s", what, around)
	}
	return nil
}

func (n noSecrets) CheckPlan(_ context.Context, req plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	// Terraform keeps the configuration of providers in its plans, sensitive or not: a user's own token, not ours.
	plan := *req.Plan
	plan.Config = nil
	resp.Error = n.search("plan", plan)
}

func (n noSecrets) CheckState(_ context.Context, req statecheck.CheckStateRequest, resp *statecheck.CheckStateResponse) {
	resp.Error = n.search("state", req.State)
}

// RunSearched runs steps whose plans and states are searched for secrets. [traceLogs] searches the logs.
func RunSearched(t *testing.T, m *testvault.Mounts, steps ...resource.TestStep) {
	t.Helper()
	search := noSecrets{m.Token()}
	for i := range steps {
		step := &steps[i]
		if step.ImportState || step.ExpectError != nil {
			continue
		}
		step.ConfigPlanChecks.PreApply = append(step.ConfigPlanChecks.PreApply, search)
		step.ConfigPlanChecks.PostApplyPostRefresh = append(step.ConfigPlanChecks.PostApplyPostRefresh, search)
		step.ConfigStateChecks = append(step.ConfigStateChecks, search)
	}
	resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: Factories, Steps: steps})
}
