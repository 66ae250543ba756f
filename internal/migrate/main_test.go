package migrate_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

func TestMain(m *testing.M) {
	if os.Getenv(victimVariable) != "" {
		if err := victim(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testdb.Main(m, func() error { return os.RemoveAll(gooseFolder) })
}
