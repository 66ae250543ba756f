package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
)

// limit is the highest ratio of a tenant's median latency to the service role's that is accepted.
const limit = 1.15

// query is what a tenant's application asks often. The tenant's role sends open with its arguments; the others, who see the rows
// of all tenants, send restricted.
type query struct {
	name           string
	open           string
	openArgs       func(t tenant) []any
	restricted     string
	restrictedArgs func(t tenant) []any
	index          string // that the tenant's plan must use
}

const (
	tenantIndex = "incidents_organization_id_created_at_idx"
	latestSQL   = `SELECT id, title, status, priority, created_at FROM incidents %sORDER BY created_at DESC LIMIT 20`
	pointSQL    = `SELECT id, title, description, status, priority, created_at FROM incidents WHERE id = $1`
	totalsSQL   = `SELECT status, count(*), max(created_at) FROM incidents
		WHERE %screated_at >= now() - interval '6 months' GROUP BY status`
	insertSQL = `INSERT INTO incidents (organization_id, team_id, title, description) VALUES ($1, $2, 'Measured', 'Something is slow.')`
)

var allQueries = []query{
	{
		"latest 20", fmt.Sprintf(latestSQL, ""), ofNothing,
		fmt.Sprintf(latestSQL, "WHERE organization_id = $1 "), ofOrganization, tenantIndex,
	},
	{
		"point read", pointSQL, func(t tenant) []any { return []any{t.incident} },
		pointSQL + " AND organization_id = $2", func(t tenant) []any { return []any{t.incident, t.organization} }, "incidents_pkey",
	},
	{
		"aggregate", fmt.Sprintf(totalsSQL, ""), ofNothing,
		fmt.Sprintf(totalsSQL, "organization_id = $1 AND "), ofOrganization, tenantIndex,
	},
	// The last one, since it adds to what the others read.
	{"insert", insertSQL, ofTeam, insertSQL, ofTeam, ""},
}

func ofNothing(tenant) []any        { return nil }
func ofOrganization(t tenant) []any { return []any{t.organization} }
func ofTeam(t tenant) []any         { return []any{t.organization, t.team} }

// queries compares the tenant with a service role, whom each policy asks and lets through, and with a superuser, whom none asks.
func (d *database) queries(ctx context.Context, r *benchmark.Report) error {
	table := [][]string{{
		"query", "tenant, by policy", "service role, by WHERE", "superuser, by WHERE", "**tenant ÷ service role**", "tenant ÷ superuser",
	}}
	for _, q := range allQueries {
		benchmark.Progress("%s: %d rounds", q.name, *rounds)
		// Each connection prepares the statement, and settles on a plan for it after five executions.
		all, err := benchmark.Rounds(ctx, 10*tenants, *rounds, d.as(asTenant, q), d.as(asService, q), d.as(asSuperuser, q))
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		plan, err := d.plan(ctx, q)
		if err != nil {
			return err
		}
		if !strings.Contains(plan, q.index) {
			r.Fail("%s does not use the index %s", q.name, q.index)
		}
		d.plans = append(d.plans, plan)
		row := []string{q.name}
		for _, figures := range all {
			row = append(row, fmt.Sprintf("%s (%s)", benchmark.Micros(figures[0].Median()), benchmark.Micros(figures[0].Percentile95())))
		}
		toService, toSuperuser := all[0][0].Ratio(all[1][0]), all[0][0].Ratio(all[2][0])
		table = append(table, append(row, "**"+benchmark.Times(toService)+"**", benchmark.Times(toSuperuser)))
		r.Limit(q.name+", the tenant's time ÷ the service role's", toService, limit)
	}
	r.Text("%d organizations with %d incidents each, %d rounds of each query after a warm-up. A latency is what the client sees, over\n"+
		"TLS on the loopback interface.", *organizations, *incidents, *rounds)
	r.Table(table...)
	r.Text("Medians, with the 95th percentile in brackets.")
	return nil
}

func (d *database) as(reader who, q query) benchmark.Contender {
	sql, args := q.restricted, q.restrictedArgs
	if reader == asTenant {
		sql, args = q.open, q.openArgs
	}
	return benchmark.Contender{Name: string(reader), Round: func(ctx context.Context, round int) ([]time.Duration, error) {
		t := d.tenants[round%tenants]
		return benchmark.Timed(func() error {
			rows, err := t.connections[reader].Query(ctx, sql, args(t)...)
			if err != nil {
				return err
			}
			rows.Close()
			return rows.Err()
		})
	}}
}

// plan is how the server runs the statement that pgx prepared for a tenant's role.
func (d *database) plan(ctx context.Context, q query) (string, error) {
	t := d.tenants[0]
	connection := t.connections[asTenant]
	var statement string
	err := connection.QueryRow(ctx, "SELECT name FROM pg_prepared_statements WHERE statement = $1", q.open).Scan(&statement)
	if err != nil {
		return "", err
	}
	execute := "EXECUTE " + pgx.Identifier{statement}.Sanitize()
	var values []string
	for _, argument := range q.openArgs(t) {
		values = append(values, fmt.Sprintf("'%s'", argument)) // All of them are UUIDs.
	}
	if len(values) > 0 {
		execute += "(" + strings.Join(values, ", ") + ")"
	}
	rows, err := connection.Query(ctx, "EXPLAIN (COSTS OFF) "+execute, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return "", err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return strings.Join(lines, "\n"), err
}

// reportPlans comes last, since it is long.
func (d *database) reportPlans(_ context.Context, r *benchmark.Report) error {
	r.Section("The plans of the tenant's prepared statements")
	for i, q := range allQueries {
		r.Text("%s:", q.name)
		r.Code(d.plans[i])
	}
	return nil
}
