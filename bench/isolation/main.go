// Command isolation measures what row-level isolation costs a tenant: queries of a tenant's role, which the policies
// restrict, against the same queries of a service role, which restricts them by a WHERE of its own, and of a superuser,
// whom no policy restricts. It starts a server of its own and writes a report in Markdown.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

// limit is the highest ratio of a tenant's median latency to the service role's that is accepted.
const limit = 1.15

type options struct {
	organizations, incidents, rounds, roles int
}

func main() {
	var o options
	flag.IntVar(&o.organizations, "organizations", 1000, "how many tenants there are")
	flag.IntVar(&o.incidents, "incidents", 1000, "how many incidents each of them has")
	flag.IntVar(&o.rounds, "rounds", 4000, "how often each role sends each query")
	flag.IntVar(&o.roles, "roles", 10000, "with how many bound roles the isolation is proved; a tenth of them is the comparison")
	flag.Parse()
	benchmark.Main(func(ctx context.Context, server *devstack.Postgres) error { return run(ctx, server, o) })
}

func run(ctx context.Context, server *devstack.Postgres, o options) error {
	if o.organizations < tenants || o.incidents < 1 || o.rounds < tenants {
		return fmt.Errorf("-organizations and -rounds must be at least %d, -incidents at least 1", tenants)
	}
	measured, err := newDatabase(ctx, server, o)
	if err != nil {
		return err
	}
	defer measured.close(context.WithoutCancel(ctx))

	var results []result
	for _, q := range queries {
		benchmark.Progress("%s: %d rounds", q.name, o.rounds)
		r, err := measured.measure(ctx, q, o.rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		results = append(results, r)
	}
	found, err := measureSearches(ctx, server, o.rounds)
	if err != nil {
		return err
	}
	proofs, err := measured.proveAtScale(ctx, measured.store, []int{o.roles / 10, o.roles})
	if err != nil {
		return err
	}
	return cmp.Or(report(ctx, os.Stdout, measured, o, results, found, proofs), judge(results), judgeProof(proofs))
}
