// Package testprovider lets the tests of a binary run Terraform with this repository's provider.
package testprovider

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

var built atomic.Bool

var build = sync.OnceValues(func() (folder string, err error) {
	if folder, err = os.MkdirTemp("", "brownie-provider-"); err != nil {
		return "", err
	}
	built.Store(true)
	command := exec.Command("go", "build", "-o", folder, "github.com/longyi-brownie/terraform-provider-brownie")
	if output, err := command.CombinedOutput(); err != nil {
		return folder, fmt.Errorf("%w\n%s", err, output)
	}
	return folder, os.WriteFile(filepath.Join(folder, name), fmt.Appendf(nil, `provider_installation {
  dev_overrides { "longyi-brownie/brownie" = %q }
  direct {}
}
`, folder), 0o600)
})

const name = "terraformrc"

// CLIConfig is a CLI configuration file of Terraform that uses the provider, which is compiled once. `terraform init` does not know
// it, and is not needed: `terraform get` installs modules.
func CLIConfig(t testing.TB) string {
	t.Helper()
	folder, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, name)
}

// Remove removes what was built, if anything.
func Remove() error {
	if !built.Load() {
		return nil
	}
	folder, _ := build()
	return os.RemoveAll(folder)
}
