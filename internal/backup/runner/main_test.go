package runner_test

import (
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/teststore"
)

func TestMain(m *testing.M) { testdb.Main(m, teststore.Stop) }
