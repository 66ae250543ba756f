package runner_test

import (
	"context"
	"os"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/teststore"
)

// The servers are of the version of the client programs that this machine has, which need not be the one that other tests use.
func TestMain(m *testing.M) {
	if tools, err := devstack.ClientTools(context.Background()); err == nil {
		if major, err := devstack.ClientToolsMajor(context.Background(), tools); err == nil {
			_ = os.Setenv("BROWNIE_PG_VERSION", major)
		}
	}
	testdb.Main(m, teststore.Stop)
}
