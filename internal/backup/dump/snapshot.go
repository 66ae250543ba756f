package dump

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/artifact"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

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

// PrepareSession makes a session show all values as any other does, and not end while others read with its snapshot.
func PrepareSession(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, settingsSQL)
	return err
}

// Hidden names tables of which the session may not see all rows; empty is none.
func Hidden(ctx context.Context, tx pgx.Tx) (string, error) {
	found, err := one[hidden](ctx, tx, `SELECT (`+hiddenSQL+`) AS hidden`)
	switch denied := (*pgconn.PgError)(nil); {
	case errors.As(err, &denied) && denied.Code == "42501": // Who may not even ask is a tenant.
		return "other tenants", nil
	case err != nil || found.Hidden == nil:
		return "", err
	}
	return *found.Hidden, nil
}

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

// hiddenError says that a backup would lack rows.
func hiddenError(tables *string) error {
	if tables == nil {
		return nil
	}
	return problem.New("the role of this session may not see all rows of "+*tables+", so that the backup would lack some",
		"Log in as a role with access `backup` (brownie_role) whose valid_until has not passed. If it is one, apply its brownie_role "+
			"again, which takes it out of groups that it was in before; policies that the migrations did not make must not be for it. A "+
			"role with BYPASSRLS sees all, too")
}

func (s snapshot) manifest() (m artifact.Manifest, err error) {
	m.LargeObjectsLeftOut = s.UnreadableObjects
	m.Server, m.SystemIdentifier, m.SchemaVersion, m.SnapshotAt = s.Server, s.SystemIdentifier, s.SchemaVersion, s.At.UTC()
	return m, json.Unmarshal([]byte(s.Database), &m.Database)
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
