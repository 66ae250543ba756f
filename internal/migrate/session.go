package migrate

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/sethvargo/go-retry"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// This file is about the connection of a run: its lock, its settings, and what others do beside it.

// lockID is the advisory lock of goose's library. goose's own program takes none.
const lockID int64 = 4097083626

const tryLockSQL = `SELECT pg_catalog.pg_try_advisory_lock($1)`

// lock waits until no other run of migrations has the lock, by asking again and again: a session that waits in the server would make
// CREATE INDEX CONCURRENTLY of the lock's holder wait for it.
func (r *run) lock(ctx context.Context) error {
	if err := r.send(ctx, resets...); err != nil {
		return err
	}
	holder := ""
	err := retry.Do(ctx, patience(), func(ctx context.Context) error {
		var got bool
		if err := r.conn.QueryRow(ctx, tryLockSQL, lockID).Scan(&got); err != nil || got {
			return err
		}
		if holder == "" {
			if err := r.conn.QueryRow(ctx, lockHolderSQL, lockID).Scan(&holder); err == nil {
				r.log(ctx, waiting, map[string]any{"for": holder})
			}
		}
		return retry.RetryableError(errLocked)
	})
	if errors.Is(err, errLocked) {
		return problem.New(fmt.Sprintf("%s: %s", errLocked, holder), "Let it end, or end it with pg_terminate_backend, and apply "+
			"again").Because(err)
	}
	return err
}

// A bigint key is stored in two halves (PostgreSQL manual, pg_locks).
const lockHolderSQL = `SELECT ` + sessionSQL + `
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity s ON s.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND (l.classid::bigint << 32) + l.objid::bigint = $1
	AND s.datname = pg_catalog.current_database()`

// unlockSQL gives up the lock, and what a migration may have left on the connection.
const unlockSQL = `SELECT pg_catalog.pg_advisory_unlock_all(); SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DISCARD TEMP;
	DISCARD SEQUENCES`

// unlock makes the connection as it was, or ends it, so that nobody uses it any more.
func (r *run) unlock(ctx context.Context) {
	r.rollback(ctx)
	if _, err := r.conn.Exec(ctx, unlockSQL); err != nil {
		_ = r.conn.Close(ctx)
	}
}

func (r *run) inTransaction() bool { return r.conn.PgConn().TxStatus() != 'I' }

// rollback ends the transaction, if there is one. It fails on a broken connection only, whose transaction the server ends.
func (r *run) rollback(ctx context.Context) {
	if r.inTransaction() {
		_, _ = r.conn.Exec(ctx, "ROLLBACK")
	}
}

// sql is statements that are not of the file.
func sql(texts ...string) []statement {
	statements := make([]statement, len(texts))
	for i, text := range texts {
		statements[i].sql = text
	}
	return statements
}

// resets undo what somebody else has set, a file or what runs with the owner's rights: a role, a path, whatever else. A migration
// may take long, and may be idle between two attempts to get a lock; time limits of the role or the database are for its clients.
var resets = sql(`SET SESSION AUTHORIZATION DEFAULT`, `RESET ROLE`, `RESET ALL`, `SET statement_timeout = 0`,
	`SET idle_in_transaction_session_timeout = 0`, `SET idle_session_timeout = 0`)

// searchPathSQL is what the login begins a session with, as far as others than superusers can see.
const searchPathSQL = `(
	SELECT coalesce((
		SELECT pg_catalog.substr(setting, 13) FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) AS setting
		WHERE pg_catalog.starts_with(setting, 'search_path=') AND s.setrole IN (0, session_user::regrole)
			AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
		ORDER BY s.setrole = 0, s.setdatabase = 0 LIMIT 1), boot_val)
	FROM pg_catalog.pg_settings WHERE name = 'search_path')`

// settings are what each file begins with, whatever the one before it left, so that it makes no difference how many files one
// apply runs. The platform's files qualify all names and keep the connection's own search_path; what they generate is to be the same
// in every database.
func (r *run) settings() []statement {
	if r.source.Name == PlatformName {
		return append(resets[:len(resets):len(resets)], sql(`SET quote_all_identifiers = off`, `SET standard_conforming_strings = on`,
			`SET escape_string_warning = off`)...)
	}
	return append(resets[:len(resets):len(resets)], sql(`SELECT pg_catalog.set_config('search_path', `+searchPathSQL+`, false)`)...)
}

func lockTimeout(d time.Duration) string {
	return fmt.Sprintf("SET lock_timeout = %d", d.Milliseconds())
}

