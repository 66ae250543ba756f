// Command pki measures what client certificates cost: how many requests Vault gets for each, counted by Vault's own audit
// device, and how long Terraform takes, against the certificates of the provider hashicorp/vault on the same server. It
// starts a server of its own and writes a report in Markdown.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

const (
	// requestLimit is how many requests a certificate may cost in an apply, and in a plan that changes nothing.
	requestLimit = 2.0
	// timeLimit is the highest ratio of our apply's time to the peer's that is accepted.
	timeLimit = 1.0
)

var (
	certificates = flag.Int("n", 500, "how many certificates one apply issues")
	rounds       = flag.Int("rounds", 3, "how often each side applies, from nothing, and plans")
)

func main() { benchmark.Main("pki", "What client certificates cost", start) }

func start(ctx context.Context, r *benchmark.Report) error {
	if *certificates < 1 || *rounds < 1 {
		return errors.New("-n and -rounds must be at least 1")
	}
	// An existing server would write its audit file where this program cannot read it.
	if err := os.Unsetenv("VAULT_ADDR"); err != nil {
		return err
	}
	server, err := devstack.StartVault(ctx, devstack.Options{Log: benchmark.Progress})
	if err != nil {
		return err
	}
	return errors.Join(run(ctx, r, server), server.Stop(context.WithoutCancel(ctx)))
}

func run(ctx context.Context, r *benchmark.Report, server *devstack.Vault) error {
	folder, err := os.MkdirTemp("", "brownie-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	a, err := prepare(ctx, server)
	if err != nil {
		return err
	}
	if err := versions(ctx, r, server); err != nil {
		return err
	}
	ours, err := benchmark.OurProvider(ctx, folder, server.Env(), ourConfiguration)
	if err != nil {
		return err
	}
	sides := []*side{{Terraform: ours}}
	peer, err := benchmark.OtherProvider(ctx, "hashicorp/vault "+peerVersion, folder, server.Env(), peerConfiguration)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		benchmark.Progress("There is nothing to compare with: %s", err)
		r.Text("**There is no peer:** `terraform init` found it neither in a folder of this machine nor in a registry.")
	default:
		sides = append(sides, &side{Terraform: peer})
	}
	contenders := make([]benchmark.Contender, len(sides))
	for i, s := range sides {
		contenders[i] = s.contender(a)
	}
	figures, err := benchmark.Rounds(ctx, 0, *rounds, contenders...)
	if err != nil {
		return err
	}
	reportRequests(r, sides)
	reportTimes(r, sides, figures)
	return nil
}

// versions tells those of Vault and of Terraform.
func versions(ctx context.Context, r *benchmark.Report, server *devstack.Vault) error {
	history, err := server.Do(ctx, "LIST", "sys/version-history", nil)
	if err != nil {
		return err
	}
	if keys, _ := history["keys"].([]any); len(keys) > 0 {
		r.On(fmt.Sprintf("Vault %s on the same machine and in memory", keys[len(keys)-1]))
	}
	version, err := benchmark.TerraformVersion(ctx)
	r.On("Terraform " + version)
	return err
}

// The mounts, and the role that both sides use.
const (
	pkiMount, kvMount, role = "pki", "kv", "client"
	// lifetime is long enough that neither side wants to renew in the second plan.
	lifetime = "720h"
)

// prepare makes the mounts, and has the server write down each request from then on.
func prepare(ctx context.Context, server *devstack.Vault) (audit, error) {
	a := audit(filepath.Join(filepath.Dir(server.Log()), "audit.log"))
	for _, step := range []struct {
		path string
		body map[string]any
	}{
		{"sys/mounts/" + pkiMount, map[string]any{"type": "pki", "config": map[string]any{"max_lease_ttl": "87600h"}}},
		{"sys/mounts/" + kvMount, map[string]any{"type": "kv", "options": map[string]any{"version": "2"}}},
		{pkiMount + "/root/generate/internal", map[string]any{
			"common_name": "Benchmark root", "key_type": "ec", "key_bits": 256, "ttl": "87600h",
		}},
		// The peer has Vault make the key, of the role's type; this provider makes the same type of its own accord.
		{pkiMount + "/roles/" + role, map[string]any{
			"allow_any_name": true, "enforce_hostnames": false, "server_flag": false,
			"key_type": "ec", "key_bits": 256, "max_ttl": lifetime,
		}},
		{"sys/audit/file", map[string]any{"type": "file", "options": map[string]string{"file_path": string(a)}}},
	} {
		if _, err := server.Do(ctx, http.MethodPost, step.path, step.body); err != nil {
			return "", err
		}
	}
	if _, err := a.size(); err != nil {
		return "", fmt.Errorf("the requests cannot be counted, since the server writes them into a container: install vault: %w", err)
	}
	return a, nil
}
