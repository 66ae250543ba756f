package migrate

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
	"github.com/sethvargo/go-retry"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// session is the one connection that a run of migrations uses, from the moment that it has the lock. goose decides what
// runs; it comes here to lock, to run a migration's statements and to record what ran.
type session struct {
	database.Store // reads goose's own columns
	engine         *Engine
	// locked is called once, with the lock, before anything runs.
	locked func(ctx context.Context, s *session) error

	conn  *sql.Conn         // nil without the lock
	runs  Migration         // the one that runs
	began time.Time         // when it did
	ran   []string          // what was applied so far
	heard []postgres.Notice // what the server said while it ran, each once: a file that starts anew says it again
	// refusal is why nothing ran, as it was before goose wrapped it.
	refusal error
}

var _ lock.SessionLocker = (*session)(nil)

func (e *Engine) newSession(locked func(context.Context, *session) error) (*session, error) {
	store, err := database.NewStore(database.DialectPostgres, "brownie."+e.source.table())
	return &session{Store: store, engine: e, locked: locked}, err
}

// provider returns a goose that runs the migrations on this session.
func (s *session) provider(db *sql.DB, known []Migration) (*goose.Provider, error) {
	var migrations []*goose.Migration
	for _, m := range known {
		migrations = append(migrations, goose.NewGoMigration(m.Version, s.run(m, m.up), s.run(m, m.down)))
	}
	return goose.NewProvider(goose.DialectCustom, db, nil, goose.WithStore(s), goose.WithSessionLocker(s),
		goose.WithGoMigrations(migrations...), goose.WithDisableGlobalRegistry(true))
}

// A migration may take long, and may be idle between two attempts to get a lock; time limits of the role or the database
// are for its clients.
const tryLockSQL = `
SELECT pg_catalog.pg_try_advisory_lock($1), pg_catalog.set_config('statement_timeout', '0', false),
	pg_catalog.set_config('idle_in_transaction_session_timeout', '0', false), pg_catalog.set_config('idle_session_timeout', '0', false)`

// SessionLock waits until no other run of migrations has the lock, by asking again and again: a session that waits in
// the server would make CREATE INDEX CONCURRENTLY of the lock's holder wait for it.
func (s *session) SessionLock(ctx context.Context, conn *sql.Conn) error {
	told := false
	err := retry.Do(ctx, patience(), func(ctx context.Context) error {
		var got bool
		// Whoever uses goose's library with its lock takes the same; goose's own program takes none.
		if err := conn.QueryRowContext(ctx, tryLockSQL, lock.DefaultLockID).Scan(&got, new(string), new(string), new(string)); err != nil || got {
			return err
		}
		if !told {
			s.engine.log(ctx, waiting, nil)
		}
		told = true
		return retry.RetryableError(errLocked)
	})
	if err != nil {
		return err
	}
	s.conn = conn
	if err = postgres.ReceiveNotices(conn, func(n postgres.Notice) { s.hear(ctx, n) }); err == nil {
		err = s.locked(ctx, s)
	}
	if err != nil {
		s.refusal = err
		return errors.Join(err, s.SessionUnlock(context.WithoutCancel(ctx), conn)) // goose unlocks only what it has locked.
	}
	return nil
}

// resetSQL gives up the lock, and what a migration may have left on the connection, but no prepared statement: the driver
// knows those.
const resetSQL = `SELECT pg_catalog.pg_advisory_unlock_all(); SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DISCARD TEMP; DISCARD SEQUENCES`

// SessionUnlock makes the connection as it was.
func (s *session) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	s.conn = nil
	_ = postgres.ReceiveNotices(conn, nil) // It fails on a broken connection only, which says nothing more.
	if _, err := conn.ExecContext(ctx, resetSQL); err == nil {
		return nil
	}
	_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // so that nobody uses it any more
	return nil
}

// TableExists keeps goose from making its table: that is done with the lock, see [Engine.prepare].
func (s *session) TableExists(context.Context, database.DBTxConn) (bool, error) { return true, nil }

// ListMigrations answers goose's first question, whether there is anything to do at all, which it asks without the lock
// and which the engine has answered already, and its second, what ran, last first.
func (s *session) ListMigrations(ctx context.Context, _ database.DBTxConn) ([]*database.ListMigrationsResult, error) {
	if s.conn == nil {
		return nil, nil
	}
	tx, err := s.conn.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()
	applied, err := s.applied(ctx, tx)
	var results []*database.ListMigrationsResult
	for _, a := range slices.Backward(applied) {
		results = append(results, &database.ListMigrationsResult{Version: a.Version, IsApplied: true})
	}
	return append(results, &database.ListMigrationsResult{IsApplied: true}), err
}

