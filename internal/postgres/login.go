package postgres

import (
	"context"
	"crypto/tls"

	"github.com/jackc/pgx/v5"
)

// Login makes one connection of its own, reads one row with it, and tells which version of TLS it spoke ("TLS 1.3", or
// empty without TLS). It also works on a server that accepts no writes and through a pooler. Its search_path is the role's
// own, so that the query qualifies all names. [Unreachable] tells that the login itself failed.
func Login[T any](ctx context.Context, config Config, query string) (row T, tlsVersion string, err error) {
	// What the certificate is worth is the question, not what a password would be.
	config.PassFile, config.ChannelBinding, config.RequireAuth = "", "", ""
	db := &DB{config: config, pooled: true} // for its errors
	pool, err := config.poolConfig()
	if err != nil {
		return row, "", err
	}
	pool.ConnConfig.ValidateConnect = nil
	for setting := range sessionSettings { // A pooler refuses what it does not know.
		delete(pool.ConnConfig.RuntimeParams, setting)
	}
	conn, err := pgx.ConnectConfig(ctx, pool.ConnConfig)
	if err != nil {
		return row, "", db.Explain(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if encrypted, ok := conn.PgConn().Conn().(*tls.Conn); ok {
		tlsVersion = tls.VersionName(encrypted.ConnectionState().Version)
	}
	// A pooler may give each statement another connection, on which nothing is prepared.
	rows, err := conn.Query(ctx, query, pgx.QueryExecModeExec)
	if err == nil {
		row, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[T])
	}
	return row, tlsVersion, db.Explain(err)
}
