package migrate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// object is a part of a schema, in the words of PostgreSQL's catalogs.
type object struct {
	Kind string `db:"kind"`
	// Of is the table or type that it belongs to.
	Of   string `db:"of"`
	Text string `db:"text"`
}

func (o object) String() string { return o.Kind + "\t" + o.Of + "\t" + o.Text }

// plainWordsSQL makes, until the transaction ends, the settings that change how PostgreSQL writes names, expressions and values.
const plainWordsSQL = `pg_catalog.concat(
	pg_catalog.set_config('quote_all_identifiers', 'off', true), pg_catalog.set_config('standard_conforming_strings', 'on', true),
	pg_catalog.set_config('datestyle', 'ISO, MDY', true), pg_catalog.set_config('intervalstyle', 'postgres', true),
	pg_catalog.set_config('timezone', 'UTC', true), pg_catalog.set_config('extra_float_digits', '1', true),
	pg_catalog.set_config('bytea_output', 'hex', true), pg_catalog.set_config('xmlbinary', 'base64', true))`

// catalogSQL describes the schemas public and brownie, without owners and privileges, which depend on who migrates, and
// without the tables that remember what ran. How names and values are written depends on the settings of that moment, which
// are made while the statement runs, so that no function or operator of the statement itself is found by another path.
const catalogSQL = `
SELECT object.* FROM (SELECT pg_catalog.set_config('search_path', 'public', true), ` + plainWordsSQL + `) AS path (set, words), LATERAL (
WITH relation AS (
	SELECT c.*, format('%I.%I', n.nspname, c.relname) AS name
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname IN ('public', 'brownie') AND NOT starts_with(c.relname, 'goose_db_version') AND path.set = 'public'
		AND path.words <> ''
)
SELECT 'type' AS kind, format('%I.%I', n.nspname, t.typname) AS of, string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) AS text
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace JOIN pg_catalog.pg_enum e ON e.enumtypid = t.oid
WHERE n.nspname IN ('public', 'brownie') GROUP BY 1, 2
UNION ALL
SELECT 'table', name, concat_ws(', ', CASE WHEN relrowsecurity THEN 'row security' END, CASE WHEN relforcerowsecurity THEN 'forced' END)
FROM relation WHERE relkind IN ('r', 'p')
UNION ALL
SELECT 'column', r.name, concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
	'default ' || pg_get_expr(d.adbin, d.adrelid))
FROM relation r JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE r.relkind IN ('r', 'p')
UNION ALL
SELECT 'constraint', r.name, k.conname || ' ' || pg_get_constraintdef(k.oid)
FROM relation r JOIN pg_catalog.pg_constraint k ON k.conrelid = r.oid AND k.contype IN ('p', 'u', 'f', 'c', 'x')
UNION ALL
SELECT 'index', r.name, pg_get_indexdef(x.indexrelid) || CASE WHEN x.indisvalid THEN '' ELSE ' INVALID' END
FROM relation r JOIN pg_catalog.pg_index x ON x.indrelid = r.oid
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = x.indexrelid AND k.conrelid = r.oid)
UNION ALL
SELECT 'policy', r.name, concat_ws(' ', p.polname, p.polcmd, p.polpermissive,
	(SELECT string_agg(CASE member WHEN 0 THEN 'public' ELSE pg_get_userbyid(member) END, ',' ORDER BY pg_get_userbyid(member))
		FROM unnest(p.polroles) member
		WHERE p.polname <> 'owner'),
	pg_get_expr(p.polqual, p.polrelid), 'check ' || pg_get_expr(p.polwithcheck, p.polrelid))
FROM relation r JOIN pg_catalog.pg_policy p ON p.polrelid = r.oid
UNION ALL
SELECT 'trigger', r.name, pg_get_triggerdef(t.oid) || CASE WHEN t.tgenabled IN ('D', 'R') THEN ' DISABLED' ELSE '' END
FROM relation r JOIN pg_catalog.pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
UNION ALL
SELECT 'view', r.name, concat_ws(' ', array_to_string(r.reloptions, ','), pg_get_viewdef(r.oid)) FROM relation r
	WHERE r.relkind IN ('v', 'm')
UNION ALL
-- A migration that ran while quote_all_identifiers was on has made functions with quotes in their code.
SELECT 'function', format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
	md5(regexp_replace(pg_get_functiondef(p.oid), '"([a-z_][a-z0-9_]*)"', '\1', 'g'))
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname IN ('public', 'brownie') AND p.prokind IN ('f', 'p')
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
OFFSET 0) object`

// objects reads the catalog.
func (e *Engine) objects(ctx context.Context) ([]object, error) {
	objects, err := postgres.Query[object](ctx, e.db, catalogSQL)
	return oneLineEach(objects), err
}

// oneLineEach makes line breaks within definitions spaces.
func oneLineEach(objects []object) []object {
	for i := range objects {
		objects[i].Text = strings.Join(strings.Fields(objects[i].Text), " ")
	}
	return objects
}

// Catalog describes every object of the schemas public and brownie in a line, as [migrations.Catalog] does. Owners and
// privileges are left out, since they depend on who migrates.
func (e *Engine) Catalog(ctx context.Context) ([]string, error) {
	objects, err := e.objects(ctx)
	lines := make([]string, 0, len(objects))
	for _, o := range objects {
		lines = append(lines, o.String())
	}
	slices.Sort(lines)
	return lines, err
}

// recorded is an object that migrations make, and the first version that has it.
type recorded struct {
	object

	since int64
}

// expected is the catalog that the migrations up to a version make. Each line of the recorded catalog is an object, with
// the first and the last version that has it.
func (s Source) expected(version int64) ([]recorded, error) {
	var objects []recorded
	for line := range strings.Lines(s.catalog) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 4)
		var first, last int64
		// The last version is missing in a line of an object that still exists; that the scan then ends early is no error.
		if n, _ := fmt.Sscanf(fields[0], "%d-%d", &first, &last); n == 0 || len(fields) < 4 {
			return nil, fmt.Errorf("the recorded catalog has an unreadable line %q", line)
		}
		if first <= version && (last == 0 || version <= last) {
			objects = append(objects, recorded{object{fields[1], fields[2], fields[3]}, first})
		}
	}
	return objects, nil
}

// differences lists what a schema lacks, and what it has beside that belongs to the same tables and types. A table that
// is missing stands for all that belongs to it.
func differences(expected []recorded, actual []object) []string {
	var result []string
	tell := func(what string, o object) {
		result = append(result, what+strings.TrimRight(strings.ReplaceAll(o.String(), "\t", " "), " "))
	}
	wanted := make([]object, len(expected))
	for i, o := range expected {
		wanted[i] = o.object
	}
	there := belongs(actual)
	for _, o := range wanted {
		if !slices.Contains(actual, o) && (there[o.Of] || o.standsAlone()) {
			tell("missing: ", o)
		}
	}
	known := belongs(wanted)
	for _, o := range actual {
		if known[o.Of] && !slices.Contains(wanted, o) {
			tell("unexpected: ", o)
		}
	}
	slices.Sort(result)
	return result
}

// standsAlone tells an object that belongs to none but itself.
func (o object) standsAlone() bool {
	return slices.Contains([]string{"table", "type", "view", "function"}, o.Kind)
}

// belongs is the set of tables, types and so on that objects belong to.
func belongs(objects []object) map[string]bool {
	set := map[string]bool{}
	for _, o := range objects {
		set[o.Of] = true
	}
	return set
}
