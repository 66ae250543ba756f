package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
)

// who sends a query.
type who int

const (
	asTenant who = iota
	asService
	asSuperuser
	readers // their number
)

// query is what a tenant's application asks often. The tenant's role sends open; the others, who see the rows of all
// tenants, send restricted.
type query struct {
	name, open, restricted string
	openArgs               func(t tenant) []any
	restrictedArgs         func(t tenant) []any
	index                  string // that the plan must use
}

const (
	tenantIndex = "incidents_organization_id_created_at_idx"
	latestSQL   = `SELECT id, title, status, priority, created_at FROM incidents %sORDER BY created_at DESC LIMIT 20`
	pointSQL    = `SELECT id, title, description, status, priority, created_at FROM incidents WHERE id = $1`
	totalsSQL   = `SELECT status, count(*), max(created_at) FROM incidents WHERE %screated_at >= now() - interval '6 months' GROUP BY status`
	insertSQL   = `INSERT INTO incidents (organization_id, team_id, title, description) VALUES ($1, $2, 'Measured', 'Something is slow.')`
)

var queries = []query{
	{
		name: "latest 20", index: tenantIndex,
		open: fmt.Sprintf(latestSQL, ""), openArgs: func(tenant) []any { return nil },
		restricted: fmt.Sprintf(latestSQL, "WHERE organization_id = $1 "), restrictedArgs: ofOrganization,
	},
	{
		name: "point read", index: "incidents_pkey",
		open: pointSQL, openArgs: func(t tenant) []any { return []any{t.incident} },
		restricted:     pointSQL + " AND organization_id = $2",
		restrictedArgs: func(t tenant) []any { return []any{t.incident, t.organization} },
	},
	{
		name: "aggregate", index: tenantIndex,
		open: fmt.Sprintf(totalsSQL, ""), openArgs: func(tenant) []any { return nil },
		restricted: fmt.Sprintf(totalsSQL, "organization_id = $1 AND "), restrictedArgs: ofOrganization,
	},
	// The last one, since it adds to what the others read.
	{name: "insert", open: insertSQL, openArgs: ofTeam, restricted: insertSQL, restrictedArgs: ofTeam},
}

func ofOrganization(t tenant) []any { return []any{t.organization} }
func ofTeam(t tenant) []any         { return []any{t.organization, t.team} }

func (q query) by(reader who, t tenant) (sql string, args []any) {
	if reader == asTenant {
		return q.open, q.openArgs(t)
	}
	return q.restricted, q.restrictedArgs(t)
}

// result holds the latencies of one query and the tenant's plan.
type result struct {
	query
	latencies [readers][]time.Duration
	plan      string
}

func (r result) median(reader who) time.Duration {
	return benchmark.Percentile(r.latencies[reader], 50)
}

func (r result) percentile95(reader who) time.Duration {
	return benchmark.Percentile(r.latencies[reader], 95)
}

func (r result) ratio(to who) float64 {
	return float64(r.median(asTenant)) / float64(r.median(to))
}

// measure sends the query in turn as each reader, who comes first changing from round to round, so that whatever else the
// machine does meanwhile hits all of them alike. pgx prepares a statement when it is first sent; those rounds count
// as warm-up, because PostgreSQL settles on a plan for a prepared statement only after five of them.
func (d *database) measure(ctx context.Context, q query, rounds int) (result, error) {
	const warmUp = 10 * tenants
	r := result{query: q}
	for round := range warmUp + rounds {
		t := d.tenants[round%tenants]
		for turn := range int(readers) {
			reader := who((round/tenants + turn) % int(readers))
			statement, args := q.by(reader, t)
			began := time.Now()
			rows, err := t.connections[reader].Query(ctx, statement, args...)
			if err != nil {
				return r, err
			}
			for rows.Next() {
			}
			took := time.Since(began)
			if rows.Err() != nil {
				return r, rows.Err()
			}
			if round >= warmUp {
				r.latencies[reader] = append(r.latencies[reader], took)
			}
		}
	}
	err := r.explain(ctx, d.tenants[0])
	return r, err
}

// explain finds out how the server runs the statement that pgx prepared for the tenant's role.
func (r *result) explain(ctx context.Context, t tenant) error {
	sql, args := r.by(asTenant, t)
	connection := t.connections[asTenant]
	var statement string
	if err := connection.QueryRow(ctx, "SELECT name FROM pg_prepared_statements WHERE statement = $1", sql).Scan(&statement); err != nil {
		return err
	}
	execute := "EXECUTE " + pgx.Identifier{statement}.Sanitize()
	var values []string
	for _, argument := range args {
		values = append(values, fmt.Sprintf("'%s'", argument)) // All of them are UUIDs.
	}
	if len(values) > 0 {
		execute += "(" + strings.Join(values, ", ") + ")"
	}
	rows, err := connection.Query(ctx, "EXPLAIN (COSTS OFF) "+execute, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	r.plan = strings.Join(lines, "\n")
	return err
}
