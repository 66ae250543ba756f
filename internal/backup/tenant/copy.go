package tenant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Copy makes the rows of an organization in a database that has none of them, from one snapshot, and compares the hashes of the rows of
// each table. All of it is one transaction there: before runs in it first, and after last. Without after, it is tried and nothing is kept.
// It returns how many rows each table has.
func Copy(ctx context.Context, from, into *pgx.Conn, slug string, before, after func(context.Context, pgx.Tx) error) (
	rows map[string]int64, err error,
) {
	source, err := begin(ctx, from, pgx.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer func() { _ = source.Rollback(context.WithoutCancel(ctx)) }()
	is, err := find(ctx, source, slug)
	if err != nil {
		return nil, err
	}
	target, err := begin(ctx, into, pgx.ReadWrite)
	if err != nil {
		return nil, inTarget(err)
	}
	defer func() { _ = target.Rollback(context.WithoutCancel(ctx)) }()
	// The end of this process is noticed also while a statement runs.
	if _, err := target.Exec(ctx, `SET LOCAL client_connection_check_interval = '2s'`); err != nil {
		return nil, inTarget(err)
	}
	if before != nil {
		if err := before(ctx, target); err != nil {
			return nil, inTarget(err)
		}
	}
	var there tenancy
	if err := there.readTables(ctx, target); err != nil {
		return nil, inTarget(err)
	}
	if err := is.suits(&there); err != nil {
		return nil, err
	}
	if rows, err = is.copy(ctx, source, target, after != nil); err != nil || after == nil {
		return rows, err
	}
	if err = after(ctx, target); err == nil {
		err = target.Commit(ctx)
	}
	return rows, inTarget(err)
}

func inTarget(err error) error {
	if err != nil {
		err = fmt.Errorf("in the target: %w", err)
	}
	return err
}

// suits refuses what cannot be copied whole, or could not be deleted afterwards without the rows of others.
func (t *tenancy) suits(there *tenancy) error {
	if len(t.leftOut)+len(there.leftOut) > 0 {
		return problem.New("these tables refer to rows of organizations, and do not say whose their own are: "+
			strings.Join(slices.Concat(t.leftOut, there.leftOut), ", "), "Give them a column organization_id in both databases")
	}
	if len(t.loose) > 0 {
		return problem.New("by these foreign keys, rows of another organization could go with rows that are deleted: "+
			strings.Join(t.loose, ", "), "Add organization_id to both sides of them, in both databases")
	}
	for _, each := range t.tables {
		n := slices.IndexFunc(there.tables, func(other table) bool { return other.Name == each.Name })
		if n < 0 {
			return problem.New(fmt.Sprintf("the target has no table %s", each.Name), "Bring both databases to the same schema")
		}
		if !slices.Equal(there.tables[n].Columns, each.Columns) || !slices.Equal(there.tables[n].Types, each.Types) {
			return problem.New(fmt.Sprintf("table %s has other columns in the target", each.Name),
				"Bring both databases to the same schema")
		}
	}
	return nil
}

// hashed is what tells the rows of a table from others, in whatever order they are.
type hashed struct {
	Rows int64  `db:"rows"`
	Hash string `db:"hash"`
}

// copy writes the rows of all tables, and compares.
func (t *tenancy) copy(ctx context.Context, source, target pgx.Tx, advances bool) (map[string]int64, error) {
	rows, was := map[string]int64{}, make([]hashed, len(t.tables))
	for i, each := range t.tables {
		if err := each.copyTo(ctx, source.Conn(), target.Conn(), t.id, copied(i)); err != nil {
			return nil, each.notCopied(err)
		}
		group, groupCtx := errgroup.WithContext(ctx)
		group.Go(func() (err error) {
			was[i], err = each.hash(groupCtx, source, t.id)
			return err
		})
		group.Go(func() error {
			columns := strings.Join(each.Columns, ", ")
			_, err := target.Exec(groupCtx, fmt.Sprintf(`INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %[2]s FROM %[3]s`,
				each.Name, columns, copied(i)))
			if err == nil {
				_, err = target.Exec(groupCtx, `DROP TABLE `+copied(i))
			}
			return err
		})
		if err := group.Wait(); err != nil {
			return nil, each.notCopied(err)
		}
		for _, column := range each.Numbered {
			if !advances { // A sequence stays where it is after a rollback, too.
				break
			}
			if _, err := target.Exec(ctx, fmt.Sprintf(advance, each.Name, column)); err != nil {
				return nil, each.notCopied(err)
			}
		}
		rows[each.Name] = was[i].Rows
	}
	if _, err := target.Exec(ctx, `SET CONSTRAINTS ALL IMMEDIATE`); err != nil {
		return nil, (&table{Name: "a deferred constraint"}).notCopied(err)
	}
	for i, each := range t.tables {
		is, err := each.hash(ctx, target, t.id)
		if err != nil {
			return nil, each.notCopied(err)
		}
		if is != was[i] {
			return nil, problem.New(fmt.Sprintf("the rows of table %s are others in the target: %d with hash %s, and not %d with hash %s",
				each.Name, is.Rows, is.Hash, was[i].Rows, was[i].Hash),
				"Look for a trigger, or a default, of that table in the target which changes what is inserted")
		}
	}
	return rows, nil
}

// hash adds up the hashes of the rows: it needs no order, and no memory. Servers may have different encodings.
func (t table) hash(ctx context.Context, tx pgx.Tx, id string) (hashed, error) {
	rows, err := tx.Query(ctx, fmt.Sprintf(`
		SELECT count(*) AS rows, coalesce(sum(('x' || substr(md5, 1, 16))::bit(64)::bigint)::text || ' ' ||
			sum(('x' || substr(md5, 17))::bit(64)::bigint)::text, '') AS hash
		FROM (SELECT md5(convert_to(ROW(%s)::text, 'UTF8')) AS md5 FROM %s WHERE %s = $1) AS h`,
		strings.Join(t.Columns, ", "), t.Rows, t.Owner), id)
	if err != nil {
		return hashed{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[hashed])
}

func (t table) notCopied(err error) error {
	var told *pgconn.PgError
	if !errors.As(err, &told) {
		return fmt.Errorf("table %s: %w", t.Name, err)
	}
	remedy := "Repair the cause, and try again"
	switch told.Code {
	case "23505":
		remedy = "Another row of the target has that value: give one of the two another"
	case "23503":
		remedy = "What it refers to belongs to no organization, and is not in the target: make it there"
	case "42501":
		remedy = "Log in as the owner of the tables, in both databases"
	case "40001", "40P01":
		remedy = "Somebody changed the same rows at the same time: try again"
	}
	text := strings.TrimSuffix(strings.TrimSpace(told.Message+". "+told.Detail), ".")
	return problem.New(fmt.Sprintf("table %s cannot be copied: %s", t.Name, text), remedy).Because(err)
}
