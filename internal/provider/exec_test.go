package provider_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

var providerIsBuilt atomic.Bool

// builtProvider compiles the provider once and returns a Terraform CLI configuration that uses it.
var builtProvider = sync.OnceValues(func() (cliConfig string, err error) {
	folder, err := os.MkdirTemp("", "brownie-provider-")
	if err != nil {
		return "", err
	}
	providerIsBuilt.Store(true)
	build := exec.Command("go", "build", "-o", folder, "github.com/longyi-brownie/terraform-provider-brownie")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, output)
	}
	cliConfig = filepath.Join(folder, "terraformrc")
	return cliConfig, os.WriteFile(cliConfig, fmt.Appendf(nil, `provider_installation {
  dev_overrides { "longyi-brownie/brownie" = %q }
  direct {}
}
`, folder), 0o600)
})

// removeBuiltProvider removes what [builtProvider] has made, if anything.
func removeBuiltProvider() error {
	if !providerIsBuilt.Load() {
		return nil
	}
	cliConfig, err := builtProvider()
	if err != nil {
		return err
	}
	return os.RemoveAll(filepath.Dir(cliConfig))
}

// workspace is a folder in which Terraform's command runs with the compiled provider, as people use it.
type workspace struct {
	t   *testing.T
	dir string
	env []string
}

func newWorkspace(t *testing.T, database, config string) workspace {
	t.Helper()
	return newWorkspaceWith(t, testdb.Server(t, database).Env(database), config)
}

// newWorkspaceWith is for a server of the test's own.
func newWorkspaceWith(t *testing.T, env []string, config string) workspace {
	t.Helper()
	cliConfig, err := builtProvider()
	if err != nil {
		t.Fatal(err)
	}
	w := workspace{t: t, dir: t.TempDir()}
	w.env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+cliConfig, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "NO_COLOR=1")
	w.env = append(w.env, env...)
	for _, setting := range env {
		if name, token, _ := strings.Cut(setting, "="); name == "VAULT_TOKEN" || name == "TFC_WORKLOAD_IDENTITY_TOKEN" {
			w.searchFor(token)
		}
	}
	w.write(config)
	return w
}

// searchFor has everything logged, and in the end searches all files that Terraform has written, plans and their JSON included,
// for a token and for private keys.
func (w *workspace) searchFor(token string) {
	w.env = append(w.env, "TF_LOG=TRACE", "TF_LOG_PATH="+filepath.Join(w.dir, "trace.log"))
	w.t.Cleanup(func() {
		found, err := findSecretInFiles(w.dir, token)
		if err != nil || len(found) > 0 {
			w.t.Errorf("%v\n%s", err, strings.Join(found, "\n"))
		}
	})
}

func (w workspace) write(config string) {
	w.t.Helper()
	const header = `terraform {
  required_providers {
    brownie = { source = "longyi-brownie/brownie" }
  }
}
`
	if err := os.WriteFile(filepath.Join(w.dir, "main.tf"), []byte(header+config), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w workspace) command(arguments ...string) *exec.Cmd {
	terraform := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if terraform == "" {
		terraform = "terraform"
	}
	cmd := exec.CommandContext(context.Background(), terraform, append(arguments, "-no-color")...)
	cmd.Dir, cmd.Env = w.dir, w.env
	return cmd
}

func (w workspace) run(arguments ...string) (output string, err error) {
	text, err := w.command(arguments...).CombinedOutput()
	return string(text), err
}

func (w workspace) mustRun(arguments ...string) string {
	w.t.Helper()
	output, err := w.run(arguments...)
	if err != nil {
		w.t.Fatalf("terraform %s: %s\n%s", strings.Join(arguments, " "), err, output)
	}
	return output
}

func (w workspace) apply() (output string, err error) {
	return w.run("apply", "-auto-approve", "-input=false")
}

// noChanges fails the test unless a plan is empty.
func (w workspace) noChanges() {
	w.t.Helper()
	output, err := w.run("plan", "-input=false", "-detailed-exitcode", "-out=tfplan")
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 {
		w.t.Fatalf("the plan is not empty:\n%s", output)
	}
	if err != nil {
		w.t.Fatalf("%s\n%s", err, output)
	}
	// For those who search what Terraform has written.
	if err := os.WriteFile(filepath.Join(w.dir, "plan.json"), []byte(w.mustRun("show", "-json", "tfplan")), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

type diagnostic struct{ attribute, text string }

// validate returns the errors of the validation of a configuration, with the attribute that each is on.
func validate(t *testing.T, config string) []diagnostic {
	t.Helper()
	w := newWorkspaceWith(t, nil, config)
	output, _ := w.command("validate", "-json").Output() // the status only repeats what the output says
	var result struct {
		Diagnostics []struct {
			Severity, Summary, Detail string
			Snippet                   *struct{ Code string }
		}
	}
	if err := json.Unmarshal(output, &result); err != nil {
		t.Fatalf("%s\n%s", err, output)
	}
	var diagnostics []diagnostic
	for _, d := range result.Diagnostics {
		if d.Severity != "error" {
			continue
		}
		attribute := ""
		if d.Snippet != nil {
			attribute, _, _ = strings.Cut(strings.TrimSpace(d.Snippet.Code), " ")
		}
		diagnostics = append(diagnostics, diagnostic{attribute, d.Summary + ": " + d.Detail})
	}
	return diagnostics
}

// children lists the processes that a process started.
func children(t *testing.T, parent int) (pids []int) {
	t.Helper()
	list, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		t.Fatalf("ps: %s", err)
	}
	for line := range strings.Lines(string(list)) {
		var pid, ppid int
		if _, err := fmt.Sscan(line, &pid, &ppid); err == nil && ppid == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}
