// Command isolation measures what row-level isolation costs a tenant, what it costs a service role that names no tenant, and
// how long its proof takes. It starts a server of its own and writes a report in Markdown.
package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

var (
	organizations = flag.Int("organizations", 1000, "how many tenants there are")
	incidents     = flag.Int("incidents", 1000, "how many incidents each of them has")
	rounds        = flag.Int("rounds", 4000, "how often each role sends each query")
	roles         = flag.Int("roles", 10000, "with how many bound roles the isolation is proved; a tenth of them is the comparison")
)

func main() {
	benchmark.Main("isolation", "What row-level isolation costs a tenant", func(ctx context.Context, r *benchmark.Report) error {
		if *organizations < tenants || *incidents < 1 || *rounds < 1 {
			return fmt.Errorf("-organizations must be at least %d, -incidents and -rounds at least 1", tenants)
		}
		return benchmark.WithPostgres(ctx, r, func(server *devstack.Postgres) error {
			d, err := newDatabase(ctx, server)
			if err != nil {
				return err
			}
			defer d.close(context.WithoutCancel(ctx))
			for _, measure := range []func(context.Context, *benchmark.Report) error{d.queries, d.searches, d.proofs, d.reportPlans} {
				if err := measure(ctx, r); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
