package benchmark

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

const (
	module     = "github.com/longyi-brownie/terraform-provider-brownie"
	ourVersion = "0.0.1"
)

// Terraform is one provider with a configuration for it.
type Terraform struct {
	Name string
	// Configuration is the text of a round.
	Configuration func(round int) string

	folder      string
	environment []string
	lock        []byte // Terraform's lock file, once the provider is installed
}

// OurProvider builds this provider, and has Terraform take it from a mirror that holds nothing else. Everything is made in the
// folder, and the environment is the login at the servers.
func OurProvider(ctx context.Context, folder string, login []string, configuration func(round int) string) (*Terraform, error) {
	return BuiltProvider(ctx, "this provider", module, folder, login, configuration)
}

// BuiltProvider does the same with another program of this module that takes its place.
func BuiltProvider(ctx context.Context, name, program, folder string, login []string, configuration func(round int) string) (
	*Terraform, error,
) {
	mirror := filepath.Join(folder, "plugins")
	file := filepath.Join(mirror, "registry.terraform.io", "longyi-brownie", "brownie", ourVersion, runtime.GOOS+"_"+runtime.GOARCH,
		"terraform-provider-brownie_v"+ourVersion)
	if err := Build(ctx, name, program, file, "-X main.version="+ourVersion); err != nil {
		return nil, err
	}
	settings := filepath.Join(folder, "terraformrc")
	text := fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return install(ctx, name, folder, append(login, "TF_CLI_CONFIG_FILE="+settings), configuration)
}

// Build makes a file of a program, with flags for the linker.
func Build(ctx context.Context, name, program, file, flags string) error {
	Progress("Building %s", name)
	build := exec.CommandContext(ctx, "go", "build", "-ldflags", flags, "-o", file, program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %s: %w\n%s", name, err, output)
	}
	return nil
}

// OtherProvider is one that Terraform gets as any on this machine, with the caller's own settings: from a local folder, a mirror
// or the registry.
func OtherProvider(ctx context.Context, name, folder string, login []string, configuration func(int) string) (*Terraform, error) {
	if file := os.Getenv("TF_CLI_CONFIG_FILE"); file != "" {
		login = append(login, "TF_CLI_CONFIG_FILE="+file)
	}
	return install(ctx, name, folder, login, configuration)
}

// install has Terraform get the provider once, into a folder of its own. The environment is the caller's, without what would
// change what is measured.
func install(ctx context.Context, name, folder string, login []string, configuration func(int) string) (*Terraform, error) {
	Progress("Installing %s", name)
	kept := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return slices.ContainsFunc([]string{"TF_", "VAULT_", "PG"}, func(prefix string) bool { return strings.HasPrefix(variable, prefix) })
	})
	installed, err := os.MkdirTemp(folder, "installed-")
	if err != nil {
		return nil, err
	}
	kept = append(kept, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_DATA_DIR="+installed)
	t := &Terraform{Name: name, Configuration: configuration, folder: folder, environment: append(kept, login...)}
	work, err := t.Fresh(0)
	if err != nil {
		return nil, err
	}
	if _, err := t.Run(ctx, work, "init"); err != nil {
		return t, err
	}
	t.lock, err = os.ReadFile(filepath.Join(work, lockFile))
	return t, err
}

const lockFile = ".terraform.lock.hcl"

// Fresh makes a folder with a round's configuration and no state.
func (t *Terraform) Fresh(round int) (string, error) {
	work, err := os.MkdirTemp(t.folder, "work-")
	if err == nil {
		err = os.WriteFile(filepath.Join(work, "main.tf"), []byte(t.Configuration(round)), 0o600)
	}
	if err == nil && t.lock != nil {
		err = os.WriteFile(filepath.Join(work, lockFile), t.lock, 0o600)
	}
	return work, err
}

// Run runs one command. Its figures are the time until its end, and the processor time of Terraform and its providers.
func (t *Terraform) Run(ctx context.Context, work string, arguments ...string) ([]time.Duration, error) {
	command := exec.CommandContext(ctx, "terraform", append(arguments, "-input=false", "-no-color")...)
	var output bytes.Buffer
	command.Dir, command.Env, command.Stdout, command.Stderr = work, t.environment, &output, &output
	// Terraform that is killed leaves its providers behind.
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 30 * time.Second
	took, err := Timed(command.Run)
	if err != nil {
		return nil, fmt.Errorf("%s: terraform %s: %w\n%s", t.Name, arguments[0], err, output.String())
	}
	return append(took, command.ProcessState.UserTime()+command.ProcessState.SystemTime()), nil
}

// TerraformVersion is that of the program on PATH.
func TerraformVersion(ctx context.Context) (string, error) {
	output, err := exec.CommandContext(ctx, "terraform", "version", "-json").Output()
	if err != nil {
		return "", fmt.Errorf("terraform is needed: %w", err)
	}
	var answer struct {
		Version string `json:"terraform_version"`
	}
	err = json.Unmarshal(output, &answer)
	return answer.Version, err
}
