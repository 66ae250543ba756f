package tenant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Difference tells in what the rows of an organization are others than they were.
type Difference struct {
	Table string `db:"-"`
	// Missing rows are not there any more, Changed ones have other values, and Added ones were not there.
	Missing int64 `db:"missing"`
	Changed int64 `db:"changed"`
	Added   int64 `db:"added"`
	// Keys are those of some of them, as "missing 5f0c…".
	Keys []string `db:"keys"`
}

func (d Difference) none() bool { return d.Missing+d.Changed+d.Added == 0 }

// PutBack makes the rows of an organization in one database what they are in another, in one transaction, and returns in what they
// differed. Without write it only does that. A row that is changed gets the time of the change as its updated_at, which is not compared.
func PutBack(ctx context.Context, from, into *pgx.Conn, slug string, write bool) (all []Difference, err error) {
	source, err := begin(ctx, from, pgx.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer func() { _ = source.Rollback(context.WithoutCancel(ctx)) }()
	was, err := find(ctx, source, slug)
	if err != nil {
		return nil, err
	}
	target, err := begin(ctx, into, pgx.ReadWrite)
	if err != nil {
		return nil, err
	}
	defer func() { _ = target.Rollback(context.WithoutCancel(ctx)) }()
	var is tenancy
	if err := is.readTables(ctx, target); err != nil {
		return nil, err
	}
	if err := was.fits(&is); err != nil {
		return nil, err
	}
	for i, t := range was.tables {
		if err := t.copyTo(ctx, from, into, was.id, copied(i)); err != nil {
			return nil, fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	if all, err = was.compare(ctx, target); err != nil || !write || len(all) == 0 {
		return all, err
	}
	if err := was.write(ctx, target); err != nil {
		return all, notWritten(slug, err)
	}
	left, err := was.compare(ctx, target)
	if err == nil && len(left) > 0 {
		err = problem.New(
			fmt.Sprintf("rows of %s would still be others than they were: %s", left[0].Table, strings.Join(left[0].Keys, ", ")),
			"A trigger changes them, or another organization has a row of that key")
	}
	if err == nil {
		err = target.Commit(ctx)
	}
	if err != nil {
		return all, notWritten(slug, err)
	}
	return all, nil
}

func notWritten(slug string, err error) error {
	remedy := "Repair the cause, and try again"
	var told *pgconn.PgError
	if errors.As(err, &told) {
		switch told.Code {
		case "23505":
			remedy = "Another row has taken a unique value meanwhile: give that one another"
		case "40001", "40P01":
			remedy = "Somebody changed the same rows at the same time: suspend the organization, and try again"
		}
	}
	return problem.New(fmt.Sprintf("organization %q was left as it was: %s", slug, err), remedy).Because(err)
}

// fits refuses what cannot be put back row by row.
func (t *tenancy) fits(is *tenancy) error {
	if len(is.leftOut) > 0 {
		return problem.New(
			"these tables refer to rows of organizations, and do not say whose their own are: "+strings.Join(is.leftOut, ", "),
			"Give them a column organization_id, or restore to a file and put the rows back by hand")
	}
	if len(is.loose) > 0 {
		return problem.New("by these foreign keys, rows of another organization could go with rows that are deleted: "+
			strings.Join(is.loose, ", "), "Add organization_id to both sides of them, or restore to a file and put the rows back by hand")
	}
	for _, each := range is.tables {
		if !slices.ContainsFunc(t.tables, func(other table) bool { return other.Name == each.Name }) {
			return problem.New(
				fmt.Sprintf("table %s was made after the backup, and its rows could go with rows that are deleted", each.Name),
				"Restore to a file, and put the rows back by hand")
		}
	}
	for _, each := range t.tables {
		n := slices.IndexFunc(is.tables, func(other table) bool { return other.Name == each.Name })
		switch {
		case n < 0 || !slices.Equal(is.tables[n].Columns, each.Columns) || !slices.Equal(is.tables[n].Types, each.Types):
			return problem.New(fmt.Sprintf("table %s has other columns than at the time of the backup", each.Name),
				"Restore the backup into a new database, migrate that, and take the rows from there")
		case len(each.Key) == 0 || !slices.Equal(is.tables[n].Key, each.Key):
			return problem.New(fmt.Sprintf("table %s has no primary key, or another one than at the time of the backup", each.Name),
				"Restore to a file, and put the rows back by hand")
		}
	}
	return nil
}

// copied is the temporary table with the rows of one table as they were.
func copied(n int) string { return fmt.Sprintf("pg_temp.was_%d", n) }

// copyTo streams the rows from one database into a temporary table of the other.
func (t table) copyTo(ctx context.Context, from, into *pgx.Conn, id, temporary string) error {
	columns := strings.Join(t.Columns, ", ")
	_, err := into.Exec(ctx, fmt.Sprintf(`CREATE TEMP TABLE %s ON COMMIT DROP AS SELECT %s FROM %s WITH NO DATA`,
		temporary, columns, t.Rows))
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		// COPY takes no parameters; the ID is what the database wrote as a uuid.
		_, err := from.PgConn().CopyTo(groupCtx, w,
			fmt.Sprintf(`COPY (SELECT %s FROM %s WHERE %s = '%s') TO STDOUT`, columns, t.Rows, t.Owner, id))
		return errors.Join(err, w.CloseWithError(err))
	})
	group.Go(func() error {
		_, err := into.PgConn().CopyFrom(groupCtx, r, fmt.Sprintf(`COPY %s (%s) FROM STDIN`, temporary, columns))
		_ = r.CloseWithError(err) // It always returns nil.
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	_, err = into.Exec(ctx, "ANALYZE "+temporary)
	return err
}

// shownKeys of a table are shown.
const shownKeys = 20

// compare returns the tables with rows that differ.
func (t *tenancy) compare(ctx context.Context, tx pgx.Tx) (all []Difference, err error) {
	all = []Difference{}
	for i, each := range t.tables {
		keyText := make([]string, len(each.Key))
		for k, column := range each.Key {
			keyText[k] = fmt.Sprintf("coalesce(was.%[1]s, now.%[1]s)::text", column)
		}
		sql := fmt.Sprintf(`
			SELECT count(*) FILTER (WHERE what = 'missing') AS missing, count(*) FILTER (WHERE what = 'changed') AS changed,
				count(*) FILTER (WHERE what = 'added') AS added,
				coalesce(pg_catalog.array_agg(what || ' ' || key ORDER BY n) FILTER (WHERE n <= %d), '{}') AS keys
			FROM (SELECT *, pg_catalog.row_number() OVER (ORDER BY what, key) AS n FROM (
				SELECT CASE WHEN now.%[2]s IS NULL THEN 'missing' WHEN was.%[2]s IS NULL THEN 'added'
					WHEN %[3]s THEN 'changed' END AS what, pg_catalog.concat_ws(' ', %[4]s) AS key
				FROM %[5]s AS was FULL JOIN (SELECT * FROM %[6]s WHERE %[7]s = $1) AS now ON %[8]s
			) AS rows WHERE what IS NOT NULL) AS numbered`,
			shownKeys, each.Key[0], each.differs("was", "now"), strings.Join(keyText, ", "), copied(i), each.Rows, each.Owner,
			each.sameKey())
		rows, err := tx.Query(ctx, sql, t.id)
		if err != nil {
			return nil, err
		}
		d, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Difference])
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", each.Name, err)
		}
		if d.Table = each.Name; !d.none() {
			all = append(all, d)
		}
	}
	return all, nil
}

