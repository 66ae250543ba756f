// Package modules_test runs the tests of the Terraform modules.
package modules_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testprovider"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testserver"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
)

func TestMain(m *testing.M) { testserver.Main(m, testvault.Stop, testprovider.Remove) }

func acceptance(t *testing.T) {
	t.Helper()
	if os.Getenv("TF_ACC") == "" {
		t.Skip("Acceptance tests run with TF_ACC=1, as make test does")
	}
}

// folder is where Terraform runs, and its environment.
type folder struct {
	t   *testing.T
	dir string
	env []string
}

// copied is a copy of a module with those beside it, to which it may refer: Terraform leaves nothing in the repository.
func copied(t *testing.T, module string, env []string) folder {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	f := folder{t, filepath.Join(dir, module), append(os.Environ(), env...)}
	if f.usesOurs() {
		f.env = append(f.env, "TF_CLI_CONFIG_FILE="+testprovider.CLIConfig(t))
	}
	return f
}

// usesOurs tells whether the folder needs this repository's provider, which Terraform gets from nowhere.
func (f folder) usesOurs() bool {
	files, _ := filepath.Glob(filepath.Join(f.dir, "*.tf"))
	return slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(text), `"longyi-brownie/brownie"`)
	})
}

func (f folder) terraform(arguments ...string) (output string, err error) {
	program := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if program == "" {
		program = "terraform"
	}
	cmd := exec.Command(program, append(arguments, "-no-color")...)
	cmd.Dir, cmd.Env = f.dir, f.env
	text, err := cmd.CombinedOutput()
	return string(text), err
}

func (f folder) must(arguments ...string) string {
	f.t.Helper()
	output, err := f.terraform(arguments...)
	if err != nil {
		f.t.Fatalf("terraform %s: %s\n%s", arguments[0], err, output)
	}
	return output
}

// write makes the folder's main.tf.
func (f folder) write(config string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, "main.tf"), []byte(config), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// initialize gets the module's providers. Where no registry and no folder has them, the test is skipped, which
// `make test` counts and names.
func (f folder) initialize() {
	f.t.Helper()
	if f.usesOurs() {
		f.must("get")
		return
	}
	output, err := f.terraform("init", "-input=false")
	var failed *exec.ExitError
	if errors.As(err, &failed) && strings.Contains(output, "Failed to query available provider packages") {
		f.t.Skipf("Terraform can get a provider of the module from no registry and no folder of this machine:\n%s", output)
	}
	if err != nil {
		f.t.Fatalf("terraform init: %s\n%s", err, output)
	}
}

// modules are the names of all modules.
func modules(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*/variables.tf")
	if err != nil || len(files) == 0 {
		t.Fatalf("no module was found (%v)", err)
	}
	for i, file := range files {
		files[i] = filepath.Dir(file)
	}
	return files
}

// TestAccModules runs `terraform test` for every module, and validates its examples. Tests for a real Vault get one.
func TestAccModules(t *testing.T) {
	acceptance(t)
	for _, module := range modules(t) {
		t.Run(module, func(t *testing.T) {
			t.Parallel()
			f := copied(t, module, testvault.New(t).Env())
			f.initialize()
			f.must("test")
			examples, err := filepath.Glob(module + "/examples/*")
			if err != nil || len(examples) == 0 {
				t.Errorf("no example was found (%v)", err)
			}
			for _, example := range examples {
				e := folder{t, filepath.Join(f.dir, "examples", filepath.Base(example)), f.env}
				e.initialize()
				e.must("validate")
			}
		})
	}
}
