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
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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
		if _, err := conn.Exec(ctx, settingsSQL); err != nil {
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

// begin takes the snapshot, after the locks: TRUNCATE, and ALTER TABLE where it writes a table anew, empty it for older snapshots. A table
// that is made or dropped meanwhile makes it begin again.
func begin(ctx context.Context, conn *pgx.Conn) (tx pgx.Tx, s snapshot, all []Table, err error) {
	for range 10 {
		before, err := tables(ctx, conn)
		if err != nil {
			return nil, s, nil, err
		}
		if tx, err = conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}); err != nil {
			return nil, s, nil, err
		}
		s, all, err = snapshotOf(ctx, tx, before)
		if err == nil && sameNames(before, all) {
			return tx, s, all, nil
		}
		_ = tx.Rollback(context.WithoutCancel(ctx))
		if err != nil && !isGone(err) {
			return nil, s, nil, err
		}
	}
	return nil, s, nil, problem.New("tables are made and dropped all the time, so that they cannot be locked",
		"Run the backup at another time")
}

// isGone tells that a table was dropped before it was locked.
func isGone(err error) bool {
	var told *pgconn.PgError
	return errors.As(err, &told) && (told.Code == "42P01" || told.Code == "3F000")
}

func sameNames(a, b []Table) bool {
	names := func(all []Table) []string {
		var found []string
		for _, t := range all {
			found = append(found, t.Name)
		}
		slices.Sort(found)
		return found
	}
	return slices.Equal(names(a), names(b))
}

// snapshotOf locks tables, and then takes the snapshot: LOCK takes none.
func snapshotOf(ctx context.Context, tx pgx.Tx, all []Table) (s snapshot, found []Table, err error) {
	for _, t := range all {
		if _, err := tx.Exec(ctx, `LOCK TABLE ONLY `+t.Name+` IN ACCESS SHARE MODE`); err != nil {
			return s, nil, err
		}
	}
	if s, err = one[snapshot](ctx, tx, snapshotSQL); err != nil {
		return s, nil, err
	}
	if err := hiddenError(s.Hidden); err != nil {
		return s, nil, err
	}
	found, err = tables(ctx, tx)
	return s, found, err
}

// snapshot is the moment that is written, and what is there then.
type snapshot struct {
	ID               string    `db:"id"`
	At               time.Time `db:"at"`
	Server           string    `db:"server"`
	ServerNumber     int32     `db:"server_number"`
	SystemIdentifier string    `db:"system_identifier"`
	SchemaVersion    int64     `db:"schema_version"`
	Hidden           *string   `db:"hidden"`
	// UnreadableObjects are large objects that pg_dump could not read. They are no part of what this project keeps, and whoever may make
	// one must not thereby end all backups: so all are left out.
	UnreadableObjects int64  `db:"unreadable_objects"`
	Database          string `db:"database"`
}

// A session that must not end while others read with its snapshot, and shows all values as any other does.
const settingsSQL = `
	SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; SET extra_float_digits = 1; SET bytea_output = 'hex';
	SET row_security = on;
	SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings
	WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'lock_timeout', 'transaction_timeout')`

// Tables of which this session, and so pg_dump, may see only some rows. A policy that reads a view of ours counts as one that hides all:
// pg_dump has the server refuse it.
const hiddenSQL = `
	SELECT pg_catalog.string_agg(c.oid::pg_catalog.regclass::text, ', ' ORDER BY c.oid::pg_catalog.regclass::text)
	FROM pg_catalog.pg_class c, LATERAL (
		SELECT pg_catalog.bool_or(qual = 'true' OR qual = '( SELECT brownie.backs_up() AS backs_up)' AND CASE
				WHEN pg_catalog.has_function_privilege('brownie.backs_up()', 'EXECUTE') THEN brownie.backs_up() END)
				FILTER (WHERE polpermissive) AS shows, pg_catalog.bool_or(qual <> 'true') FILTER (WHERE NOT polpermissive) AS hides
		FROM (SELECT *, coalesce(pg_catalog.pg_get_expr(polqual, polrelid), 'true') AS qual FROM pg_catalog.pg_policy) AS policy
		WHERE polrelid = c.oid AND polcmd IN ('r', '*')
			AND EXISTS (SELECT FROM pg_catalog.unnest(polroles) AS r WHERE r = 0 OR pg_catalog.pg_has_role(r, 'USAGE'))
	) AS policies
	WHERE c.relkind IN ('r', 'p') AND pg_catalog.row_security_active(c.oid) AND (shows IS NOT TRUE OR hides)`

const snapshotSQL = `
	SELECT pg_catalog.pg_export_snapshot() AS id, pg_catalog.transaction_timestamp() AS at,
		pg_catalog.current_setting('server_version') AS server, pg_catalog.current_setting('server_version_num')::int AS server_number,
		(SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS system_identifier,
		(SELECT coalesce(max(version_id), 0) FROM brownie.goose_db_version WHERE is_applied) AS schema_version,
		(` + hiddenSQL + `) AS hidden,
		(SELECT count(*) FROM pg_catalog.pg_largeobject_metadata o WHERE NOT pg_catalog.pg_has_role(o.lomowner, 'USAGE')
			AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)) AS unreadable_objects,
		(SELECT pg_catalog.json_build_object('name', datname, 'encoding', pg_catalog.pg_encoding_to_char(encoding),
			'locale_provider', CASE datlocprovider WHEN 'b' THEN 'builtin' WHEN 'i' THEN 'icu' ELSE 'libc' END,
			'collate', datcollate, 'ctype', datctype, 'locale', coalesce(j->>'datlocale', j->>'daticulocale'))::text
		FROM pg_catalog.pg_database d, pg_catalog.to_jsonb(d) AS j WHERE datname = pg_catalog.current_database()) AS database`

// hidden are tables of which rows may be hidden.
type hidden struct{ Hidden *string }

// HiddenRowsError says that a backup would lack rows.
type HiddenRowsError struct{ *problem.Problem }

func hiddenError(tables *string) error {
	if tables == nil {
		return nil
	}
	return &HiddenRowsError{problem.New("the role of this session may not see all rows of "+*tables+", so that the backup would lack some",
		"Log in as a role with access `backup` (brownie_role) whose valid_until has not passed. If it is one, apply its brownie_role "+
			"again, which takes it out of groups that it was in before; policies that the migrations did not make must not be for it. A "+
			"role with BYPASSRLS sees all, too")}
}

func (s snapshot) manifest() (m artifact.Manifest, err error) {
	m.LargeObjectsLeftOut = s.UnreadableObjects
	m.Server, m.SystemIdentifier, m.SchemaVersion, m.SnapshotAt = s.Server, s.SystemIdentifier, s.SchemaVersion, s.At.UTC()
	return m, json.Unmarshal([]byte(s.Database), &m.Database)
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

// Tables whose rows pg_dump writes: of an extension's it writes none unless the extension asks for it.
const tablesSQL = `
	SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, pg_catalog.pg_table_size(c.oid) AS bytes
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
			WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
	ORDER BY 2 DESC, 1`

// querier is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func tables(ctx context.Context, from querier) ([]Table, error) {
	rows, err := from.Query(ctx, tablesSQL)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (t Table, err error) { return t, row.Scan(&t.Name, &t.bytes) })
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
