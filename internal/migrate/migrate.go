// Package migrate brings a database schema to a version by running numbered SQL files, each exactly once. It says before
// what it will do and what it will lock.
package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// DefaultLockTimeout is how long a statement waits for a lock before it lets go and tries again.
const DefaultLockTimeout = 5 * time.Second

// Options change how migrations run.
type Options struct {
	// LockTimeout bounds how long a statement waits for one lock, and with it how long others queue up behind it. Zero
	// means [DefaultLockTimeout].
	LockTimeout time.Duration
	// MaxLockedBytes is the size up to which a table may be locked against writes for a time that grows with the table.
	// Nil means any size.
	MaxLockedBytes *int64
	// ProviderVersion and RunID, of HCP Terraform, are recorded with each migration.
	ProviderVersion, RunID string
	// Log receives progress. Nil means silence.
	Log func(ctx context.Context, message string, fields map[string]any)
	// Warn receives the warnings that migrations raise, each once. Nil means that they are only logged.
	Warn func(file, warning string)
}

// Engine runs the migrations of one source on one database.
type Engine struct {
	db      *postgres.DB
	source  Source
	options Options
	known   func() ([]Migration, error)
}

// New returns an engine. It neither connects nor reads the files.
func New(db *postgres.DB, source Source, options Options) *Engine {
	if options.LockTimeout == 0 {
		options.LockTimeout = DefaultLockTimeout
	}
	known := sync.OnceValues(source.load)
	if source.Name == PlatformName {
		known = loadPlatform
	}
	return &Engine{db, source, options, known}
}

// loadPlatform reads the platform's migrations once in a process.
var loadPlatform = sync.OnceValues(Platform.load)

func (e *Engine) log(ctx context.Context, message string, fields map[string]any) {
	if e.options.Log != nil {
		e.options.Log(ctx, message, fields)
	}
}

// Known returns all migrations in ascending order of their versions. There is at least one. Errors are, or join,
// [*BadFileError].
func (e *Engine) Known() ([]Migration, error) { return e.known() }

// migration returns a known one.
func (e *Engine) migration(version int64) Migration {
	known, _ := e.known() // Whoever has a version has it from there.
	i := slices.IndexFunc(known, func(m Migration) bool { return m.Version == version })
	return known[i]
}

// Latest returns the highest known version.
func (e *Engine) Latest() (int64, error) {
	known, err := e.known()
	if err != nil {
		return 0, err
	}
	return known[len(known)-1].Version, nil
}

// Up brings the database to a version, whatever version it has now, and returns the version that it then has.
// Concurrent calls queue up: one migrates, the others then find nothing to do.
func (e *Engine) Up(ctx context.Context, version int64) (int64, error) {
	plan, err := e.outline(ctx, version)
	if err != nil {
		return plan.From, err
	}
	if plan.From > version {
		return plan.From, &DownError{plan.From, version, "is another method's"}
	}
	plan.anyStart = true
	return e.Run(ctx, plan)
}

// Run does what a plan says. A database that is where the plan leads already is left alone; one that is elsewhere than
// where the plan begins is a [*StalePlanError]. It returns the version that the database has afterwards, also beside
// an error.
func (e *Engine) Run(ctx context.Context, plan Plan) (int64, error) {
	known, err := e.known()
	if err != nil {
		return 0, err
	}
	if len(plan.Steps) == 0 && plan.Adopts == 0 {
		return plan.To, nil
	}
	s, err := e.newSession(func(ctx context.Context, s *session) error { return s.prepare(ctx, known, plan) })
	if err != nil {
		return 0, err
	}
	db, err := e.db.SQL()
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }() // It leaves the pool open.
	provider, err := s.provider(db, known)
	if err != nil {
		return 0, err
	}
	down := len(plan.Steps) > 0 && plan.Steps[0].Down
	if down {
		_, err = provider.DownTo(ctx, plan.To)
	} else {
		_, err = provider.UpTo(ctx, plan.To)
	}
	if err == nil {
		return plan.To, nil
	}
	applied, readErr := postgres.AwaitRead(ctx, e.Applied)
	current := Current(applied)
	if s.refusal != nil {
		return current, e.db.Explain(s.refusal)
	}
	var partial *goose.PartialError
	if !errors.As(err, &partial) {
		return current, errors.Join(e.db.Explain(err), readErr)
	}
	failed := e.migration(partial.Failed.Source.Version)
	if postgres.Interrupted(partial.Err) && readErr == nil && (current >= failed.Version) != down {
		// The connection broke while the answer to COMMIT was on its way.
		if current == plan.To {
			return current, nil
		}
		return current, fmt.Errorf("%s was applied, and then %w. The database is at version %d; apply again", failed.Name, e.db.Explain(partial.Err), current)
	}
	// What was recorded in a transaction that did not commit has not run.
	ran := slices.DeleteFunc(s.ran, func(name string) bool { return name == failed.Name })
	return current, &StepError{failed, down, current, ran, partial.Err}
}

