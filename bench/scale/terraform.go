package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// The most that this provider may need in place of one that does nothing.
const (
	planLimit    = 0.8
	distantLimit = 1.2
	roundTrip    = 20 * time.Millisecond
)

func configuration(int) string {
	return fmt.Sprintf(`
terraform {
  required_providers {
    brownie = { source = "longyi-brownie/brownie" }
  }
}
resource "brownie_organization" "o" {
  count               = %[1]d
  name                = "Organization ${count.index}"
  slug                = "organization-${count.index}"
  deletion_protection = false
}
resource "brownie_role" "r" {
  count           = %[1]d
  name            = "organization-${count.index}-app"
  access          = "writer"
  organization_id = brownie_organization.o[count.index].id
}
`, *pairs)
}

// against compares this provider with one that does nothing: creating, planning and destroying organizations with a role each.
func against(ctx context.Context, r *benchmark.Report, server *devstack.Postgres) error {
	folder, err := os.MkdirTemp("", "brownie-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	const database = "scale_terraform"
	config, err := newDatabase(ctx, server, database)
	if err != nil {
		return err
	}
	admin, err := pgx.Connect(ctx, server.URL(database))
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close(ctx) }()
	pid, err := serverPID(ctx, admin)
	if err != nil {
		return err
	}
	distance, err := newProxy(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(server.Port())), roundTrip/2)
	if err != nil {
		return err
	}
	defer func() { _ = distance.listener.Close() }()
	nothing, err := benchmark.BuiltProvider(ctx, "a provider that does nothing", idleProgram, mkdir(folder, "idle"), nil, configuration)
	if err != nil {
		return err
	}
	near, err := benchmark.OurProvider(ctx, mkdir(folder, "near"), environment(config, server.Port()), configuration)
	if err != nil {
		return err
	}
	far, err := benchmark.OurProvider(ctx, mkdir(folder, "far"), environment(config, distance.port()), configuration)
	if err != nil {
		return err
	}
	var contenders []benchmark.Contender
	for _, t := range []*benchmark.Terraform{nothing, near, far} {
		round := func(ctx context.Context, round int) ([]time.Duration, error) { return life(ctx, t, round, pid) }
		contenders = append(contenders, benchmark.Contender{Name: t.Name, Round: round})
	}
	benchmark.Progress("%d rounds of %d organizations and roles each", *rounds, *pairs)
	all, err := benchmark.Rounds(ctx, 0, *rounds, contenders...)
	if err != nil {
		return err
	}
	reportAgainst(r, all)
	return nil
}

// environment is the login, as libpq's variables.
func environment(config postgres.Config, port int) []string {
	return []string{
		"PGHOST=" + config.Host, "PGPORT=" + strconv.Itoa(port), "PGDATABASE=" + config.Database, "PGUSER=" + config.Username,
		"PGSSLMODE=" + config.SSLMode, "PGSSLROOTCERT=" + config.SSLRootCert,
		"PGSSLCERT=" + config.SSLCert, "PGSSLKEY=" + config.SSLKey,
	}
}

const idleProgram = "github.com/longyi-brownie/terraform-provider-brownie/bench/scale/idle"

func mkdir(folder, name string) string {
	name = folder + "/" + name
	_ = os.Mkdir(name, 0o700) // What comes next fails without it.
	return name
}

// life creates everything, plans it again, and destroys it. Of each it returns the time, and the processor time of Terraform, the
// provider and the server.
func life(ctx context.Context, t *benchmark.Terraform, round, pid int) ([]time.Duration, error) {
	work, err := t.Fresh(round)
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(work) }()
	var figures []time.Duration
	for _, command := range [][]string{{"apply", "-auto-approve"}, {"plan", "-detailed-exitcode"}, {"destroy", "-auto-approve"}} {
		before, err := processorTime(pid)
		if err != nil {
			return nil, err
		}
		figure, err := t.Run(ctx, work, command...)
		if err != nil {
			return nil, err
		}
		after, err := processorTime(pid)
		if err != nil {
			return nil, err
		}
		benchmark.Progress("%s: %s %s, server %s", t.Name, command[0], figure, after-before)
		figures = append(figures, figure[0], figure[1]+after-before)
	}
	return figures, nil
}

func reportAgainst(r *benchmark.Report, all [][]benchmark.Series) {
	r.Section("Against a provider that does nothing")
	r.Text("%d organizations with a role each, Terraform's default parallelism; medians of %d rounds. Processor time is that of "+
		"Terraform, the provider and the server. The distant server is %s away, there and back.", *pairs, *rounds, roundTrip)
	table := [][]string{
		{"", "create", "", "plan, no change", "", "destroy", ""},
		{"", "time", "processor", "time", "processor", "time", "processor"},
	}
	names := []string{"a provider that does nothing", "this provider", "this provider, distant server"}
	for i, series := range all {
		row := []string{names[i]}
		for _, s := range series {
			row = append(row, benchmark.Seconds(s.Median()))
		}
		table = append(table, row)
	}
	for i, series := range all[1:] {
		row := []string{"**ratio, " + names[i+1] + "**"}
		for n, s := range series {
			row = append(row, "**"+benchmark.Times(s.Ratio(all[0][n]))+"**")
		}
		table = append(table, row)
	}
	r.Table(table...)
	const planTime, planProcessor = 2, 3
	r.Limit("time of a plan", all[1][planTime].Ratio(all[0][planTime]), planLimit)
	r.Limit("processor time of a plan", all[1][planProcessor].Ratio(all[0][planProcessor]), planLimit)
	for what, n := range map[string]int{"create": 0, "plan": planTime, "destroy": 4} {
		r.Limit("time to "+what+" on a distant server", all[2][n].Ratio(all[0][n]), distantLimit)
	}
}
