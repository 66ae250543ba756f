package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
)

// lastOpenVersion is the last version of the schema in which indexes told tenants of others.
const lastOpenVersion = 13

// allSearches are what the platform asks as a service role without naming the tenant.
var allSearches = []struct{ name, sql string }{
	{"incidents of a team", `SELECT * FROM public.incidents WHERE team_id = $1 LIMIT 100`},
	{"incidents by org_id", `SELECT * FROM public.incidents WHERE org_id = $1 LIMIT 100`},
	{"incident by idempotency key", `SELECT * FROM public.incidents WHERE idempotency_key = 'alert-7-' || $1::text`},
	{"users of a team", `SELECT * FROM public.users WHERE team_id = $1`},
	{"user by e-mail address", `SELECT * FROM public.users WHERE email = $1::text || '@example.com'`},
	{"insert an incident", `INSERT INTO public.incidents (organization_id, team_id, title) VALUES ($1, $1, 'slow')`},
}

const searchedSQL = `
WITH o AS (
	INSERT INTO public.organizations (name, slug) SELECT 'Tenant ' || i, 'tenant-' || i FROM generate_series(1, 300) i RETURNING id
),
t AS (INSERT INTO public.teams (id, organization_id, name, slug) SELECT id, id, 'Team', 'team' FROM o RETURNING id),
u AS (INSERT INTO public.users (organization_id, team_id, email, username) SELECT id, id, id || '@example.com', id FROM t)
INSERT INTO public.incidents (organization_id, team_id, idempotency_key, title)
	SELECT id, id, 'alert-' || i || '-' || id, 'Incident ' || i FROM t, generate_series(1, 500) i`

// searches asks before and after the migrations that take such indexes from tenants.
func (d *database) searches(ctx context.Context, r *benchmark.Report) error {
	benchmark.Progress("Searches of a service role, before and after")
	s, err := open(ctx, d.server, "brownie_searches", lastOpenVersion)
	if err != nil {
		return err
	}
	defer s.close(context.WithoutCancel(ctx))
	if _, err := s.admin.Exec(ctx, searchedSQL); err != nil {
		return err
	}
	if _, err := s.access.CreateRole(ctx, access.Role{Name: "searching-service", Access: "admin", ConnectionLimit: -1}); err != nil {
		return err
	}
	before, err := s.search(ctx)
	if err != nil {
		return err
	}
	if err := s.migrate(ctx, latest); err != nil {
		return err
	}
	after, err := s.search(ctx)
	if err != nil {
		return err
	}
	table := [][]string{{"search", "version 13", "latest", "latest ÷ 13"}}
	for i, search := range allSearches {
		row := []string{search.name, benchmark.Micros(before[i].Median()), benchmark.Micros(after[i].Median())}
		table = append(table, append(row, benchmark.Times(after[i].Ratio(before[i]))))
	}
	r.Section("Searches of a service role that name no tenant")
	r.Text("Before and after the indexes that do not begin with the tenant became partial ones, which only service roles' plans use\n" +
		"(versions 13 and later of the schema); 300 organizations with 500 incidents each, medians.")
	r.Table(table...)
	return nil
}

// search measures all searches at the schema's present version.
func (d *database) search(ctx context.Context) ([]benchmark.Series, error) {
	if _, err := d.admin.Exec(ctx, "VACUUM (ANALYZE)"); err != nil {
		return nil, err
	}
	conn, err := connectAs(ctx, d.server, d.name, "searching-service")
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `SELECT id::text FROM public.organizations ORDER BY id LIMIT 50`)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	var found []benchmark.Series
	for _, search := range allSearches {
		round := func(ctx context.Context, round int) ([]time.Duration, error) {
			return benchmark.Timed(func() error {
				_, err := conn.Exec(ctx, search.sql, ids[round%len(ids)])
				return err
			})
		}
		all, err := benchmark.Rounds(ctx, 0, *rounds, benchmark.Contender{Name: search.name, Round: round})
		if err != nil {
			return nil, fmt.Errorf("searches: %w", err)
		}
		found = append(found, all[0][0])
	}
	return found, nil
}
