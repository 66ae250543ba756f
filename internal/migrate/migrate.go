// Package migrate brings a database schema to a version by running numbered SQL files.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Migration is one numbered SQL file.
type Migration struct {
	Version int64
	Name    string // the file's name
}

// Engine runs the migrations of one folder on one database.
type Engine struct {
	db    *postgres.DB
	files fs.FS
}

// New returns an engine. It neither connects nor reads the files.
func New(db *postgres.DB, files fs.FS) *Engine {
	return &Engine{db: db, files: files}
}

// AheadError says that the database has a version that the files do not reach.
type AheadError struct {
	Current, Latest int64
}

func (e *AheadError) Error() string {
	return fmt.Sprintf("the database is at version %d, but the latest known migration is %d. Nothing was changed; "+
		"use a provider version that knows migration %d", e.Current, e.Latest, e.Current)
}

// DownError says that the requested version lies below the database's.
type DownError struct {
	Current, Wanted int64
}

func (e *DownError) Error() string {
	return fmt.Sprintf("the database is at version %d, and going down to version %d is not supported. Nothing was "+
		"changed; set version to %d or higher", e.Current, e.Wanted, e.Current)
}

// StepError says which migration failed and where that leaves the database.
type StepError struct {
	Failed  Migration
	Current int64 // the version that the database is left at
	cause   error
}

func (e *StepError) Error() string {
	return fmt.Sprintf("migration %s failed: %s. The database stays at version %d; repair the cause and apply again",
		e.Failed.Name, serverMessage(e.cause), e.Current)
}

func (e *StepError) Unwrap() error { return e.cause }

// Known returns all migrations in ascending order of their versions.
func (e *Engine) Known() ([]Migration, error) {
	names, err := fs.Glob(e.files, "*.sql")
	if err != nil {
		return nil, err
	}
	known := make([]Migration, 0, len(names))
	for _, name := range names { // fs.Glob sorts, and versions are zero-padded
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, fmt.Errorf("%s is not a migration: its name must begin with a number and an underscore: %w", name, err)
		}
		known = append(known, Migration{version, path.Base(name)})
	}
	if len(known) == 0 {
		return nil, errors.New("there is no migration")
	}
	return known, nil
}

// Latest returns the highest known version.
func (e *Engine) Latest() (int64, error) {
	known, err := e.Known()
	if err != nil {
		return 0, err
	}
	return known[len(known)-1].Version, nil
}

const currentSQL = `
SELECT coalesce(max(version_id), 0) AS version FROM brownie.goose_db_version WHERE is_applied`

// Current returns the version that the database is at; 0 means that no migration ever ran. It changes nothing.
func (e *Engine) Current(ctx context.Context) (int64, error) {
	row, err := postgres.QueryOne[struct{ Version int64 }](ctx, e.db, currentSQL)
	if errors.Is(err, postgres.ErrNotMigrated) {
		return 0, nil
	}
	return row.Version, err
}

// Up runs the pending migrations up to a version, each in a transaction of its own, and returns the version that the
// database is at afterwards. Concurrent calls queue up: one migrates, the others then find nothing to do.
func (e *Engine) Up(ctx context.Context, version int64) (int64, error) {
	latest, err := e.Latest()
	if err != nil {
		return 0, err
	}
	provider, err := e.provider()
	if err != nil {
		return 0, err
	}
	// A look before anything is locked or written keeps a wrong request from creating the version table.
	if current, err := e.Current(ctx); err != nil {
		return 0, err
	} else if current > latest {
		return current, &AheadError{current, latest}
	} else if current > version {
		return current, &DownError{current, version}
	}
	_, err = provider.UpTo(ctx, version)
	current, currentErr := postgres.AwaitRead(ctx, e.Current)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		failed := Migration{partial.Failed.Source.Version, path.Base(partial.Failed.Source.Path)}
		return current, &StepError{failed, current, partial.Err}
	}
	return current, errors.Join(err, currentErr)
}

func (e *Engine) provider() (*goose.Provider, error) {
	db, err := e.db.SQL()
	if err != nil {
		return nil, err
	}
	inner, err := database.NewStore(database.DialectPostgres, "brownie.goose_db_version")
	if err != nil {
		return nil, err
	}
	// Try-lock every second for an hour: the holder may be running a long migration.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 3600))
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectCustom, db, e.files, goose.WithStore(store{inner}),
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
}

// store makes the schema that its version table lives in; goose calls it under the lock, once per database.
type store struct{ database.Store }

func (s store) CreateVersionTable(ctx context.Context, db database.DBTxConn) error {
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS brownie"); err != nil {
		return err
	}
	return s.Store.CreateVersionTable(ctx, db)
}

func serverMessage(err error) string {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return err.Error()
	}
	if server.Hint == "" {
		return server.Message
	}
	return server.Message + ". " + server.Hint
}
