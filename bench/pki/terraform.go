package main

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

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

const (
	module      = "github.com/longyi-brownie/terraform-provider-brownie"
	ourVersion  = "0.0.1"
	peerVersion = "5.11.0"
)

type measurement struct {
	server *devstack.Vault
	audit  audit
	folder string
	options
}

// ours builds this provider, and has Terraform take it from a mirror that holds nothing else.
func (m measurement) ours(ctx context.Context) (*side, error) {
	benchmark.Progress("Building the provider")
	mirror := filepath.Join(m.folder, "plugins")
	program := filepath.Join(mirror, "registry.terraform.io", "longyi-brownie", "brownie", ourVersion, runtime.GOOS+"_"+runtime.GOARCH,
		"terraform-provider-brownie_v"+ourVersion)
	build := exec.CommandContext(ctx, "go", "build", "-ldflags", "-X main.version="+ourVersion, "-o", program, module)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cannot build the provider: %w\n%s", err, output)
	}
	settings := filepath.Join(m.folder, "terraformrc")
	text := fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return &side{
		name: "this provider", environment: m.environment("ours", "TF_CLI_CONFIG_FILE="+settings),
		configuration: func(round int) string {
			return fmt.Sprintf(`
terraform {
  required_providers {
    brownie = { source = "longyi-brownie/brownie" }
  }
}

provider "brownie" {}

resource "brownie_client_certificate" "this" {
  count       = %d
  mount       = %q
  role        = %q
  common_name = "tenant-${count.index}"
  ttl         = %q
  store       = { mount = %q, path = "round-%d/tenant-${count.index}" }
}
`, m.certificates, pkiMount, role, lifetime, kvMount, round)
		},
	}, nil
}

// peer is the provider that one would use otherwise. Terraform gets it as any provider on this machine, with the caller's
// own settings: from a local folder, a mirror or the registry.
func (m measurement) peer() *side {
	var settings []string
	if file := os.Getenv("TF_CLI_CONFIG_FILE"); file != "" {
		settings = append(settings, "TF_CLI_CONFIG_FILE="+file)
	}
	return &side{
		name: "hashicorp/vault " + peerVersion, environment: m.environment("peer", settings...),
		configuration: func(int) string {
			return fmt.Sprintf(`
terraform {
  required_providers {
    vault = { source = "hashicorp/vault", version = %q }
  }
}

provider "vault" {}

resource "vault_pki_secret_backend_cert" "this" {
  count                = %d
  backend              = %q
  name                 = %q
  common_name          = "tenant-${count.index}"
  ttl                  = %q
  exclude_cn_from_sans = true
}
`, peerVersion, m.certificates, pkiMount, role, lifetime)
		},
	}
}

// environment is the caller's, without what would change what is measured, and with the login: a process's arguments can
// be read by everybody on the machine, its environment cannot. Providers are installed once, in a folder of the side's own.
func (m measurement) environment(name string, more ...string) []string {
	kept := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return slices.ContainsFunc([]string{"TF_", "VAULT_", "PG"}, func(prefix string) bool { return strings.HasPrefix(variable, prefix) })
	})
	kept = append(kept, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_DATA_DIR="+filepath.Join(m.folder, name+"-installed"))
	return slices.Concat(kept, m.server.Env(), more)
}

// versions are those of Vault and of Terraform.
func (m measurement) versions(ctx context.Context) (vault, terraform string, err error) {
	history, err := m.server.Do(ctx, "LIST", "sys/version-history", nil)
	if err != nil {
		return "", "", err
	}
	keys, _ := history["keys"].([]any)
	if len(keys) > 0 {
		vault, _ = keys[len(keys)-1].(string)
	}
	output, err := exec.CommandContext(ctx, "terraform", "version", "-json").Output()
	if err != nil {
		return "", "", fmt.Errorf("terraform is needed: %w", err)
	}
	var answer struct {
		Version string `json:"terraform_version"`
	}
	err = json.Unmarshal(output, &answer)
	return vault, answer.Version, err
}

// install has Terraform get a side's provider.
func (m measurement) install(ctx context.Context, s *side) error {
	benchmark.Progress("Installing %s", s.name)
	folder, err := m.write(s, 0)
	if err != nil {
		return err
	}
	if _, _, err := terraform(ctx, s, folder, "init"); err != nil {
		return err
	}
	if s.lock, err = os.ReadFile(filepath.Join(folder, lockFile)); err != nil {
		return err
	}
	return os.RemoveAll(folder)
}

const lockFile = ".terraform.lock.hcl"

// write makes a fresh folder with a side's configuration, and with the lock file that says which provider is installed.
func (m measurement) write(s *side, round int) (string, error) {
	folder, err := os.MkdirTemp(m.folder, "work-")
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "main.tf"), []byte(s.configuration(round)), 0o600)
	}
	if err == nil && s.lock != nil {
		err = os.WriteFile(filepath.Join(folder, lockFile), s.lock, 0o600)
	}
	return folder, err
}

// round applies from nothing and plans again.
func (m measurement) round(ctx context.Context, s *side, round int) error {
	folder, err := m.write(s, round)
	if err != nil {
		return err
	}
	if err := m.count(ctx, s, &s.apply, folder, "apply", "-auto-approve"); err != nil {
		return err
	}
	// The exit code tells that nothing changes.
	if err := m.count(ctx, s, &s.plan, folder, "plan", "-detailed-exitcode"); err != nil {
		return err
	}
	state, err := os.ReadFile(filepath.Join(folder, "terraform.tfstate"))
	if err != nil {
		return err
	}
	s.keys = max(s.keys, bytes.Count(state, []byte("PRIVATE KEY-----"))/2) // A key has a first line and a last one.
	return os.RemoveAll(folder)
}

// count runs one of Terraform's commands, and counts what Vault is asked meanwhile.
func (m measurement) count(ctx context.Context, s *side, p *phase, folder string, arguments ...string) error {
	before, err := m.audit.size()
	if err != nil {
		return err
	}
	took, worked, err := terraform(ctx, s, folder, arguments...)
	if err != nil {
		return err
	}
	requests, err := m.audit.since(before)
	if err != nil {
		return err
	}
	p.took, p.worked = append(p.took, took), append(p.worked, worked)
	if requests.total() > p.requests.total() {
		p.requests = requests
	}
	return nil
}

// terraform runs one command. It returns the time until its end, and the processor time of it and its providers.
func terraform(ctx context.Context, s *side, folder string, arguments ...string) (took, worked time.Duration, err error) {
	command := exec.CommandContext(ctx, "terraform", append(arguments, "-input=false", "-no-color")...)
	var output bytes.Buffer
	command.Dir, command.Env, command.Stdout, command.Stderr = folder, s.environment, &output, &output
	// Terraform that is killed leaves its providers behind.
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 30 * time.Second
	began := time.Now()
	err = command.Run()
	took = time.Since(began)
	if err != nil {
		return 0, 0, fmt.Errorf("%s: terraform %s: %w\n%s", s.name, arguments[0], err, output.String())
	}
	return took, command.ProcessState.UserTime() + command.ProcessState.SystemTime(), nil
}
