package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
)

type results struct {
	options
	Vault, Terraform string
	ours, peer       *side
	// Missing tells that the peer cannot be had.
	Missing bool
}

// each is how many requests a certificate costs.
func (r results) each(p phase) float64 { return float64(p.requests.total()) / float64(r.certificates) }

// ratio is that of the applies' times, ours to the peer's.
func (r results) ratio() float64 { return float64(r.ours.apply.time()) / float64(r.peer.apply.time()) }

// judge returns an error that names everything that is above its limit.
func (r results) judge() error {
	var errs []error
	for command, p := range map[string]phase{"an apply": r.ours.apply, "a plan that changes nothing": r.ours.plan} {
		if each := r.each(p); each > requestLimit {
			errs = append(errs, fmt.Errorf("%s sends %.3f requests for each certificate; the limit is %.0f", command, each, requestLimit))
		}
	}
	if r.ours.keys > 0 {
		errs = append(errs, fmt.Errorf("the state holds %d private keys", r.ours.keys))
	}
	if !r.Missing && r.ratio() > timeLimit {
		errs = append(errs, fmt.Errorf("an apply takes %.2f times as long as the peer's; the limit is %.2f", r.ratio(), timeLimit))
	}
	return errors.Join(errs...)
}

// peerCell is a cell about the peer, which may not have been measured.
func (r results) peerCell(text func() string) string {
	if r.Missing {
		return "–"
	}
	return text()
}

// Facts are the rows that depend on the machine least.
func (r results) Facts() [][]string {
	each := func(p phase) string { return fmt.Sprintf("%.3f", r.each(p)) }
	row := func(what, ours string, theirs func() string, limit string) []string {
		return []string{what, "**" + ours + "**", r.peerCell(theirs), limit}
	}
	limit := fmt.Sprintf("%.0f", requestLimit)
	return [][]string{
		row("requests per certificate, `terraform apply`", each(r.ours.apply), func() string { return each(r.peer.apply) }, limit),
		row("requests per certificate, `terraform plan` that changes nothing", each(r.ours.plan), func() string { return each(r.peer.plan) }, limit),
		row("private keys in the state", strconv.Itoa(r.ours.keys), func() string { return strconv.Itoa(r.peer.keys) }, "0"),
	}
}

// Kinds are the rows that tell requests apart, the frequent ones first.
func (r results) Kinds() [][]string {
	phases := []phase{r.ours.apply, r.ours.plan, r.peer.apply, r.peer.plan}
	all := counts{}
	for _, p := range phases {
		for kind, n := range p.requests {
			all[kind] += n
		}
	}
	kinds := slices.Sorted(maps.Keys(all))
	slices.SortStableFunc(kinds, func(a, b string) int { return all[b] - all[a] })
	rows := make([][]string, 0, len(kinds)+1)
	for _, kind := range kinds {
		rows = append(rows, r.kind("`"+kind+"`", phases, func(c counts) int { return c[kind] }))
	}
	return append(rows, r.kind("**all**", phases, counts.total))
}

func (r results) kind(name string, phases []phase, number func(counts) int) []string {
	row := []string{name}
	for i, p := range phases {
		cell := func() string { return strconv.Itoa(number(p.requests)) }
		if i >= 2 {
			row = append(row, r.peerCell(cell))
		} else {
			row = append(row, cell())
		}
	}
	return row
}

// Times are the rows that depend on the machine.
func (r results) Times() [][]string {
	row := func(what string, of func(s *side) time.Duration) []string {
		ours := of(r.ours)
		return []string{
			what, seconds(ours), r.peerCell(func() string { return seconds(of(r.peer)) }),
			r.peerCell(func() string { return fmt.Sprintf("%.2f", float64(ours)/float64(of(r.peer))) }),
		}
	}
	return [][]string{
		row("`terraform apply`", func(s *side) time.Duration { return s.apply.time() }),
		row("its processor time", func(s *side) time.Duration { return s.apply.processor() }),
		row("`terraform plan` that changes nothing", func(s *side) time.Duration { return s.plan.time() }),
		row("its processor time", func(s *side) time.Duration { return s.plan.processor() }),
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// What follows is for the template, which reaches only what is exported.

func (r results) Certificates() int { return r.certificates }
func (r results) Rounds() int       { return r.rounds }
func (r results) Peer() string      { return r.peer.name }
func (r results) Ratio() string     { return fmt.Sprintf("%.2f", r.ratio()) }
func (results) TimeLimit() string   { return fmt.Sprintf("%.2f", timeLimit) }
func (results) Machine() string     { return benchmark.Machine() }

var page = template.Must(template.New("").Funcs(template.FuncMap{
	"row": func(cells []string) string { return "| " + strings.Join(cells, " | ") + " |" },
}).Parse(`<!-- Written by: go run ./bench/pki > bench/pki/results.md -->
# What client certificates cost

{{.Certificates}} certificates with keys of the type EC P-256, from one role of one Vault {{.Vault}}, which counts the requests itself (file
audit device). In each of the rounds, {{.Rounds}} in all, each side applies from an empty state and plans once more; who comes first changes.
Terraform {{.Terraform}} with its default parallelism, 10; this provider as ` + "`go build`" + ` makes it; the peer is {{.Peer}}. The command:

    go run ./bench/pki -n {{.Certificates}} -rounds {{.Rounds}} > bench/pki/results.md

| | this provider | {{.Peer}} | limit |
|---|---|---|---|
{{range .Facts}}{{row .}}
{{end -}}
{{if .Missing}}
**There is no ratio of times:** ` + "`terraform init`" + ` found {{.Peer}} neither in a folder of this machine nor in a registry.
{{else -}}
| **time of ` + "`terraform apply`" + `, this provider ÷ peer** | **{{.Ratio}}** | | {{.TimeLimit}} |
{{end}}
## Requests by kind

The audit device's operation and path; … stands for what differs from certificate to certificate. The numbers are those of the
round with most requests.

| request | apply | plan | apply, peer | plan, peer |
|---|---|---|---|---|
{{range .Kinds}}{{row .}}
{{end}}
## Times on this machine

{{.Machine}}, Vault on the same machine and in memory. Medians; a processor time is that of Terraform and its provider, without Vault's.

| | this provider | {{.Peer}} | ratio |
|---|---|---|---|
{{range .Times}}{{row .}}
{{end}}`))
