package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
)

// head is a table's first row: a column, one for each side, and others.
func head(first string, sides []*side, more ...string) []string {
	row := []string{first}
	for _, s := range sides {
		row = append(row, s.Name)
	}
	return append(row, more...)
}

// reportRequests tells what depends on the machine least.
func reportRequests(r *benchmark.Report, sides []*side) {
	r.Text("%d certificates with keys of the type EC P-256, from one role of one Vault, which counts the requests itself (file audit\n"+
		"device). In each of the rounds, %d in all, each side applies from an empty state and plans once more; who comes first changes.\n"+
		"Terraform has its default parallelism, 10; this provider is as `go build` makes it.", *certificates, *rounds)
	each := func(c counts) float64 { return float64(c.total()) / float64(*certificates) }
	applies, plans, keys := []string{"requests per certificate, `terraform apply`"},
		[]string{"requests per certificate, `terraform plan` that changes nothing"}, []string{"private keys in the state"}
	for _, s := range sides {
		applies = append(applies, fmt.Sprintf("%.3f", each(s.apply)))
		plans = append(plans, fmt.Sprintf("%.3f", each(s.plan)))
		keys = append(keys, strconv.Itoa(s.keys))
	}
	r.Table(head("", sides, "limit"), append(applies, "2"), append(plans, "2"), append(keys, "0"))
	r.Limit("requests per certificate of an apply", each(sides[0].apply), requestLimit)
	r.Limit("requests per certificate of a plan that changes nothing", each(sides[0].plan), requestLimit)
	r.Limit("private keys in the state", float64(sides[0].keys), 0)
	reportKinds(r, sides)
}

// reportKinds tells requests apart, the frequent ones first.
func reportKinds(r *benchmark.Report, sides []*side) {
	r.Section("Requests by kind")
	r.Text("The audit device's operation and path; … stands for what differs from certificate to certificate. The numbers are those\n" +
		"of the round with most requests.")
	header, phases := []string{"request"}, []counts{}
	all := counts{}
	for _, s := range sides {
		header, phases = append(header, "apply, "+s.Name, "plan, "+s.Name), append(phases, s.apply, s.plan)
	}
	for _, phase := range phases {
		for kind, n := range phase {
			all[kind] += n
		}
	}
	kinds := slices.Sorted(maps.Keys(all))
	slices.SortStableFunc(kinds, func(a, b string) int { return all[b] - all[a] })
	rows := [][]string{header}
	sums := []string{"**all**"}
	for _, kind := range kinds {
		row := []string{"`" + kind + "`"}
		for _, phase := range phases {
			row = append(row, strconv.Itoa(phase[kind]))
		}
		rows = append(rows, row)
	}
	for _, phase := range phases {
		sums = append(sums, strconv.Itoa(phase.total()))
	}
	r.Table(append(rows, sums)...)
}

// reportTimes tells what depends on the machine.
func reportTimes(r *benchmark.Report, sides []*side, figures [][]benchmark.Series) {
	r.Section("Times on this machine")
	r.Text("Medians; a processor time is that of Terraform and its provider, without Vault's.")
	rows := [][]string{head("", sides, "ratio")}
	const processor = "its processor time"
	for i, what := range []string{"`terraform apply`", processor, "`terraform plan` that changes nothing", processor} {
		row := []string{what}
		for side := range sides {
			row = append(row, benchmark.Seconds(figures[side][i].Median()))
		}
		if len(sides) == 1 {
			row = append(row, "–")
		} else {
			row = append(row, benchmark.Times(figures[0][i].Ratio(figures[1][i])))
		}
		rows = append(rows, row)
	}
	r.Table(rows...)
	if len(sides) > 1 {
		r.Limit("time of an apply, this provider ÷ peer", figures[0][0].Ratio(figures[1][0]), timeLimit)
	}
}
