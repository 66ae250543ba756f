package backup_test

import (
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

func TestMain(m *testing.M) { acctest.Main(m) }