// run is a migration as goose calls it.
func (s *session) run(m Migration, statements []statement) *goose.GoFunc {
	if m.transaction {
		return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			s.begin(ctx, m)
			return s.inTransaction(ctx, tx, m, statements)
		}}
	}
	return &goose.GoFunc{RunDB: func(ctx context.Context, _ *sql.DB) error {
		s.begin(ctx, m)
		return s.oneByOne(ctx, m, statements)
	}}
}

func (s *session) begin(ctx context.Context, m Migration) {
	s.runs, s.began, s.heard = m, time.Now(), nil
	s.engine.log(ctx, "migration begins", map[string]any{"file": m.Name, "version": m.Version})
}

// hear passes on what the server says while a migration runs.
func (s *session) hear(ctx context.Context, notice postgres.Notice) {
	if slices.Contains(s.heard, notice) {
		return
	}
	s.heard = append(s.heard, notice)
	s.engine.log(ctx, "server says", map[string]any{"file": s.runs.Name, "severity": notice.Severity, "text": notice.Text})
	if notice.Severity == "WARNING" && s.engine.options.Warn != nil {
		s.engine.options.Warn(s.runs.Name, notice.Text)
	}
}

// attempts is how often a lock is waited for.
const attempts = 30

// lockBackoff pauses between attempts, at last for as long as one takes: with the default lock_timeout, all of them take
// about five minutes.
func (s *session) lockBackoff() retry.Backoff {
	longest := s.engine.options.LockTimeout
	return retry.WithMaxRetries(attempts-1, retry.WithJitterPercent(30,
		retry.WithCappedDuration(longest, retry.NewExponential(min(200*time.Millisecond, longest)))))
}

const holdersSQL = `
SELECT pg_catalog.format('process %s of role %I (%s, since %s)', pid, usename, coalesce(nullif(application_name, ''), 'no name'),
	pg_catalog.to_char(pg_catalog.timezone('UTC', xact_start), 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
FROM pg_catalog.pg_stat_activity
WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()
	AND xact_start < pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $1::pg_catalog.float8)
ORDER BY xact_start LIMIT 5`

// gaveUp tells who may have held a lock that was never to be had.
func (s *session) gaveUp(ctx context.Context, db database.DBTxConn, err error) error {
	var failed *statementError
	if !postgres.RolledBack(err) || !errors.As(err, &failed) {
		return err
	}
	timeout := s.engine.options.LockTimeout
	rows, queryErr := db.QueryContext(ctx, holdersSQL, timeout.Seconds())
	if queryErr != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var holders []string
	for rows.Next() {
		var holder string
		if rows.Scan(&holder) == nil {
			holders = append(holders, holder)
		}
	}
	text := fmt.Sprintf("no lock was to be had in %d attempts of %s", attempts, timeout)
	if rows.Err() == nil && len(holders) > 0 {
		text += ". These transactions are open: " + strings.Join(holders, ", ") + ". Let them end, or end them with pg_terminate_backend"
	}
	return &statementError{failed.line, failed.sql, &waitError{text, failed.cause}}
}

// Each file begins with the same settings, whatever the one before it left, so that it makes no difference how many files
// one apply runs.
//
// The platform's files qualify all names and keep the connection's own search_path. Those of others run with what their role
// begins a session with otherwise; what the server's configuration file says nobody but a superuser can see.
const (
	searchPathSQL = `(
	SELECT coalesce((
		SELECT pg_catalog.substr(setting, 13) FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) AS setting
		WHERE setting LIKE 'search\_path=%' AND s.setrole IN (0, session_user::regrole)
			AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
		ORDER BY s.setrole = 0, s.setdatabase = 0 LIMIT 1), boot_val)
	FROM pg_catalog.pg_settings WHERE name = 'search_path')`
	ownPathSQL   = ` SELECT pg_catalog.set_config('search_path', ` + searchPathSQL + `, false);`
	resetRoleSQL = `SET SESSION AUTHORIZATION DEFAULT; RESET ROLE;`
	settingsSQL  = resetRoleSQL + ` RESET ALL; SET statement_timeout = 0; ` +
		`SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0;`
	savepointSQL = `SET lock_timeout = %d; SAVEPOINT brownie_migration`
	rollbackSQL  = `ROLLBACK TO SAVEPOINT brownie_migration`
	timeoutSQL   = `SET lock_timeout = %d`
)

func (s *session) settings() string {
	if s.engine.source.Name == PlatformName {
		return settingsSQL
	}
	return settingsSQL + ownPathSQL
}

