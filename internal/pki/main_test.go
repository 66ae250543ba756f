package pki_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := testvault.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot stop the test server:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}
