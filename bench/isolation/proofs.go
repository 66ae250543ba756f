package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
)

// proofLimit is the longest that the proof may take with the most roles, in seconds.
const proofLimit = 10

const scaleSQL = `
DO $do$
DECLARE
	names text;
BEGIN
	INSERT INTO public.organizations (name, slug) SELECT 'Scale ' || i, 'scale-' || i FROM generate_series(%[1]d + 1, %[2]d) i;
	FOR i IN %[1]d + 1..%[2]d LOOP
		EXECUTE format('CREATE ROLE %%I LOGIN CONNECTION LIMIT 20', 'scale-' || i);
		EXECUTE format('GRANT brownie_writer, brownie_pooled TO %%I WITH INHERIT TRUE, SET FALSE', 'scale-' || i);
	END LOOP;
	SELECT string_agg(quote_ident('scale-' || i), ', ') INTO names FROM generate_series(%[1]d + 1, %[2]d) i;
	EXECUTE format('GRANT CONNECT ON DATABASE %%I TO %%s', current_database(), names);
	INSERT INTO brownie.role_bindings (role_name, organization_id, access)
		SELECT slug, id, 'writer' FROM public.organizations WHERE slug LIKE 'scale-%%' AND substr(slug, 7)::integer > %[1]d;
END
$do$`

// proofs makes roles until there are so many, and proves the isolation with each number of them.
func (d *database) proofs(ctx context.Context, r *benchmark.Report) error {
	table := [][]string{{"bound roles", "time", "attempts"}}
	var before int
	for _, size := range []int{*roles / 10, *roles} {
		benchmark.Progress("Proof with %d roles of %[1]d organizations", size)
		// A DO block takes no parameters.
		if _, err := d.admin.Exec(ctx, fmt.Sprintf(scaleSQL, before, size)); err != nil {
			return err
		}
		before = size
		var attempts int64
		prove := func(ctx context.Context, _ int) ([]time.Duration, error) {
			return benchmark.Timed(func() error {
				isolation, err := d.access.ProveIsolation(ctx)
				if err == nil && !isolation.Isolated {
					err = fmt.Errorf("the benchmark's database is not isolated: %s", isolation.Summary())
				}
				attempts = isolation.Attempts
				return err
			})
		}
		all, err := benchmark.Rounds(ctx, 0, 3, benchmark.Contender{Name: "proof", Round: prove})
		if err != nil {
			return err
		}
		took := all[0][0].Median()
		table = append(table, []string{strconv.Itoa(size), benchmark.Seconds(took), strconv.FormatInt(attempts, 10)})
		r.Limit(fmt.Sprintf("seconds of the proof with %d roles", size), took.Seconds(), proofLimit)
	}
	r.Section("What the proof costs")
	r.Text("`data.brownie_tenant_isolation` on the same database, with roles that `brownie_role` would make, each of an organization of\n" +
		"its own; medians of 3.")
	r.Table(table...)
	return nil
}
