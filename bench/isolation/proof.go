package main

import (
	"context"
	"fmt"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
)

// proofLimit is the longest that the proof may take with the most roles.
const proofLimit = 10 * time.Second

// proof is how long data.brownie_tenant_isolation takes with a number of bound roles, each of an organization of its own.
type proof struct {
	Roles    int
	Took     time.Duration
	Attempts int64
}

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

// proveAtScale makes roles until there are so many, and proves the isolation with each number of them.
func (d *database) proveAtScale(ctx context.Context, store *access.Store, sizes []int) ([]proof, error) {
	var proofs []proof
	before := 0
	for _, size := range sizes {
		benchmark.Progress("Proof with %d roles of %d organizations", size, size)
		// A DO block takes no parameters.
		if _, err := d.admin.Exec(ctx, fmt.Sprintf(scaleSQL, before, size)); err != nil {
			return nil, err
		}
		before = size
		var took []time.Duration
		var attempts int64
		for range 3 {
			began := time.Now()
			isolation, err := store.ProveIsolation(ctx)
			if err != nil {
				return nil, err
			}
			if !isolation.Isolated {
				return nil, fmt.Errorf("the benchmark's database is not isolated: %s", isolation.Summary())
			}
			took, attempts = append(took, time.Since(began)), isolation.Attempts
		}
		proofs = append(proofs, proof{size, benchmark.Percentile(took, 50), attempts})
	}
	return proofs, nil
}
