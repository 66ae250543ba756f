package pki_test

import (
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
)

func TestMain(m *testing.M) { testvault.Main(m) }