// inTransaction runs all statements of a file. When one of them does not get a lock in time, all locks are given up, so
// that whoever waits behind them goes on, and the file starts anew.
func (s *session) inTransaction(ctx context.Context, tx *sql.Tx, m Migration, statements []statement) error {
	if _, err := tx.ExecContext(ctx, s.settings()+fmt.Sprintf(savepointSQL, s.engine.options.LockTimeout.Milliseconds())); err != nil {
		return err
	}
	err := retry.Do(ctx, s.lockBackoff(), func(ctx context.Context) error {
		failed := execute(ctx, tx, statements)
		if failed == nil {
			return nil
		}
		if !postgres.RolledBack(failed) {
			return failed
		}
		if _, err := tx.ExecContext(ctx, rollbackSQL); err != nil {
			return err
		}
		s.waits(ctx, m, failed)
		return retry.RetryableError(failed)
	})
	if err == nil {
		err = s.resetRole(ctx, tx, m)
	}
	return s.gaveUp(ctx, tx, err)
}

var assumesRole = regexp.MustCompile(`(?i)\bSET\s+(SESSION\s+|LOCAL\s+)?(ROLE|AUTHORIZATION)\b|\bset_config\b`)

// resetRole takes back the role that a file has assumed and kept, which may not be one that can record it.
func (s *session) resetRole(ctx context.Context, db database.DBTxConn, m Migration) error {
	if !assumesRole.MatchString(m.text) {
		return nil // A round trip is saved.
	}
	_, err := db.ExecContext(ctx, resetRoleSQL)
	return err
}

// execute runs statements up to the first that fails.
func execute(ctx context.Context, db database.DBTxConn, statements []statement) *statementError {
	for _, st := range statements {
		if _, err := db.ExecContext(ctx, st.sql); err != nil {
			return failedStatement(st, err)
		}
	}
	return nil
}

// concurrently tells statements that wait for transactions to end, but let everybody read and write meanwhile; to give
// up would leave an INVALID index.
var concurrently = regexp.MustCompile(`(?is)^(?:\s+|--[^\n]*\n|/\*.*?\*/)*(?:CREATE\s+(?:UNIQUE\s+)?INDEX|DROP\s+INDEX|REINDEX\s+(?:\([^)]*\)\s*)?\w+)\s+CONCURRENTLY\b`)

// oneByOne runs the statements of a file that has no transaction.
func (s *session) oneByOne(ctx context.Context, m Migration, statements []statement) error {
	if _, err := s.conn.ExecContext(ctx, s.settings()); err != nil {
		return err
	}
	timeout := time.Duration(-1)
	for _, st := range statements {
		wanted := s.engine.options.LockTimeout
		if concurrently.MatchString(st.sql) {
			wanted = 0 // for ever
		}
		if wanted != timeout {
			if _, err := s.conn.ExecContext(ctx, fmt.Sprintf(timeoutSQL, wanted.Milliseconds())); err != nil {
				return err
			}
		}
		timeout = wanted
		if err := s.alone(ctx, m, st, timeout); err != nil {
			return errors.Join(s.gaveUp(ctx, s.conn, err), s.invalidIndexes(ctx, m))
		}
	}
	if err := s.resetRole(ctx, s.conn, m); err != nil {
		return err
	}
	return s.invalidIndexes(ctx, m)
}

// alone runs a statement that is a transaction of its own.
func (s *session) alone(ctx context.Context, m Migration, st statement, timeout time.Duration) error {
	return retry.Do(ctx, s.lockBackoff(), func(ctx context.Context) error {
		failed := execute(ctx, s.conn, []statement{st})
		switch {
		case failed == nil:
			return nil
		case timeout == 0 || !postgres.RolledBack(failed):
			return failed
		}
		s.waits(ctx, m, failed)
		return retry.RetryableError(failed)
	})
}

func (s *session) waits(ctx context.Context, m Migration, failed *statementError) {
	s.engine.log(ctx, "migration waits for a lock", map[string]any{"file": m.Name, "line": failed.line, "answer": serverMessage(failed.cause)})
}

const invalidIndexesSQL = `
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), c.relname, CASE WHEN pg_catalog.pg_table_is_visible(c.oid) THEN '' ELSE n.nspname END
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i'
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = c.oid AND p.datname = current_database())
ORDER BY 1`

// invalidIndexes looks for indexes that this file, or an interrupted attempt to run it, began and did not finish.
func (s *session) invalidIndexes(ctx context.Context, m Migration) error {
	rows, err := s.conn.QueryContext(ctx, invalidIndexesSQL)
	if err != nil {
		return nil // The connection is broken, and whatever broke it is reported.
	}
	defer func() { _ = rows.Close() }()
	var found []string
	for rows.Next() {
		var qualified, name, schema string // The schema is empty if the name alone finds the index.
		if err := rows.Scan(&qualified, &name, &schema); err != nil {
			return err
		}
		if mentions(m.text, name) && (schema == "" || mentions(m.text, schema)) {
			found = append(found, qualified)
		}
	}
	if len(found) == 0 {
		return rows.Err()
	}
	return &InvalidIndexError{m.Name, found}
}

// mentions tells whether a file's text contains a name.
func mentions(text, name string) bool {
	return regexp.MustCompile(`(?i)\b` + regexp.QuoteMeta(name) + `\b`).MatchString(text)
}