// differs compares as text: not each type has an equality.
func (t table) differs(a, b string) string {
	conditions := []string{"false"}
	for _, column := range t.values(t.Key) {
		conditions = append(conditions, fmt.Sprintf("%[1]s.%[3]s::text IS DISTINCT FROM %[2]s.%[3]s::text", a, b, column))
	}
	return "(" + strings.Join(conditions, " OR ") + ")"
}

// values are the columns that make a row another one, without some.
func (t table) values(without []string) (values []string) {
	for _, column := range t.Columns {
		if column != "updated_at" && !slices.Contains(without, column) {
			values = append(values, column)
		}
	}
	return values
}

// sameKey tells that a row is the one that it was.
func (t table) sameKey() string {
	same := make([]string, len(t.Key))
	for i, column := range t.Key {
		same[i] = "was." + column + " = now." + column
	}
	return strings.Join(same, " AND ")
}

// write deletes what was added and makes the rest what it was. Which comes first depends: what was added may have taken a unique value,
// and what stays may refer to it. Deferred constraints and triggers are not left for later.
func (t *tenancy) write(ctx context.Context, tx pgx.Tx) error {
	err := t.attempt(ctx, tx, t.deleteAdded, t.remake)
	if told := (*pgconn.PgError)(nil); errors.As(err, &told) && told.Code == "23503" {
		err = t.attempt(ctx, tx, t.remake, t.deleteAdded)
	}
	return err
}

// attempt leaves nothing behind when it fails.
func (t *tenancy) attempt(ctx context.Context, tx pgx.Tx, steps ...func(context.Context, pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		for _, step := range steps {
			if err := step(ctx, tx); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `SET CONSTRAINTS ALL IMMEDIATE`)
		return err
	})
}

// deleteAdded deletes children first.
func (t *tenancy) deleteAdded(ctx context.Context, tx pgx.Tx) error {
	for i, each := range slices.Backward(t.tables) {
		_, err := tx.Exec(ctx, fmt.Sprintf(`DELETE FROM %s AS now WHERE %s = $1 AND NOT EXISTS (SELECT FROM %s AS was WHERE %s)`,
			each.Rows, each.Owner, copied(i), each.sameKey()), t.id)
		if err != nil {
			return fmt.Errorf("table %s: %w", each.Name, err)
		}
	}
	return nil
}

// remake changes and makes rows, parents first. A row that went with another one, by ON DELETE CASCADE, is made again.
func (t *tenancy) remake(ctx context.Context, tx pgx.Tx) error {
	for i, each := range t.tables {
		var set []string
		for _, column := range each.values(slices.Concat(each.Key, each.Fixed)) {
			set = append(set, column+" = was."+column)
		}
		var statements []string
		if len(set) > 0 {
			statements = append(statements, fmt.Sprintf(`UPDATE %s AS now SET %s FROM %s AS was WHERE now.%s = $1 AND %s AND %s`,
				each.Rows, strings.Join(set, ", "), copied(i), each.Owner, each.sameKey(), each.differs("was", "now")))
		}
		statements = append(statements, fmt.Sprintf(`INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %[2]s FROM %[3]s AS was
			WHERE %[4]s = $1 AND NOT EXISTS (SELECT FROM %[5]s AS now WHERE %[6]s)`,
			each.Name, strings.Join(each.Columns, ", "), copied(i), each.Owner, each.Rows, each.sameKey()))
		for _, sql := range statements {
			if _, err := tx.Exec(ctx, sql, t.id); err != nil {
				return fmt.Errorf("table %s: %w", each.Name, err)
			}
		}
	}
	return nil
}
