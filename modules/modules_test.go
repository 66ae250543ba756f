// Package modules_test runs the tests of the Terraform modules.
package modules_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestAccModules runs `terraform test` for every module that has tests.
func TestAccModules(t *testing.T) {
	if os.Getenv("TF_ACC") == "" {
		t.Skip("Acceptance tests run with TF_ACC=1, as make test does")
	}
	terraform := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if terraform == "" {
		terraform = "terraform"
	}
	files, err := filepath.Glob("*/tests/*.tftest.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no module with tests was found (%v)", err)
	}
	tested := map[string]bool{}
	for _, file := range files {
		module := filepath.Dir(filepath.Dir(file))
		if tested[module] {
			continue
		}
		tested[module] = true
		t.Run(module, func(t *testing.T) {
			t.Parallel()
			// A copy, so that Terraform leaves nothing in the repository. A module may refer to those beside it.
			folder := t.TempDir()
			if err := os.CopyFS(folder, os.DirFS(".")); err != nil {
				t.Fatal(err)
			}
			for _, arguments := range [][]string{{"init", "-input=false", "-no-color"}, {"test", "-no-color"}} {
				cmd := exec.Command(terraform, arguments...)
				cmd.Dir = filepath.Join(folder, module)
				if output, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("terraform %s: %s\n%s", arguments[0], err, output)
				}
			}
		})
	}
}
