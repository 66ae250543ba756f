package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// lastOpenVersion is the last version of the schema in which indexes told tenants of others.
const lastOpenVersion = 13

// search is what the platform asks as a service role without naming the tenant.
type search struct {
	Name, sql     string
	Before, After time.Duration
}

// Ratio tells how much longer the search takes now.
func (s search) Ratio() float64 { return s.After.Seconds() / s.Before.Seconds() }

func searches() []search {
	return []search{
		{Name: "incidents of a team", sql: `SELECT * FROM public.incidents WHERE team_id = $1 LIMIT 100`},
		{Name: "incidents by org_id", sql: `SELECT * FROM public.incidents WHERE org_id = $1 LIMIT 100`},
		{Name: "incident by idempotency key", sql: `SELECT * FROM public.incidents WHERE idempotency_key = 'alert-7-' || $1::text`},
		{Name: "users of a team", sql: `SELECT * FROM public.users WHERE team_id = $1`},
		{Name: "user by e-mail address", sql: `SELECT * FROM public.users WHERE email = $1::text || '@example.com'`},
		{Name: "insert an incident", sql: `INSERT INTO public.incidents (organization_id, team_id, title) VALUES ($1, $1, 'slow')`},
	}
}

const searchedSQL = `
WITH o AS (INSERT INTO public.organizations (name, slug) SELECT 'Tenant ' || i, 'tenant-' || i FROM generate_series(1, 300) i RETURNING id),
t AS (INSERT INTO public.teams (id, organization_id, name, slug) SELECT id, id, 'Team', 'team' FROM o RETURNING id),
u AS (INSERT INTO public.users (organization_id, team_id, email, username) SELECT id, id, id || '@example.com', id FROM t)
INSERT INTO public.incidents (organization_id, team_id, idempotency_key, title) SELECT id, id, 'alert-' || i || '-' || id, 'Incident ' || i FROM t, generate_series(1, 500) i`

// measureSearches asks as a service role, before and after the migrations that take such indexes from tenants.
func measureSearches(ctx context.Context, server *devstack.Postgres, rounds int) ([]search, error) {
	const name = "brownie_searches"
	if err := server.CreateDatabase(ctx, name, ""); err != nil {
		return nil, err
	}
	config, err := server.Config(name)
	if err != nil {
		return nil, err
	}
	db := postgres.New(config) //nolint:contextcheck // It connects later, with the context of a request.
	defer db.Close()
	engine := migrate.New(db, migrate.Platform, migrate.Options{})
	if _, err := engine.Up(ctx, lastOpenVersion); err != nil {
		return nil, err
	}
	admin, err := pgx.Connect(ctx, server.URL(name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = admin.Close(context.WithoutCancel(ctx)) }()
	if _, err := admin.Exec(ctx, searchedSQL); err != nil {
		return nil, err
	}
	if _, err := access.New(db).CreateRole(ctx, access.Role{Name: "searching-service", Access: "admin", ConnectionLimit: -1}); err != nil {
		return nil, err
	}
	found := searches()
	measure := func(into func(*search) *time.Duration) error {
		if _, err := admin.Exec(ctx, "VACUUM (ANALYZE)"); err != nil {
			return err
		}
		for i := range found {
			took, err := measureSearch(ctx, server, name, found[i].sql, rounds)
			if err != nil {
				return fmt.Errorf("%s: %w", found[i].Name, err)
			}
			*into(&found[i]) = took
		}
		return nil
	}
	benchmark.Progress("Searches of a service role, before and after")
	if err := measure(func(s *search) *time.Duration { return &s.Before }); err != nil {
		return nil, err
	}
	latest, err := engine.Latest()
	if err != nil {
		return nil, err
	}
	if _, err := engine.Up(ctx, latest); err != nil {
		return nil, err
	}
	return found, measure(func(s *search) *time.Duration { return &s.After })
}

func measureSearch(ctx context.Context, server *devstack.Postgres, database, sql string, rounds int) (time.Duration, error) {
	conn, err := connectAs(ctx, server, database, "searching-service")
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `SELECT id::text FROM public.organizations ORDER BY id LIMIT 50`)
	if err != nil {
		return 0, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, err
	}
	var took []time.Duration
	for round := range rounds {
		began := time.Now()
		if _, err := conn.Exec(ctx, sql, ids[round%len(ids)]); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	return benchmark.Percentile(took, 50), nil
}
