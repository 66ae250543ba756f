package migrate

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Drift lists what the migrations of a history have made and what is missing now, or different, because somebody else changed
// it. What others have added is none. Each text names an object, the migration that makes it, and its definition. It is nil where it
// cannot be told: before the first migration, while migrations run, and for all histories but the platform's, since nobody recorded
// what those make.
func (e *Engine) Drift(ctx context.Context, applied []Applied) ([]string, error) {
	known, err := e.known()
	version := Current(applied)
	if _, isKnown := find(known, version); err != nil || e.source.catalog == "" || !isKnown {
		return nil, err
	}
	expected, err := e.source.expected(version)
	if err != nil {
		return nil, err
	}
	actual, err := e.objects(ctx)
	if err != nil {
		return nil, err
	}
	found := e.drift(expected, actual)
	if len(found) == 0 {
		return []string{}, nil
	}
	// What is between two versions is none.
	now, err := postgres.QueryOne[struct{ Running bool }](ctx, e.db, underWaySQL, lockID)
	if err != nil || now.Running {
		return nil, err
	}
	if again, err := e.Applied(ctx); err != nil || Current(again) != version {
		return nil, err
	}
	return found, nil
}

// theirs are objects that a migration made for others, who may drop them when they no longer need them.
var theirs = []string{"public.alembic_version"}

// drift compares. A table that is missing stands for all that belongs to it.
func (e *Engine) drift(expected []recorded, actual []object) []string {
	type key struct{ kind, of, name string }
	there, tables := map[key]object{}, belongs(actual)
	for _, o := range actual {
		there[key{o.Kind, o.Of, o.name()}] = o
	}
	var found []string
	for _, o := range expected {
		now, isThere := there[key{o.Kind, o.Of, o.name()}]
		switch what := o.in(e.migration(o.since).Name); {
		case slices.Contains(theirs, o.Of), isThere && (now == o.object || now.validates(o.object)):
		case isThere && o.Kind == "function":
			found = append(found, what+" differs. Restore it as that file defines it")
		case isThere:
			found = append(found, fmt.Sprintf("%s differs: it is %q and was %q. Restore it%s", what, now.definition(), o.definition(),
				o.repair(&now)))
		case tables[o.Of] || o.standsAlone():
			found = append(found, fmt.Sprintf("%s is missing. Restore it%s", what, o.repair(nil)))
		}
	}
	slices.Sort(found)
	return found
}

// validates tells that an object is a constraint that held for new rows only, and now holds for all.
func (o object) validates(before object) bool {
	before.Text = strings.TrimSuffix(before.Text, " NOT VALID")
	return o.Kind == "constraint" && o == before
}

// name is the name of an object within what it belongs to; empty for what stands alone.
func (o object) name() string {
	words := strings.Fields(o.Text)
	switch o.Kind {
	case "column", "constraint", "policy":
		return words[0]
	case "index", "trigger":
		return words[slices.Index(words, strings.ToUpper(o.Kind))+1]
	}
	return ""
}

// in names an object with the migration that makes it.
func (o object) in(file string) string {
	if o.standsAlone() {
		return fmt.Sprintf("%s %s (of %s)", o.Kind, o.Of, file)
	}
	return fmt.Sprintf("%s %s of %s (of %s)", o.Kind, o.name(), o.Of, file)
}

// repair says how to restore an object: by a statement, where what the catalog says of it is enough to write one. now is what is there
// instead, if anything.
func (o object) repair(now *object) string {
	var sql []string
	switch {
	case o.Kind == "column" && now == nil:
		sql = []string{"ALTER TABLE", o.Of, "ADD COLUMN", o.Text}
	case o.Kind == "constraint" && now == nil:
		sql = []string{"ALTER TABLE", o.Of, "ADD CONSTRAINT", o.Text}
	case (o.Kind == "index" || o.Kind == "trigger") && now == nil:
		sql = []string{o.Text}
	case o.Kind == "trigger" && now.Text == o.Text+" DISABLED":
		sql = []string{"ALTER TABLE", o.Of, "ENABLE TRIGGER", o.name()}
	case o.Kind == "index" && now.Text == o.Text+" INVALID":
		schema, _, _ := strings.Cut(o.Of, ".")
		sql = []string{"REINDEX INDEX CONCURRENTLY", schema + "." + o.name()}
	case o.Kind == "table" && now != nil && strings.HasPrefix(o.Text, "row security"):
		sql = []string{"ALTER TABLE", o.Of, "ENABLE ROW LEVEL SECURITY"}
		if strings.HasSuffix(o.Text, "forced") {
			sql = append(sql, ", FORCE ROW LEVEL SECURITY")
		}
	default:
		return " as that file defines it"
	}
	return ": " + sameInAllSessions(strings.ReplaceAll(strings.Join(sql, " "), " ,", ",")) + ";"
}

var literal = regexp.MustCompile(`'(?:[^']|'')*'`)

// sameInAllSessions writes the literals with backslashes of a statement so that standard_conforming_strings does not matter
// (PostgreSQL manual, section 4.1.2.2).
func sameInAllSessions(sql string) string {
	return literal.ReplaceAllStringFunc(sql, func(literal string) string {
		if !strings.Contains(literal, `\`) {
			return literal
		}
		return "E" + strings.ReplaceAll(literal, `\`, `\\`)
	})
}

// definition is what an object is: a statement for indexes and triggers, and otherwise what follows its name.
func (o object) definition() string {
	switch o.Kind {
	case "column", "constraint", "policy":
		return strings.TrimPrefix(o.Text, o.name()+" ")
	}
	return o.Text
}
