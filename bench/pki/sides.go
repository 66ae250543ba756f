package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
)

const peerVersion = "5.11.0"

func ourConfiguration(round int) string {
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
`, *certificates, pkiMount, role, lifetime, kvMount, round)
}

func peerConfiguration(int) string {
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
`, peerVersion, *certificates, pkiMount, role, lifetime)
}

// side is one provider, and what was counted with it.
type side struct {
	*benchmark.Terraform
	// apply and plan are the requests of the round that had most.
	apply, plan counts
	// keys is how many private keys the state holds after an apply.
	keys int
}

// contender applies from nothing and plans again. Its figures are the time and the processor time of both.
func (s *side) contender(a audit) benchmark.Contender {
	return benchmark.Contender{Name: s.Name, Round: func(ctx context.Context, round int) ([]time.Duration, error) {
		benchmark.Progress("Round %d of %d: %d certificates with %s", round+1, *rounds, *certificates, s.Name)
		folder, err := s.Fresh(round)
		if err != nil {
			return nil, err
		}
		defer func() { _ = os.RemoveAll(folder) }()
		applied, err := s.count(ctx, a, &s.apply, folder, "apply", "-auto-approve")
		if err != nil {
			return nil, err
		}
		// The exit code tells that nothing changes.
		planned, err := s.count(ctx, a, &s.plan, folder, "plan", "-detailed-exitcode")
		if err != nil {
			return nil, err
		}
		state, err := os.ReadFile(filepath.Join(folder, "terraform.tfstate"))
		s.keys = max(s.keys, bytes.Count(state, []byte("PRIVATE KEY-----"))/2) // A key has a first line and a last one.
		return append(applied, planned...), err
	}}
}

// count runs one of Terraform's commands, and counts what Vault is asked meanwhile.
func (s *side) count(ctx context.Context, a audit, most *counts, folder string, arguments ...string) ([]time.Duration, error) {
	before, err := a.size()
	if err != nil {
		return nil, err
	}
	took, err := s.Run(ctx, folder, arguments...)
	if err != nil {
		return nil, err
	}
	requests, err := a.since(before)
	if requests.total() > most.total() {
		*most = requests
	}
	return took, err
}
