package acctest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testprovider"
)

// Workspace is a folder in which Terraform's command runs with the compiled provider, as people use it.
type Workspace struct {
	T   *testing.T
	Dir string
	Env []string
}

// NewWorkspace is for a test's database.
func NewWorkspace(t *testing.T, database, config string) Workspace {
	t.Helper()
	return NewWorkspaceWith(t, testdb.Server(t, database).Env(database), config)
}

// NewWorkspaceWith is for a server of the test's own.
func NewWorkspaceWith(t *testing.T, env []string, config string) Workspace {
	t.Helper()
	w := Workspace{T: t, Dir: t.TempDir()}
	w.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+testprovider.CLIConfig(t), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "NO_COLOR=1")
	w.Env = append(w.Env, env...)
	for _, setting := range env {
		if name, token, _ := strings.Cut(setting, "="); name == "VAULT_TOKEN" || name == "TFC_WORKLOAD_IDENTITY_TOKEN" {
			w.SearchFor(token)
		}
	}
	w.Write(config)
	return w
}

// SearchFor has everything logged, and in the end searches all files that Terraform has written, plans and their JSON included,
// for a token and for private keys.
func (w *Workspace) SearchFor(token string) {
	w.Env = append(w.Env, "TF_LOG=TRACE", "TF_LOG_PATH="+filepath.Join(w.Dir, "trace.log"))
	w.T.Cleanup(func() {
		found, err := findSecretInFiles(w.Dir, token)
		if err != nil || len(found) > 0 {
			w.T.Errorf("%v\n%s", err, strings.Join(found, "\n"))
		}
	})
}

func (w Workspace) Write(config string) {
	w.T.Helper()
	const header = `terraform {
  required_providers {
    brownie = { source = "longyi-brownie/brownie" }
  }
}
`
	if err := os.WriteFile(filepath.Join(w.Dir, "main.tf"), []byte(header+config), 0o600); err != nil {
		w.T.Fatal(err)
	}
}

// Command is Terraform's command in the folder.
func (w Workspace) Command(arguments ...string) *exec.Cmd {
	terraform := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if terraform == "" {
		terraform = "terraform"
	}
	cmd := exec.CommandContext(context.Background(), terraform, append(arguments, "-no-color")...)
	cmd.Dir, cmd.Env = w.Dir, w.Env
	return cmd
}

// Run runs Terraform, which may fail.
func (w Workspace) Run(arguments ...string) (output string, err error) {
	text, err := w.Command(arguments...).CombinedOutput()
	return string(text), err
}

// MustRun runs Terraform, which must not fail.
func (w Workspace) MustRun(arguments ...string) string {
	w.T.Helper()
	output, err := w.Run(arguments...)
	if err != nil {
		w.T.Fatalf("terraform %s: %s\n%s", strings.Join(arguments, " "), err, output)
	}
	return output
}

// Apply applies without asking.
func (w Workspace) Apply() (output string, err error) {
	return w.Run("apply", "-auto-approve", "-input=false")
}

// NoChanges fails the test unless a plan is empty.
func (w Workspace) NoChanges() {
	w.T.Helper()
	output, err := w.Run("plan", "-input=false", "-detailed-exitcode", "-out=tfplan")
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 {
		w.T.Fatalf("the plan is not empty:\n%s", output)
	}
	if err != nil {
		w.T.Fatalf("%s\n%s", err, output)
	}
	// For those who search what Terraform has written.
	if err := os.WriteFile(filepath.Join(w.Dir, "plan.json"), []byte(w.MustRun("show", "-json", "tfplan")), 0o600); err != nil {
		w.T.Fatal(err)
	}
}

// Diagnostic is an error of Terraform, with the attribute and the block that it is on.
type Diagnostic struct{ Attribute, Block, Text string }

// reported is an error as Terraform's commands write it with -json.
type reported struct {
	Severity, Summary, Detail string
	Snippet                   *struct{ Code, Context string }
}

func errorsOf(all []reported) (diagnostics []Diagnostic) {
	for _, d := range all {
		if d.Severity != "error" {
			continue
		}
		attribute, block := "", ""
		if d.Snippet != nil {
			attribute, _, _ = strings.Cut(strings.TrimSpace(d.Snippet.Code), " ")
			block = d.Snippet.Context
		}
		diagnostics = append(diagnostics, Diagnostic{attribute, block, d.Summary + ": " + d.Detail})
	}
	return diagnostics
}

// Validate returns the errors of the validation of a configuration.
func Validate(t *testing.T, config string) []Diagnostic {
	t.Helper()
	w := NewWorkspaceWith(t, nil, config)
	output, _ := w.Command("validate", "-json").Output() // the status only repeats what the output says
	var result struct{ Diagnostics []reported }
	if err := json.Unmarshal(output, &result); err != nil {
		t.Fatalf("%s\n%s", err, output)
	}
	return errorsOf(result.Diagnostics)
}

// PlanErrors returns the errors of a plan.
func (w Workspace) PlanErrors() []Diagnostic {
	w.T.Helper()
	output, _ := w.Command("plan", "-input=false", "-json").Output()
	var all []reported
	for line := range strings.Lines(string(output)) {
		var message struct{ Diagnostic reported }
		if err := json.Unmarshal([]byte(line), &message); err != nil {
			w.T.Fatalf("%s\n%s", err, line)
		}
		all = append(all, message.Diagnostic)
	}
	return errorsOf(all)
}

// Children lists the processes that a process started.
func Children(t *testing.T, parent int) (pids []int) {
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
