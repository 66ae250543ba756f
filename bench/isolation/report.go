package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/template"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
)

var page = template.Must(template.New("").Funcs(template.FuncMap{
	"us": func(d time.Duration) string { return fmt.Sprintf("%.0f µs", float64(d.Nanoseconds())/1000) },
}).Parse(`<!-- Written by: go run ./bench/isolation > bench/isolation/results.md -->
# What row-level isolation costs a tenant

{{.Organizations}} organizations with {{.Incidents}} incidents each, {{.Rounds}} rounds of each query after a warm-up,
{{.Environment}}. A latency is what the client sees, over TLS on the loopback interface.

| query | tenant, by policy | service role, by WHERE | superuser, by WHERE | **tenant ÷ service role** | tenant ÷ superuser |
|---|---|---|---|---|---|
{{range .Results -}}
| {{.Query}} | {{us .Tenant}} ({{us .Tenant95}}) | {{us .Service}} ({{us .Service95}}) | {{us .Superuser}} ({{us .Superuser95}}) | **{{printf "%.2f" .ToService}}** | {{printf "%.2f" .ToSuperuser}} |
{{end}}
Medians, with the 95th percentile in brackets.

## Searches of a service role that name no tenant

Before and after the indexes that do not begin with the tenant became partial ones, which only service roles' plans use
(versions 13 and later of the schema); 300 organizations with 500 incidents each, medians.

| search | version 13 | latest | latest ÷ 13 |
|---|---|---|---|
{{range .Searches -}}
| {{.Name}} | {{us .Before}} | {{us .After}} | {{printf "%.2f" .Ratio}} |
{{end}}
## What the proof costs

` + "`data.brownie_tenant_isolation`" + ` on the same database, with roles that ` + "`brownie_role`" + ` would make, each of an organization of its own; medians of 3.

| bound roles | time | attempts |
|---|---|---|
{{range .Proofs -}}
| {{.Roles}} | {{printf "%.2f" .Took.Seconds}} s | {{.Attempts}} |
{{end}}
## The plans of the tenant's prepared statements
{{range .Results}}
{{.Query}}:

` + "```" + `
{{.Plan}}
` + "```" + `
{{end}}`))

type line struct {
	Query, Plan                                                  string
	Tenant, Tenant95, Service, Service95, Superuser, Superuser95 time.Duration
	ToService, ToSuperuser                                       float64
}

func report(ctx context.Context, to io.Writer, d *database, o options, results []result, found []search, proofs []proof) error {
	environment, err := benchmark.Environment(ctx, d.server)
	if err != nil {
		return err
	}
	var lines []line
	for _, r := range results {
		lines = append(lines, line{
			Query: r.name, Plan: r.plan,
			Tenant: r.median(asTenant), Tenant95: r.percentile95(asTenant),
			Service: r.median(asService), Service95: r.percentile95(asService),
			Superuser: r.median(asSuperuser), Superuser95: r.percentile95(asSuperuser),
			ToService: r.ratio(asService), ToSuperuser: r.ratio(asSuperuser),
		})
	}
	return page.Execute(to, map[string]any{
		"Organizations": o.organizations, "Incidents": o.incidents, "Rounds": o.rounds,
		"Environment": environment, "Results": lines, "Searches": found, "Proofs": proofs,
	})
}

// judgeProof returns an error when the proof with the most roles takes too long.
func judgeProof(proofs []proof) error {
	if last := proofs[len(proofs)-1]; last.Took > proofLimit {
		return fmt.Errorf("the proof takes %s with %d roles; the limit is %s", last.Took, last.Roles, proofLimit)
	}
	return nil
}

// judge returns an error that names every query that costs more than the limit or does not use its index.
func judge(results []result) error {
	var errs []error
	for _, r := range results {
		if ratio := r.ratio(asService); ratio > limit {
			errs = append(errs, fmt.Errorf("%s takes the tenant %.2f times as long as the service role; the limit is %.2f", r.name, ratio, limit))
		}
		if !strings.Contains(r.plan, r.index) {
			errs = append(errs, fmt.Errorf("%s does not use the index %s", r.name, r.index))
		}
	}
	return errors.Join(errs...)
}