const preparedSQL = `
SELECT to_regnamespace('brownie') IS NOT NULL, to_regclass($1) IS NOT NULL,
	EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass($1) AND attname = 'adopted')`

// The statements that make the history, or complete it.
const (
	schemaSQL = `CREATE SCHEMA brownie;`
	tableSQL  = `
CREATE TABLE %[1]s (
	id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
	version_id bigint NOT NULL,
	is_applied boolean NOT NULL,
	tstamp timestamp NOT NULL DEFAULT now(),
	name text,
	sha256 text,
	applied_at timestamptz,
	duration_ms bigint,
	role_name name,
	provider_version text,
	run_id text,
	adopted boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX ON %[1]s (version_id) WHERE is_applied;
INSERT INTO %[1]s (version_id, is_applied) VALUES (0, true);`
	columnsSQL = `
ALTER TABLE %s ADD COLUMN name text, ADD COLUMN sha256 text, ADD COLUMN applied_at timestamptz, ADD COLUMN duration_ms bigint,
	ADD COLUMN role_name name, ADD COLUMN provider_version text, ADD COLUMN run_id text, ADD COLUMN adopted boolean NOT NULL DEFAULT false;`
	// What ran before checksums were recorded is taken to be what the files say now.
	// Whoever migrates next may be another role: the history belongs to whom the schema does.
	handOverSQL = `
DO $$
DECLARE
	owner name := (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'brownie');
BEGIN
	IF owner <> session_user AND pg_has_role(owner, 'SET') AND EXISTS (SELECT FROM pg_class WHERE oid = '%[1]s'::regclass AND relowner = session_user::regrole) THEN
		EXECUTE format('ALTER TABLE %%s OWNER TO %%I', '%[1]s'::regclass, owner);
	END IF;
END
$$;`
	fillInSQL = `UPDATE %s SET name = $2, sha256 = $3 WHERE version_id = $1 AND sha256 IS NULL RETURNING version_id`
)

// prepare makes the history, or completes that of an older version of the provider, adopts a schema that others made,
// and checks, now that nobody else can migrate, that the plan still holds.
func (s *session) prepare(ctx context.Context, known []Migration, plan Plan) error {
	table := s.engine.source.historyTable()
	var schemaThere, tableThere, complete bool
	if err := s.conn.QueryRowContext(ctx, preparedSQL, table).Scan(&schemaThere, &tableThere, &complete); err != nil {
		return err
	}
	missing := ""
	if !schemaThere {
		missing = schemaSQL
	}
	if !tableThere {
		missing += fmt.Sprintf(tableSQL, table)
	} else if !complete {
		missing += fmt.Sprintf(columnsSQL, table)
	}
	missing += fmt.Sprintf(handOverSQL, table)
	tx, err := s.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // Without effect after Commit.
	if _, err := tx.ExecContext(ctx, missing); err != nil {
		return fmt.Errorf("cannot make the table %s, which remembers what ran: %w", table, err)
	}
	if tableThere || plan.From > 0 {
		if err := s.check(ctx, tx, known, plan); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// check compares what is there with what the plan expects.
func (s *session) check(ctx context.Context, tx *sql.Tx, known []Migration, plan Plan) error {
	applied, err := s.applied(ctx, tx)
	if err == nil && len(applied) == 0 && plan.Adopts > 0 {
		if err = s.adopt(ctx, tx, known, plan.Adopts); err == nil {
			applied, err = s.applied(ctx, tx)
		}
	}
	if err != nil {
		return err
	}
	var fills []postgres.Statement
	for _, a := range applied {
		if i := slices.IndexFunc(known, func(m Migration) bool { return m.Version == a.Version }); i >= 0 && a.SHA256 == "" {
			fills = append(fills, postgres.Statement{
				SQL: fmt.Sprintf(fillInSQL, s.engine.source.historyTable()), Args: []any{a.Version, known[i].Name, known[i].SHA256},
			})
		}
	}
	if len(fills) > 0 {
		if _, err := s.asOwner(ctx, tx, fills...); err != nil {
			return err
		}
	}
	if err := verify(known, applied); err != nil {
		return err
	}
	current := Current(applied)
	if current != plan.To && current != plan.From && !plan.anyStart {
		return &StalePlanError{plan.From, current, plan.To}
	}
	for _, step := range plan.Steps {
		if m := s.engine.migration(step.Version); m.SHA256 != step.SHA256 {
			return &HistoryError{[]string{fmt.Sprintf("%s was changed after the plan was made: plan again", m.Name)}}
		}
	}
	return nil
}

// applied reads the history with the lock.
func (s *session) applied(ctx context.Context, tx *sql.Tx) ([]Applied, error) {
	rows, err := s.asOwner(ctx, tx, postgres.Statement{SQL: fmt.Sprintf(appliedSQL, s.engine.source.historyTable())})
	if err != nil {
		return nil, err
	}
	return postgres.DecodeRowsOfOwner[Applied](rows)
}
