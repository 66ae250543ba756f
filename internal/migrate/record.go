package migrate

// This file records in the history what a session ran.

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/pressly/goose/v3/database"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

const (
	recordSQL = `
INSERT INTO %s (version_id, is_applied, name, sha256, applied_at, duration_ms, role_name, provider_version, run_id, adopted)
VALUES ($1, true, $2, $3, clock_timestamp(), $4, session_user, $5, nullif($6, ''), $7) RETURNING version_id`
	forgetSQL = `DELETE FROM %s WHERE version_id = $1 RETURNING version_id`
)

// Insert records a migration: in its transaction, if it has one.
func (s *session) Insert(ctx context.Context, db database.DBTxConn, req database.InsertRequest) error {
	m := s.engine.migration(req.Version)
	if err := s.within(ctx, db, s.record(m, time.Since(s.began), false)); err != nil {
		return err
	}
	s.end(ctx, m, m.Name)
	return nil
}

func (s *session) end(ctx context.Context, m Migration, what string) {
	s.ran = append(s.ran, what)
	s.engine.log(ctx, "migration ended", map[string]any{"file": m.Name, "version": m.Version, "seconds": time.Since(s.began).Seconds()})
}

func (s *session) record(m Migration, took time.Duration, adopted bool) postgres.Statement {
	return postgres.Statement{SQL: fmt.Sprintf(recordSQL, s.engine.source.historyTable()), Args: []any{
		m.Version, m.Name, m.SHA256, took.Milliseconds(), s.engine.options.ProviderVersion, s.engine.options.RunID, adopted,
	}}
}

// Delete forgets a migration whose down step ran.
func (s *session) Delete(ctx context.Context, db database.DBTxConn, version int64) error {
	m := s.engine.migration(version)
	forget := postgres.Statement{SQL: fmt.Sprintf(forgetSQL, s.engine.source.historyTable()), Args: []any{version}}
	if err := s.within(ctx, db, forget); err != nil {
		return err
	}
	s.end(ctx, m, "down of "+m.Name)
	return nil
}

// within changes the history in the transaction that goose has begun, or else in one on the session's connection: without a
// transaction goose would take a second connection, and there may be none.
func (s *session) within(ctx context.Context, db database.DBTxConn, change postgres.Statement) error {
	if tx, ok := db.(*sql.Tx); ok {
		_, err := s.asOwner(ctx, tx, change)
		return err
	}
	tx, err := s.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // Without effect after Commit.
	if _, err := s.asOwner(ctx, tx, change); err != nil {
		return err
	}
	return tx.Commit()
}

// asOwner reads and changes the history with the rights of its owner, who may have put triggers on it. It returns the rows of
// the last statement as JSON.
func (s *session) asOwner(ctx context.Context, tx *sql.Tx, history ...postgres.Statement) (rows []byte, err error) {
	statements, err := postgres.AsOwner(s.engine.source.historyTable(), history...)
	if err != nil {
		return nil, err
	}
	// A file may have left another path, or whatever else.
	for _, st := range append([]postgres.Statement{{SQL: settingsSQL}}, statements...) {
		if _, err := tx.ExecContext(ctx, st.SQL, st.Args...); err != nil {
			return nil, err
		}
	}
	err = tx.QueryRowContext(ctx, `SELECT `+postgres.RowsOfOwnerSQL).Scan(&rows)
	return rows, err
}
