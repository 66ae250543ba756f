package tenant

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Exported is what an export wrote.
type Exported struct {
	Organization string
	// At is when the rows were as they were written.
	At time.Time
	// Rows of each table.
	Rows map[string]int64
	// LeftOut are tables that refer to rows of the organization and have no organization_id.
	LeftOut []string
}

// Export writes the rows of an organization as SQL: one transaction that makes all of them. It reads one snapshot. at is when they were
// so, if not now.
func Export(ctx context.Context, conn *pgx.Conn, slug string, at *time.Time, to io.Writer) (e Exported, err error) {
	tx, err := begin(ctx, conn, pgx.ReadOnly)
	if err != nil {
		return e, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	t, err := find(ctx, tx, slug)
	if err != nil {
		return e, err
	}
	e = Exported{Organization: slug, Rows: map[string]int64{}, LeftOut: t.leftOut}
	version := int64(0)
	err = tx.QueryRow(ctx, `SELECT pg_catalog.transaction_timestamp(), (SELECT coalesce(max(version_id), 0) FROM brownie.goose_db_version
		WHERE is_applied)`).Scan(&e.At, &version)
	if err != nil {
		return e, err
	}
	if at != nil {
		e.At = *at
	}
	w := bufio.NewWriter(to)
	_, _ = fmt.Fprintf(w, header, slug, e.At.UTC().Format(time.RFC3339), version) // An error comes again with Flush.
	for _, name := range t.leftOut {
		_, _ = fmt.Fprintf(w, "-- Left out, since it does not say whose its rows are: table %q\n", name)
	}
	for _, each := range t.tables {
		if e.Rows[each.Name], err = each.export(ctx, tx, t.id, w); err != nil {
			return e, fmt.Errorf("table %s: %w", each.Name, err)
		}
	}
	_, _ = w.WriteString("COMMIT;\n")
	return e, w.Flush()
}

// Statements rather than COPY: where a COPY fails, psql would take rows for statements.
const header = `-- Organization %q as of %s, schema version %d: all its rows, for a database of that version that does not have it.
BEGIN;
SET LOCAL client_encoding = 'UTF8';
SET LOCAL DateStyle = 'ISO';
SET LOCAL IntervalStyle = 'postgres';
SET LOCAL TimeZone = 'UTC';
`

// advance has the next number of a column come after those that were written.
const advance = `DO $do$ BEGIN PERFORM pg_catalog.setval(s, m) FROM (
	SELECT pg_catalog.pg_get_serial_sequence($name$%[1]s$name$, attname)::pg_catalog.regclass AS s, (SELECT max(%[2]s) FROM %[1]s) AS m
	FROM pg_catalog.pg_attribute
	WHERE attrelid = $name$%[1]s$name$::pg_catalog.regclass AND pg_catalog.quote_ident(attname) = $name$%[2]s$name$
) AS n WHERE m > coalesce(pg_catalog.pg_sequence_last_value(s), 0); END $do$;
`

// rowsInStatement are in one statement, unless a table refers to itself: then all are.
const rowsInStatement = 500

// export writes the rows of one table.
func (t table) export(ctx context.Context, tx pgx.Tx, id string, w *bufio.Writer) (n int64, err error) {
	values := make([]string, len(t.Columns))
	for i, column := range t.Columns {
		values[i] = "pg_catalog.quote_nullable(" + column + "::text)"
	}
	rows, err := tx.Query(ctx, fmt.Sprintf(`SELECT pg_catalog.concat_ws(', ', VARIADIC ARRAY[%s]) FROM %s WHERE %s = $1 ORDER BY 1`,
		strings.Join(values, ", "), t.Rows, t.Owner), id)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	refersToItself := slices.Contains(t.Refers, t.Name)
	for ; rows.Next(); n++ {
		var row string
		if err := rows.Scan(&row); err != nil {
			return n, err
		}
		separator := ",\n"
		if n == 0 || n%rowsInStatement == 0 && !refersToItself {
			separator = fmt.Sprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE VALUES\n", t.Name, strings.Join(t.Columns, ", "))
			if n > 0 {
				separator = ";\n" + separator
			}
		}
		if _, err := w.WriteString(separator + "(" + row + ")"); err != nil {
			return n, err
		}
	}
	if n > 0 {
		_, _ = w.WriteString(";\n")
	}
	for _, column := range t.Numbered {
		_, _ = fmt.Fprintf(w, advance, t.Name, column)
	}
	return n, rows.Err()
}
