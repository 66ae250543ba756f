// Package dump is the engine pg_dump: the rows of one moment, in parts that PostgreSQL's own programs wrote and can restore.
package dump

import (
	"cmp"
	"context"
	_ "embed" // for what describes roles and the database
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// The parts of a backup. Rows are in as many parts as there are jobs.
const (
	rolesPart    = "roles.sql"
	contentsPart = "contents.json"
	schemaPart   = "schema.dump"
)

func rowsPart(n int) string { return fmt.Sprintf("rows-%d.dump", n+1) }

// Contents is what a backup holds, to compare a restored database with. Only who can read the backup can read it.
type Contents struct {
	Tables []Table `json:"tables"`
	// Views are the materialized views that have rows.
	Views    []string            `json:"views"`
	Roles    []RoleStatement     `json:"roles"`
	Database []DatabaseStatement `json:"database"`
}

// Table is a table and its rows at the moment of the snapshot.
type Table struct {
	Name string `json:"name" db:"name"` // as SQL writes it
	Rows int64  `json:"rows" db:"rows"`
	// Hash is the sum of the hashes of all rows, in whatever order.
	Hash  string `json:"hash" db:"hash"`
	bytes int64
}

// RoleStatement makes something of a role: step 1 the role itself, 2 a membership, 3 a setting.
type RoleStatement struct {
	Step int32  `json:"step" db:"step"`
	Role string `json:"role" db:"about"`
	SQL  string `json:"sql" db:"sql"`
	// Value is a setting as it is stored, which belongs to the end of the statement.
	Value *string `json:"-" db:"value"`
}

// DatabaseStatement belongs around the name of a database.
type DatabaseStatement struct {
	Before string `json:"before" db:"before"`
	After  string `json:"after" db:"after"`
	// Value is a setting as it is stored, which belongs to the end of the statement.
	Value *string `json:"-" db:"value"`
}

var (
	//go:embed roles.sql
	rolesSQL string
	//go:embed database.sql
	databaseSQL string
)

// Dumper writes backups.
type Dumper struct {
	DB *postgres.DB
	Tools
	// Jobs is how many processes read rows at the same time.
	Jobs int
}

// Backup writes all parts of a backup and returns what its manifest says of the database.
func (d Dumper) Backup(ctx context.Context, w *artifact.Writer) (m artifact.Manifest, err error) {
	err = d.DB.Borrow(ctx, nil, func(conn *pgx.Conn) error {
		if err := PrepareSession(ctx, conn); err != nil {
			return err
		}
		defer func() { _, _ = conn.Exec(context.WithoutCancel(ctx), `RESET ALL`) }()
		tx, s, all, err := begin(ctx, conn)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		if m, err = s.manifest(); err != nil {
			return err
		}
		if err := d.checkVersion(ctx, s.ServerNumber, &m); err != nil {
			return err
		}
		return d.write(ctx, tx, s, all, w)
	})
	return m, err
}

func (d Dumper) checkVersion(ctx context.Context, server int32, m *artifact.Manifest) error {
	tool, major, err := d.version(ctx, "pg_dump")
	if err != nil {
		return err
	}
	m.Tool = tool
	if major < int(server)/10000 {
		return problem.New(fmt.Sprintf("%s is older than the server, which is %s", tool, m.Server),
			"Install the client programs of the server's major version, or a later one, and name their folder with --bin")
	}
	return nil
}

// The name is an identifier that the server has quoted.
const hashSQL = `
	SELECT count(*) AS rows, coalesce(sum(pg_catalog.hashtextextended(t::text, 0)::numeric), 0)::text AS hash FROM ONLY %s AS t`

// count fills in the rows and the hash of each table.
func count(ctx context.Context, tx pgx.Tx, all []Table) error {
	for i, t := range all {
		if err := tx.QueryRow(ctx, fmt.Sprintf(hashSQL, t.Name)).Scan(&all[i].Rows, &all[i].Hash); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	slices.SortFunc(all, func(a, b Table) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

// spread gives each job about as many bytes. What the first one has need not be named: it has all that the others have not.
func spread(all []Table, jobs int) [][]Table {
	shares := make([][]Table, max(jobs, 1))
	sizes := make([]int64, len(shares))
	for _, t := range all { // the largest first
		least := len(sizes) - 1
		for i := least; i >= 0; i-- {
			if sizes[i] < sizes[least] {
				least = i
			}
		}
		shares[least], sizes[least] = append(shares[least], t), sizes[least]+t.bytes
	}
	return slices.DeleteFunc(shares, func(share []Table) bool { return len(share) == 0 && len(all) > 0 })
}

func (d Dumper) write(ctx context.Context, tx pgx.Tx, s snapshot, all []Table, w *artifact.Writer) error {
	group, groupCtx := errgroup.WithContext(ctx)
	dump := func(part string, more ...string) {
		arguments := append([]string{
			"--format=custom", "--compress=0", "--enable-row-security", "--no-password", "--snapshot=" + s.ID,
		}, more...)
		group.Go(func() error {
			return w.WritePart(groupCtx, part, func(out io.Writer) error {
				return d.run(groupCtx, program{name: "pg_dump", arguments: arguments, output: out})
			})
		})
	}
	dump(schemaPart, "--schema-only")
	// The first one has all that the others have not: sequences, large objects, and what a table made meanwhile would be.
	first := []string{"--data-only"}
	if s.UnreadableObjects > 0 {
		first = append(first, "--no-blobs")
	}
	for n, share := range spread(all, d.Jobs) {
		if n == 0 {
			continue
		}
		more := []string{"--data-only"}
		for _, t := range share {
			// What the server quotes, a pattern takes literally.
			more = append(more, "--table="+t.Name)
			first = append(first, "--exclude-table-data="+t.Name)
		}
		dump(rowsPart(n), more...)
	}
	dump(rowsPart(0), first...)
	group.Go(func() error { return writeContents(groupCtx, tx, all, w) })
	if err := group.Wait(); err != nil {
		return err
	}
	// A role that has lost its right to see all rows meanwhile has lost it for pg_dump, too: by what holds now, or at the snapshot.
	now, err := postgres.QueryOne[hidden](ctx, d.DB, `SELECT (`+hiddenSQL+`) AS hidden`)
	if err != nil {
		return err
	}
	then, err := one[hidden](ctx, tx, `SELECT (`+hiddenSQL+`) AS hidden`)
	if err != nil {
		return err
	}
	return cmp.Or(hiddenError(now.Hidden), hiddenError(then.Hidden))
}

// writeContents writes what a restored database is compared with, and the roles as a person would make them.
func writeContents(ctx context.Context, tx pgx.Tx, all []Table, w *artifact.Writer) error {
	contents, err := read(ctx, tx, all)
	if err != nil {
		return err
	}
	text, err := json.Marshal(contents)
	if err != nil {
		return err
	}
	err = w.WritePart(ctx, contentsPart, func(out io.Writer) error {
		_, err := out.Write(text)
		return err
	})
	if err != nil {
		return err
	}
	return w.WritePart(ctx, rolesPart, func(out io.Writer) error {
		_, err := io.WriteString(out, contents.script())
		return err
	})
}

func read(ctx context.Context, tx pgx.Tx, all []Table) (c Contents, err error) {
	if c.Roles, err = query[RoleStatement](ctx, tx, rolesSQL); err != nil {
		return c, err
	}
	if c.Database, err = query[DatabaseStatement](ctx, tx, databaseSQL); err != nil {
		return c, err
	}
	c.complete()
	err = count(ctx, tx, all)
	c.Tables = all
	if err == nil {
		c.Views, err = views(ctx, tx)
	}
	return c, err
}

const viewsSQL = `
	SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind = 'm' AND c.relispopulated AND n.nspname !~ '^pg_' ORDER BY 1`

func views(ctx context.Context, tx pgx.Tx) ([]string, error) {
	rows, err := tx.Query(ctx, viewsSQL)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// complete writes the values of settings into the statements. What means nothing is left out.
func (c *Contents) complete() {
	c.Roles = slices.DeleteFunc(c.Roles, func(s RoleStatement) bool {
		_, ok := settingOf(s.Value)
		return !ok
	})
	for i, s := range c.Roles {
		sql, _ := settingOf(s.Value)
		c.Roles[i].SQL += sql
	}
	c.Database = slices.DeleteFunc(c.Database, func(s DatabaseStatement) bool {
		_, ok := settingOf(s.Value)
		return !ok
	})
	for i, s := range c.Database {
		sql, _ := settingOf(s.Value)
		c.Database[i].After += sql
	}
}

func settingOf(stored *string) (sql string, ok bool) {
	if stored == nil {
		return "", true
	}
	return settingValue(*stored)
}

// script is for psql, and for who has none of our programs.
func (c Contents) script() string {
	var text strings.Builder
	text.WriteString("-- Roles, for psql. Those that exist already are errors; look at what they are before you go on.\n")
	for _, s := range c.Roles {
		text.WriteString(s.SQL + ";\n")
	}
	text.WriteString("-- The database, as psql's variable DBNAME names it.\n")
	for _, s := range c.Database {
		text.WriteString(s.Before + `:"DBNAME"` + s.After + ";\n")
	}
	return text.String()
}

func query[T any](ctx context.Context, tx pgx.Tx, sql string) ([]T, error) {
	rows, err := tx.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}

func one[T any](ctx context.Context, tx pgx.Tx, sql string) (T, error) {
	found, err := query[T](ctx, tx, sql)
	if err != nil || len(found) != 1 {
		var none T
		return none, errors.Join(err, fmt.Errorf("%d rows instead of one", len(found)))
	}
	return found[0], nil
}
