package migrate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// TableLock is a lock on a table that exists. A partitioned table, or one that others inherit from, stands for those, too.
type TableLock struct {
	Table string
	Mode  LockMode
	Bytes int64 // size of the table, its partitions or heirs, and all their indexes
}

// resolveSQL finds the tables that are locked, and their sizes. An index stands for its table. The tables that
// remember what ran are left out: nobody else waits for them. Names are found by the path that the file will run with, which is set
// while the statement runs, so that no function or operator of the statement itself is.
const resolveSQL = `
WITH RECURSIVE named AS MATERIALIZED (
	SELECT l.* FROM (SELECT pg_catalog.set_config('search_path',
		CASE WHEN $4 THEN ` + searchPathSQL + ` ELSE current_setting('search_path') END, true), ` + plainWordsSQL + `) AS path (set, words),
		LATERAL (
			SELECT i, partners, not_null, to_regclass(relation) AS relation
			FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS l (relation, partners, not_null, i)
				WHERE path.set <> '' AND path.words <> '' OFFSET 0) l
), wanted AS (
	SELECT n.i, n.partners, n.not_null, coalesce(x.indrelid, n.relation) AS relation
	FROM named n LEFT JOIN pg_catalog.pg_index x ON x.indexrelid = n.relation
), locked AS (
	SELECT i, not_null, relation AS oid FROM wanted WHERE partners = ''
	UNION
	SELECT w.i, '', own.inhparent
	FROM wanted w JOIN pg_catalog.pg_inherits own ON own.inhrelid = w.relation AND w.partners = 'parent'
	JOIN pg_catalog.pg_class c ON c.oid = w.relation AND c.relispartition
	UNION
	SELECT w.i, '', p.partdefid FROM wanted w JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = w.relation AND w.partners = 'default'
	UNION
	SELECT w.i, '', CASE f.conrelid WHEN w.relation THEN f.confrelid ELSE f.conrelid END
	FROM wanted w JOIN pg_catalog.pg_constraint f ON f.contype = 'f' AND (
		w.partners IN (f.conname, '*') AND f.conrelid = w.relation OR w.partners = '*' AND f.confrelid = w.relation
		OR EXISTS (
			SELECT FROM pg_catalog.pg_attribute a
			WHERE a.attrelid = w.relation AND w.partners = 'column:' || a.attname
				AND (f.conrelid = w.relation AND a.attnum = ANY (f.conkey) OR f.confrelid = w.relation AND a.attnum = ANY (f.confkey))))
), whole AS (
	SELECT oid, oid AS part FROM (SELECT DISTINCT oid FROM locked) l
	UNION
	SELECT w.oid, h.inhrelid FROM whole w JOIN pg_catalog.pg_inherits h ON h.inhparent = w.part
)
SELECT l.i, n.nspname::text AS schema_name, c.relname::text AS name, format('%I.%I', n.nspname, c.relname) AS table_name,
	(SELECT coalesce(sum(pg_catalog.pg_total_relation_size(w.part)), 0) FROM whole w WHERE w.oid = c.oid)::bigint AS bytes,
	l.not_null <> '' AND EXISTS (
		SELECT FROM pg_catalog.pg_constraint k
		WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.convalidated
			AND pg_catalog.pg_get_expr(k.conbin, k.conrelid) = format('(%I IS NOT NULL)', l.not_null)) AS proved
FROM locked l
JOIN pg_catalog.pg_class c ON c.oid = l.oid AND c.relkind IN ('r', 'p', 'm')
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT (n.nspname = 'brownie' AND starts_with(c.relname, 'goose_db_version'))
ORDER BY l.i, 4`

const ownFunctionsSQL = `
SELECT DISTINCT proname::text AS name FROM pg_catalog.pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY ($1)`

// Inspect finds out what the steps of a plan lock, and checks their syntax. Errors are [*BadFileError] and
// [*BudgetError]; beside the latter the plan is complete.
func (e *Engine) Inspect(ctx context.Context, plan *Plan) error {
	var problems []string
	var created []tableName
	for i := range plan.Steps {
		step := &plan.Steps[i]
		m := e.migration(step.Version)
		found, err := e.analysed(step.Version, step.Down)
		if err != nil {
			return err
		}
		for _, at := range found.notParsed {
			// A newer server may know what the parser does not.
			if st := m.statement(at.span); !e.knows(ctx, st.sql) {
				return at.err
			}
			step.Unknown = append(step.Unknown, at.unknown...)
		}
		created = append(created, found.Created...)
		exceeded, err := e.resolve(ctx, step, found, created)
		if err != nil {
			return err
		}
		problems = append(problems, exceeded...)
	}
	if len(problems) > 0 {
		return budgetError(*e.options.MaxLockedBytes, problems)
	}
	return nil
}

