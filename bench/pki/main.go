// Command pki measures what client certificates cost: how many requests Vault gets for each, counted by Vault's own audit
// device, and how long Terraform takes, against the certificates of the provider hashicorp/vault on the same server. It
// starts a server of its own and writes a report in Markdown.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

const (
	// requestLimit is how many requests a certificate may cost in an apply, and in a plan that changes nothing.
	requestLimit = 2.0
	// timeLimit is the highest ratio of our apply's time to the peer's that is accepted.
	timeLimit = 1.0
)

type options struct{ certificates, rounds int }

func main() {
	var o options
	flag.IntVar(&o.certificates, "n", 500, "how many certificates one apply issues")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each side applies, from nothing, and plans")
	flag.Parse()
	benchmark.Run(func(ctx context.Context) error { return run(ctx, o) })
}

func run(ctx context.Context, o options) error {
	if o.certificates < 1 || o.rounds < 1 {
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
	return errors.Join(measure(ctx, server, o), server.Stop(context.WithoutCancel(ctx)))
}

func measure(ctx context.Context, server *devstack.Vault, o options) error {
	folder, err := os.MkdirTemp("", "brownie-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	a, err := prepare(ctx, server)
	if err != nil {
		return err
	}
	m := measurement{server: server, audit: a, folder: folder, options: o}
	ours, err := m.ours(ctx)
	if err != nil {
		return err
	}
	r := results{options: o, ours: ours, peer: m.peer()}
	if r.Vault, r.Terraform, err = m.versions(ctx); err != nil {
		return err
	}
	if err := m.install(ctx, ours); err != nil {
		return err
	}
	if err := m.install(ctx, r.peer); ctx.Err() != nil {
		return ctx.Err()
	} else if err != nil {
		r.Missing = true
		benchmark.Progress("There is nothing to compare with: %s", err)
	}
	for round := range o.rounds {
		sides := []*side{r.ours}
		if !r.Missing {
			// Who comes first changes from round to round.
			sides = [][]*side{{r.ours, r.peer}, {r.peer, r.ours}}[round%2]
		}
		for _, s := range sides {
			benchmark.Progress("Round %d of %d: %d certificates with %s", round+1, o.rounds, o.certificates, s.name)
			if err := m.round(ctx, s, round); err != nil {
				return err
			}
		}
	}
	return cmp.Or(page.Execute(os.Stdout, r), r.judge())
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
		{pkiMount + "/root/generate/internal", map[string]any{"common_name": "Benchmark root", "key_type": "ec", "key_bits": 256, "ttl": "87600h"}},
		// The peer has Vault make the key, of the role's type; this provider makes the same type of its own accord.
		{pkiMount + "/roles/" + role, map[string]any{
			"allow_any_name": true, "enforce_hostnames": false, "server_flag": false, "key_type": "ec", "key_bits": 256, "max_ttl": lifetime,
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

// side is one provider, and what was measured with it.
type side struct {
	name string
	// configuration is Terraform's, for a round.
	configuration func(round int) string
	environment   []string
	// lock is the text of Terraform's lock file, once the provider is installed.
	lock []byte

	apply, plan phase
	// keys is how many private keys the state holds after an apply.
	keys int
}

// phase is one of Terraform's commands, once for each round.
type phase struct {
	took, worked []time.Duration
	// requests are those of the round that had most.
	requests counts
}

// time is the median of the time until the command's end, and processor that of the processor time.
func (p phase) time() time.Duration      { return benchmark.Percentile(p.took, 50) }
func (p phase) processor() time.Duration { return benchmark.Percentile(p.worked, 50) }
