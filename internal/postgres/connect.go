package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

var (
	errReadOnly = errors.New("the server does not accept writes (a standby, or a read-only database)")
	// errPooler says that sessions are not our own: what one begins with gets lost, and so may what it sets.
	errPooler = errors.New("a pooler such as PgBouncer answers there, not the server itself")
)

// direct is a setting that the provider's sessions begin with and nothing reads but [session]. A pooler refuses it, or drops it.
const direct = "brownie.direct"

// sessionSQL asks all that decides about a new connection, as one statement. Nothing is certain about its search_path.
const sessionSQL = `SELECT pg_catalog.current_setting('transaction_read_only'), pg_catalog.current_setting('` + direct + `', true)`

// accept decides about a new connection.
func (c Config) accept(ctx context.Context, conn *pgconn.PgConn) error {
	if c.reading {
		return c.requireReadable(ctx, conn)
	}
	return requireWritable(ctx, conn)
}

// requireWritable refuses a standby or a read-only database, so that of several hosts the one that accepts writes is
// used, and a single one that does not is reported as such. It refuses a pooler, too.
func requireWritable(ctx context.Context, conn *pgconn.PgConn) error {
	results, err := conn.Exec(ctx, sessionSQL).ReadAll()
	if err != nil {
		return err
	}
	row := results[0].Rows[0]
	switch {
	case string(row[1]) != "on":
		return errPooler
	case string(row[0]) == "on":
		return errReadOnly
	}
	return nil
}