// resolvedLock is a row of resolveSQL.
type resolvedLock struct {
	I                int64
	SchemaName, Name string
	TableName        string
	Bytes            int64
	Proved           bool
}

// resolve looks up what a step locks, and returns which of it is above the limit. A table that this or an earlier step creates
// is not locked for others, even if it exists because somebody else has run the step meanwhile.
func (e *Engine) resolve(ctx context.Context, step *Step, found analysis, created []tableName) (problems []string, err error) {
	locks := slices.Clone(found.Locks)
	var relations, partners, columns []string
	for _, l := range locks {
		relations, partners, columns = append(relations, l.Relation), append(partners, l.Partners), append(columns, l.UnlessNotNull)
	}
	resolved, err := postgres.Query[resolvedLock](ctx, e.db, resolveSQL, relations, partners, columns, e.source.Name != PlatformName)
	if err != nil {
		return nil, err
	}
	theirs := func(schema, name string) bool {
		return !slices.ContainsFunc(created, func(c tableName) bool { return c.Name == name && (c.Schema == "" || c.Schema == schema) })
	}
	exists := map[int]bool{}
	for _, r := range resolved {
		exists[int(r.I-1)] = exists[int(r.I-1)] || theirs(r.SchemaName, r.Name)
	}
	for i := range locks {
		l := &locks[i]
		if l.Relation == "" || exists[i] {
			continue
		}
		l.Long = "" // Nothing takes long on a table that is new.
		isResolved := slices.ContainsFunc(resolved, func(r resolvedLock) bool { return int(r.I-1) == i })
		if l.Declared && !isResolved && !slices.ContainsFunc(created,
			func(c tableName) bool { return c.Name == unqualified(l.Relation) }) {
			step.Unknown = append(step.Unknown, fmt.Sprintf(noSuchTable, step.Name, l.Line, l.Relation))
		}
	}
	if e.migration(step.Version).transaction {
		holdUntilCommit(locks)
	}
	strongest := map[string]TableLock{}
	for _, r := range resolved {
		if !theirs(r.SchemaName, r.Name) {
			continue
		}
		l := locks[r.I-1]
		if l.Mode > strongest[r.TableName].Mode {
			strongest[r.TableName] = TableLock{r.TableName, l.Mode, r.Bytes}
		}
		if limit := e.options.MaxLockedBytes; limit != nil && r.Bytes > *limit && l.Mode.BlocksWrites() && l.Long != "" && !r.Proved {
			problems = append(problems, fmt.Sprintf("%s, line %d %s while it locks %s, of %s, against writes (%s). Safe "+
				"alternative: %s",
				step.Name, l.Line, l.Long, r.TableName, Size(r.Bytes), l.Mode, l.Safe))
		}
	}
	for _, l := range strongest {
		step.Locks = append(step.Locks, l)
		if l.Mode.BlocksWrites() {
			step.Bytes += l.Bytes
		}
	}
	slices.SortFunc(step.Locks, func(a, b TableLock) int { return cmp.Compare(a.Table, b.Table) })
	unknown, err := e.foreign(ctx, found.Unknown)
	step.Unknown = append(step.Unknown, unknown...)
	return problems, err
}

// unqualified is the last part of a name in SQL.
func unqualified(name string) string {
	return strings.Trim(name[strings.LastIndex(name, ".")+1:], `"`)
}

// foreign leaves out PostgreSQL's own functions.
func (e *Engine) foreign(ctx context.Context, all []unknown) ([]string, error) {
	if len(all) == 0 {
		return nil, nil
	}
	var functions []string
	for _, u := range all {
		functions = append(functions, u.Function)
	}
	own, err := postgres.Query[struct{ Name string }](ctx, e.db, ownFunctionsSQL, functions)
	var texts []string
	for _, u := range all {
		if !slices.Contains(own, struct{ Name string }{u.Function}) {
			texts = append(texts, u.Text)
		}
	}
	return texts, err
}

const (
	// parserVersion is the newest server whose syntax the parser knows.
	parserVersion = 17
	versionSQL    = `SELECT current_setting('server_version_num')::integer / 10000 AS major`
	// A block is checked as a whole before it runs, and this one ends before it comes to the statement.
	syntaxSQL = "DO $brownie_syntax$ BEGIN RETURN; %s\n; END $brownie_syntax$"
)

// knows tells whether a server that is newer than the parser knows the syntax of a statement. It does not run it.
func (e *Engine) knows(ctx context.Context, sql string) bool {
	version, err := postgres.QueryOne[struct{ Major int32 }](ctx, e.db, versionSQL)
	if err != nil || version.Major <= parserVersion {
		return false
	}
	_, err = postgres.Rehearse[struct{ Major int32 }](ctx, e.db,
		postgres.Statement{SQL: fmt.Sprintf(syntaxSQL, strings.TrimRight(sql, "; \n\t"))}, postgres.Statement{SQL: versionSQL})
	return err == nil
}
