// Package tenant takes the rows of one organization out of a database, as SQL or into another one.
package tenant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/dump"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// table holds rows of tenants. What names something is an SQL identifier.
type table struct {
	Name string `db:"name"`
	// Rows is what its rows are read from: not those of tables that inherit from it, which are tables of their own.
	Rows string `db:"rows"`
	// Owner is the column that tells whose a row is.
	Owner   string   `db:"owner"`
	Columns []string `db:"columns"`
	Types   []string `db:"types"`
	Key     []string `db:"key"` // the primary key's columns
	// Numbered columns get their values from a sequence; Fixed ones cannot be changed (GENERATED ALWAYS AS IDENTITY).
	Numbered []string `db:"numbered"`
	Fixed    []string `db:"fixed"`
	Refers   []string `db:"refers"`
}

// A role and its binding are the cluster's, not the tenant's: Terraform makes both.
const tablesSQL = `
	SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
		CASE c.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END || pg_catalog.format('%I.%I', n.nspname, c.relname) AS rows,
		CASE WHEN c.oid = 'public.organizations'::pg_catalog.regclass THEN 'id' ELSE 'organization_id' END AS owner,
		ARRAY(SELECT pg_catalog.quote_ident(attname) FROM pg_catalog.pg_attribute
			WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attname) AS columns,
		ARRAY(SELECT pg_catalog.format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute
			WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attname) AS types,
		ARRAY(SELECT pg_catalog.quote_ident(a.attname) FROM pg_catalog.pg_index i, pg_catalog.generate_series(0, i.indnkeyatts - 1) AS k
			JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
			WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = i.indkey[k] ORDER BY a.attname) AS key,
		ARRAY(SELECT pg_catalog.quote_ident(attname) FROM pg_catalog.pg_attribute WHERE attrelid = c.oid AND attnum > 0
			AND NOT attisdropped AND pg_catalog.pg_get_serial_sequence(c.oid::pg_catalog.regclass::text, attname) IS NOT NULL
			ORDER BY attname) AS numbered,
		ARRAY(SELECT pg_catalog.quote_ident(attname) FROM pg_catalog.pg_attribute WHERE attrelid = c.oid AND attnum > 0
			AND NOT attisdropped AND attidentity = 'a' ORDER BY attname) AS fixed,
		ARRAY(SELECT DISTINCT pg_catalog.format('%I.%I', rn.nspname, r.relname) FROM pg_catalog.pg_constraint f
			JOIN pg_catalog.pg_class r ON r.oid = f.confrelid JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
			WHERE f.conrelid = c.oid AND f.contype = 'f' ORDER BY 1) AS refers
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'
		AND c.oid <> 'brownie.role_bindings'::pg_catalog.regclass
		AND (c.oid = 'public.organizations'::pg_catalog.regclass OR EXISTS (SELECT FROM pg_catalog.pg_attribute
			WHERE attrelid = c.oid AND attname = 'organization_id' AND atttypid = 'uuid'::pg_catalog.regtype AND NOT attisdropped))
	ORDER BY 1`

// What refers to a tenant's rows but does not say whose it is.
const leftOutSQL = `
	SELECT DISTINCT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_constraint f
		JOIN pg_catalog.pg_class c ON c.oid = f.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_catalog.pg_class r ON r.oid = f.confrelid JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
	WHERE f.contype = 'f' AND f.conparentid = 0 AND NOT c.relispartition
		AND pg_catalog.format('%I.%I', rn.nspname, r.relname) = ANY ($1)
		AND pg_catalog.format('%I.%I', n.nspname, c.relname) <> ALL ($1) AND c.oid <> 'brownie.role_bindings'::pg_catalog.regclass
	ORDER BY 1`

// Foreign keys by which a row of another organization could go or change with one that is deleted.
const looseSQL = `
	SELECT pg_catalog.format('%I of %s', f.conname, f.conrelid::pg_catalog.regclass) FROM pg_catalog.pg_constraint f
		JOIN pg_catalog.pg_class c ON c.oid = f.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE f.contype = 'f' AND f.conparentid = 0 AND f.confdeltype IN ('c', 'n', 'd')
		AND pg_catalog.format('%I.%I', n.nspname, c.relname) = ANY ($1) AND f.confrelid <> 'public.organizations'::pg_catalog.regclass
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute
			WHERE attrelid = f.conrelid AND attnum = ANY (f.conkey) AND attname = 'organization_id')
	ORDER BY 1`

// tenancy is one organization in one database.
type tenancy struct {
	id      string
	tables  []table  // each after those that it refers to
	leftOut []string // tables that may hold rows of the organization, which nothing tells
	loose   []string // foreign keys by which rows of another one may refer to its rows
}

// begin starts a transaction of a session that shows all values as any other does, and sees the rows of all tenants.
func begin(ctx context.Context, conn *pgx.Conn, access pgx.TxAccessMode) (pgx.Tx, error) {
	if err := dump.PrepareSession(ctx, conn); err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: access})
	if err != nil {
		return nil, err
	}
	hidden, err := dump.Hidden(ctx, tx)
	if err == nil && hidden != "" {
		err = problem.New("the role of this session may not see all rows of "+hidden,
			"Log in as the owner of the tables or a superuser; to read, a role with access `backup` will do")
	}
	if err != nil {
		return nil, errors.Join(err, tx.Rollback(context.WithoutCancel(ctx)))
	}
	return tx, nil
}

// find looks an organization up.
func find(ctx context.Context, tx pgx.Tx, slug string) (t tenancy, err error) {
	err = tx.QueryRow(ctx, `SELECT id::text FROM public.organizations WHERE slug = $1`, slug).Scan(&t.id)
	if errors.Is(err, pgx.ErrNoRows) {
		return t, problem.New(fmt.Sprintf("there is no organization %q", slug),
			"Name it by its slug: for a backup, the one that it had then")
	}
	if err != nil {
		return t, err
	}
	err = t.readTables(ctx, tx)
	return t, err
}

func (t *tenancy) readTables(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, tablesSQL)
	if err != nil {
		return err
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[table])
	if err != nil {
		return err
	}
	if t.tables, err = parentsFirst(all); err != nil {
		return err
	}
	for sql, found := range map[string]*[]string{leftOutSQL: &t.leftOut, looseSQL: &t.loose} {
		if rows, err = tx.Query(ctx, sql, names(all)); err != nil {
			return err
		}
		if *found, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return err
		}
	}
	return nil
}

func names(all []table) (names []string) {
	for _, t := range all {
		names = append(names, t.Name)
	}
	return names
}

// parentsFirst sorts tables so that each comes after those that it refers to.
func parentsFirst(all []table) (sorted []table, err error) {
	left := slices.Clone(all)
	for len(left) > 0 {
		waits := func(t table) bool {
			return slices.ContainsFunc(left, func(other table) bool {
				return other.Name != t.Name && slices.Contains(t.Refers, other.Name)
			})
		}
		free := slices.IndexFunc(left, func(t table) bool { return !waits(t) })
		if free < 0 {
			return nil, problem.New("tables refer to each other in a circle: "+strings.Join(names(left), ", "),
				"Restore the whole backup into a new database, and copy the rows by hand")
		}
		sorted = append(sorted, left[free])
		left = slices.Delete(left, free, free+1)
	}
	return sorted, nil
}
