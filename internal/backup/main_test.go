package backup_test

import (
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }
