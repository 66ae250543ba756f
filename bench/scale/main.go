// Command scale measures what one tenant costs where there are many: roles and organizations by the thousand, against a provider
// that does nothing and across a slow network. It starts a server of its own and writes a report in Markdown.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

var (
	sizes         = flag.String("sizes", "1000,2000,10000", "numbers of roles; the first is what the others are compared with")
	organizations = flag.Int("organizations", 10000, "with how many organizations a plan without changes is measured; and with a tenth")
	pairs         = flag.Int("pairs", 500, "how many organizations with a role each are compared with a provider that does nothing")
	parts         = flag.String("parts", "against,roles,memory", "which parts of the report")
	rounds        = flag.Int("rounds", 5, "how often everything is measured; the median counts")
)

var measures = map[string]func(context.Context, *benchmark.Report, *devstack.Postgres) error{
	"against": against, "roles": roles, "memory": memory,
}

func main() {
	if url := os.Getenv(childVariable); url != "" {
		if err := child(context.Background(), url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	benchmark.Main("scale", "What one tenant costs among many", func(ctx context.Context, r *benchmark.Report) error {
		return benchmark.WithPostgres(ctx, r, func(server *devstack.Postgres) error {
			for _, part := range strings.Split(*parts, ",") {
				measure, ok := measures[part]
				if !ok {
					return fmt.Errorf("there is no part %q", part)
				}
				if err := measure(ctx, r, server); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// perObject writes what one of n objects takes.
func perObject(d time.Duration, n int) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)/float64(n))
}