// Everybody may ask who blocks a session, and see the locks of all. Since when others' transactions are open is shown to their own
// role and to pg_read_all_stats only.
const sessionSQL = `
	coalesce(pg_catalog.format('process %s of role %I (%s', s.pid, s.usename, coalesce(nullif(s.application_name, ''), 'no name')) ||
	coalesce(', since ' || pg_catalog.to_char(pg_catalog.timezone('UTC', s.xact_start), 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), '') || ')',
	'a prepared transaction (pg_prepared_xacts)')`

const (
	blockersSQL = `SELECT ` + sessionSQL + ` || coalesce(' with ' || (
	SELECT pg_catalog.string_agg(DISTINCT pg_catalog.format('%s on %s', held.mode, held.relation::regclass), ', ')
	FROM pg_catalog.pg_locks held JOIN pg_catalog.pg_locks wanted
		ON wanted.pid = $1 AND NOT wanted.granted AND wanted.locktype = 'relation' AND wanted.relation = held.relation
	WHERE held.pid = s.pid AND held.granted), '') AS told
FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids($1)) AS blocker (pid) LEFT JOIN pg_catalog.pg_stat_activity s ON s.pid = blocker.pid
ORDER BY 1 LIMIT 5`
	holdersSQL = `SELECT ` + sessionSQL + ` || ' with locks on ' || pg_catalog.string_agg(DISTINCT c.oid::regclass::text, ', ')
FROM pg_catalog.pg_locks held
JOIN pg_catalog.pg_class c ON c.oid = held.relation AND c.relkind IN ('r', 'p', 'm') AND c.oid >= 16384
LEFT JOIN pg_catalog.pg_stat_activity s ON s.pid = held.pid
WHERE held.granted AND held.locktype = 'relation' AND held.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
	AND held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
GROUP BY s.pid, s.usename, s.application_name, s.xact_start ORDER BY s.xact_start, s.pid LIMIT 5`
)

// watch asks on another connection who keeps this run waiting, again and again until stop is called.
func (r *run) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	r.blockers = nil
	pid := int32(r.conn.PgConn().PID()) //nolint:gosec // The server's type for it is this one.
	var group sync.WaitGroup
	group.Go(func() {
		for ctx.Err() == nil {
			found, err := postgres.Query[struct{ Told string }](ctx, r.db, blockersSQL, pid)
			if err == nil && len(found) > 0 {
				r.blockers = nil
				for _, each := range found {
					r.blockers = append(r.blockers, each.Told)
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(r.options.LockTimeout / 4):
			}
		}
	})
	return func() {
		cancel()
		group.Wait()
	}
}

// inTheWay tells who had a lock that was never to be had: who was seen to block this run or, where the only connection was this run's,
// who has locks on tables now.
func (r *run) inTheWay(ctx context.Context) string {
	who, found := "These sessions held it: ", r.blockers
	if len(found) == 0 {
		rows, err := r.conn.Query(ctx, holdersSQL)
		if err == nil {
			found, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if who = "These sessions hold locks on tables: "; err != nil || len(found) == 0 {
			return ""
		}
	}
	return ". " + who + strings.Join(found, "; ") + ". Let them end, or end them with pg_terminate_backend"
}

const invalidIndexesSQL = `
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS qualified, c.relname::text AS name,
	CASE WHEN pg_catalog.pg_table_is_visible(c.oid) THEN '' ELSE n.nspname::text END AS schema
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i'
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = c.oid AND p.datname = current_database())
ORDER BY 1`

// checkIndexes looks for indexes that this file, or an interrupted attempt to run it, began and did not finish.
func (r *run) checkIndexes(ctx context.Context) error {
	rows, err := r.conn.Query(ctx, invalidIndexesSQL)
	if err != nil {
		return nil //nolint:nilerr // The connection is broken, and whatever broke it is reported.
	}
	type index struct{ Qualified, Name, Schema string } // The schema is empty if the name alone finds the index.
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[index])
	var found []string
	for _, i := range all {
		if mentions(r.now.text, i.Name) && (i.Schema == "" || mentions(r.now.text, i.Schema)) {
			found = append(found, i.Qualified)
		}
	}
	if len(found) == 0 {
		return err
	}
	return invalidIndexError(r.now.Name, found)
}

// mentions tells whether a file's text contains a name.
func mentions(text, name string) bool {
	return regexp.MustCompile(`(?i)\b` + regexp.QuoteMeta(name) + `\b`).MatchString(text)
}
