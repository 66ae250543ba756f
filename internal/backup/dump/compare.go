package dump

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Compare tells in what a restored database is not what the backup says.
func (r Restorer) Compare(ctx context.Context, database string) error {
	want, err := r.Contents(ctx)
	if err != nil {
		return err
	}
	db := r.Open(database)
	defer db.Close()
	var differences []string
	err = db.Borrow(ctx, nil, func(conn *pgx.Conn) error {
		if err := PrepareSession(ctx, conn); err != nil {
			return err
		}
		tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		all, err := tables(ctx, tx)
		if err != nil {
			return err
		}
		have, err := read(ctx, tx, all)
		differences = want.differences(have)
		return err
	})
	if err != nil {
		return err
	}
	catalog, err := r.compareSchema(ctx, database)
	if err != nil {
		return err
	}
	if differences = append(differences, catalog...); len(differences) == 0 {
		return nil
	}
	shown := differences[:min(5, len(differences))]
	return &DifferenceError{problem.New(fmt.Sprintf("what was restored is not what was backed up, in %d places: %s", len(differences),
		strings.Join(shown, "; ")), "Do not rely on this backup; look at the ones before it")}
}

// DifferenceError says in what a restored database is another one.
type DifferenceError struct{ *problem.Problem }

func (c Contents) differences(have Contents) (found []string) {
	rows := map[string]Table{}
	for _, t := range have.Tables {
		rows[t.Name] = t
	}
	for _, t := range c.Tables {
		got, ok := rows[t.Name]
		delete(rows, t.Name)
		switch {
		case !ok:
			found = append(found, "table "+t.Name+" is missing")
		case got.Rows != t.Rows:
			found = append(found, fmt.Sprintf("table %s has %d rows instead of %d", t.Name, got.Rows, t.Rows))
		case got.Hash != t.Hash:
			found = append(found, fmt.Sprintf("table %s has other rows", t.Name))
		}
	}
	for name := range rows {
		found = append(found, "table "+name+" was not backed up")
	}
	found = append(found, missing("view", c.Views, have.Views)...)
	found = append(found, missing("database", ofDatabase(c.Database), ofDatabase(have.Database))...)
	return append(found, missing("role", statements(c.Roles, c.Roles), statements(have.Roles, c.Roles))...)
}

func ofDatabase(statements []DatabaseStatement) (all []string) {
	for _, s := range statements {
		all = append(all, s.Before+"…"+s.After)
	}
	return all
}

// statements leaves out roles that are not among others: the server may have more.
func statements(roles, among []RoleStatement) (all []string) {
	for _, r := range roles {
		if slices.ContainsFunc(among, func(a RoleStatement) bool { return a.Role == r.Role }) {
			all = append(all, r.SQL)
		}
	}
	return all
}

// missing lists the lines that only one of two texts has.
func missing(what string, want, have []string) (found []string) {
	left := map[string]int{}
	for _, line := range have {
		left[line]++
	}
	for _, line := range want {
		if left[line]--; left[line] < 0 {
			found = append(found, fmt.Sprintf("%s: missing: %.120s", what, line))
		}
	}
	for line, n := range left {
		if n > 0 {
			found = append(found, fmt.Sprintf("%s: not expected: %.120s", what, line))
		}
	}
	return found
}

// compareSchema compares the catalogs by the statements that would make them: tables, functions, privileges, policies and all else.
func (r Restorer) compareSchema(ctx context.Context, database string) ([]string, error) {
	schema, err := r.partText(ctx, schemaPart)
	if err != nil {
		return nil, err
	}
	list, statements, err := r.wanted(ctx, schema)
	if err != nil {
		return nil, err
	}
	want, err := r.text(ctx, schema, list)
	if err != nil {
		return nil, err
	}
	var have bytes.Buffer
	err = r.run(ctx, program{
		name: "pg_dump", arguments: []string{"--schema-only", "--no-password", "--dbname=" + conninfo(database)}, output: &have,
	})
	return missing("catalog", append(lines(want), statements...), lines(have.String())), err
}

// lines leaves out comments, which tell versions, and the key of \restrict, which is another one each time.
func lines(text string) (kept []string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !ofNoMeaning.MatchString(line) {
			kept = append(kept, policyRoles.ReplaceAllStringFunc(line, sortRoles))
		}
	}
	return kept
}

var ofNoMeaning = regexp.MustCompile(`^(--|\\(un)?restrict )`)

// policyRoles are those of a policy, in whatever order.
var policyRoles = regexp.MustCompile(`^CREATE POLICY .* TO [^()]*?( USING| WITH CHECK|;)`)

func sortRoles(policy string) string {
	before := strings.LastIndex(policy, " TO ") + len(" TO ")
	end := strings.TrimRight(policy[before:], ";")
	roles := strings.Split(strings.TrimSuffix(strings.TrimSuffix(end, " USING"), " WITH CHECK"), ", ")
	slices.Sort(roles)
	return policy[:before] + strings.Join(roles, ", ")
}
