package postgres

import (
	"context"
	_ "embed" // for the programs that run with the owner's rights
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// AsOwner returns a DB whose statements run with the rights of the owner of schema brownie and no others, if the login role
// may become that owner. Whoever owns tables can have code of their own run by every statement that reads or changes them
// (triggers, rules, policies, defaults, checks, index expressions, casts), and gains nothing by it here.
func (db *DB) AsOwner() *DB { return db.AsOwnerOf("") }

// AsOwnerOf is [DB.AsOwner] for statements on one table, an SQL identifier. One that is the login role's own is used as that.
func (db *DB) AsOwnerOf(table string) *DB {
	owner := *db
	owner.owner = &table
	return &owner
}

// RowsOfOwnerSQL is the JSON that the last statement with [Statement.AsOwner] returned, as far as the owner's code tells the
// truth: a later statement of the same change may read it.
const RowsOfOwnerSQL = `pg_catalog.current_setting('brownie.rows')::pg_catalog.json`

const runSQL = `SELECT pg_catalog.set_config('brownie.run', $1, true)`

var (
	//go:embed as_owner.sql
	asOwnerSQL string
	//go:embed as_owner_block.sql
	asOwnerBlock string
)

// AsOwner returns the statements by which others run as they do on [DB.AsOwnerOf], for connections of [DB.Borrow]. They belong
// into one transaction. The last one must be one that can return rows.
//
// SET ROLE alone would confine nothing: what it runs could RESET ROLE. In a SECURITY DEFINER function the server refuses that.
// The function exists in this transaction only and is called once: nobody else sees it, and nothing that is the owner's has
// run before. What the owner's code can leave behind to be run later with the rights of the login role is undone (settings,
// prepared statements, cursors that live on after COMMIT) or refused (triggers that it has deferred to COMMIT).
func AsOwner(table string, statements ...Statement) ([]Statement, error) {
	type statement struct {
		SQL      string `json:"sql"`
		Args     []any  `json:"args"`
		Fewest   int    `json:"fewest"`
		Computed bool   `json:"computed"`
	}
	run := struct {
		Table      string      `json:"table"`
		Block      string      `json:"block"`
		Statements []statement `json:"statements"`
	}{Table: table, Block: asOwnerBlock}
	for _, s := range statements {
		if table != "" {
			s.Fewest = 0 // It is no table of tenants' rows.
		}
		run.Statements = append(run.Statements, statement{s.SQL, append([]any{}, s.Args...), s.Fewest, s.Computed})
	}
	text, err := json.Marshal(run)
	return []Statement{{SQL: runSQL, Args: []any{string(text)}}, {SQL: asOwnerSQL}}, err
}

// confine replaces the statements that are to run as the owner. The last rows come as JSON if asJSON is true.
//
// RESET ALL comes first, since what ran at the end of an earlier change may have left settings behind.
func (db *DB) confine(ctx context.Context, named []Statement) (confined []Statement, asJSON bool, err error) {
	statements, err := number(ctx, named)
	if err != nil {
		return nil, false, err
	}
	confined, table := []Statement{{SQL: `RESET ALL`}}, ""
	if db.owner != nil {
		table = *db.owner
	}
	for len(statements) > 0 {
		asJSON = db.owner != nil || statements[0].AsOwner
		n := slices.IndexFunc(statements, func(s Statement) bool { return (db.owner != nil || s.AsOwner) != asJSON })
		if n < 0 {
			n = len(statements)
		}
		same := statements[:n]
		if asJSON {
			if same, err = AsOwner(table, same...); err != nil {
				return nil, false, err
			}
		}
		confined, statements = append(confined, same...), statements[n:]
	}
	if asJSON {
		confined = append(confined, Statement{SQL: `SELECT ` + RowsOfOwnerSQL})
	}
	return confined, asJSON, nil
}

// number replaces parameters that have names, as PREPARE knows only numbers.
func number(ctx context.Context, statements []Statement) ([]Statement, error) {
	statements = slices.Clone(statements)
	for i, s := range statements {
		if len(s.Args) == 0 {
			continue
		}
		if names, ok := s.Args[0].(pgx.QueryRewriter); ok {
			var err error
			if statements[i].SQL, statements[i].Args, err = names.RewriteQuery(ctx, nil, s.SQL, s.Args[1:]); err != nil {
				return nil, err
			}
		}
	}
	return statements, nil
}

// DecodeRowsOfOwner reads what [RowsOfOwnerSQL] tells, as [pgx.RowToStructByName] would read it.
func DecodeRowsOfOwner[T any](text []byte) ([]T, error) {
	var values []map[string]json.RawMessage
	if err := json.Unmarshal(text, &values); err != nil {
		return nil, err
	}
	rows := make([]T, len(values))
	for i := range rows {
		if err := fill(reflect.ValueOf(&rows[i]).Elem(), values[i]); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func fill(row reflect.Value, values map[string]json.RawMessage) error {
	for i := range row.NumField() {
		field, name := row.Type().Field(i), row.Type().Field(i).Tag.Get("db")
		var err error
		switch {
		case field.Anonymous:
			err = fill(row.Field(i), values)
		case name != "-":
			if name == "" {
				name = strings.ToLower(field.Name)
			}
			err = json.Unmarshal(values[name], row.Field(i).Addr().Interface())
		}
		if err != nil {
			return fmt.Errorf("column %s: %w", name, err)
		}
	}
	return nil
}
