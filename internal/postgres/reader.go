package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// The values of [Config.TargetSessionAttrs] (PostgreSQL manual, section 34.1.2).
const (
	ReadWrite     = "read-write"
	AnyServer     = "any"
	PreferStandby = "prefer-standby"
)

// TargetSessionAttrs are these values.
var TargetSessionAttrs = []string{ReadWrite, AnyServer, PreferStandby}

// errNotConfined says why a standby does not do.
var errNotConfined = errors.New("the server does not accept writes, and this role may read schema brownie only as the schema's owner, " +
	"which takes a server that does")

// Reader returns a DB for reads that may come from a standby, and thus be some moments old. It has connections of its own, which
// [Config.MaxConnections] includes. It is the DB itself where only the server that accepts writes may be read.
func (db *DB) Reader() *DB {
	if !db.config.readsElsewhere() {
		return db
	}
	config := db.config
	config.reading = true
	return New(config)
}

func (c Config) readsElsewhere() bool {
	return c.TargetSessionAttrs == AnyServer || c.TargetSessionAttrs == PreferStandby
}

// share is how many of the connections the DB may have: with a second one, each has about half.
func (c Config) share() int {
	switch reading := c.MaxConnections / 2; {
	case !c.readsElsewhere():
		return c.MaxConnections
	case c.reading:
		return reading
	default:
		return c.MaxConnections - reading
	}
}

// readingSQL tells whether [DB.AsOwner] confines statements of this session, which a server that accepts no writes cannot do.
// Nothing is certain about the search_path.
const readingSQL = `; SELECT pg_catalog.pg_is_in_recovery(), EXISTS (
	SELECT FROM pg_catalog.pg_namespace
	WHERE nspname OPERATOR(pg_catalog.=) 'brownie' AND pg_catalog.pg_get_userbyid(nspowner) OPERATOR(pg_catalog.<>) session_user
		AND pg_catalog.pg_has_role(nspowner, 'SET'))`

// requireReadable accepts a standby only for a login whose statements run with its own rights anyway: as the owner of the schema,
// or as a role that cannot become it. For all others, such as superusers, code of the owner (a view in a table's place, a policy)
// would run with more rights than the owner's: SET ROLE confines nothing, since that code can undo it, and the function that
// confines it elsewhere cannot be made on a standby. Should the owner change while a connection is open, AsOwner fails for the
// same reason.
func (c Config) requireReadable(ctx context.Context, conn *pgconn.PgConn) error {
	results, err := conn.Exec(ctx, sessionSQL+readingSQL).ReadAll()
	if err != nil {
		return err
	}
	session, reading := results[0].Rows[0], results[1].Rows[0]
	readOnly, standby, confined := string(session[0]) == "on", string(reading[0]) == "t", string(reading[1]) == "t"
	switch {
	case string(session[1]) != "on":
		return errPooler
	case readOnly && confined:
		return errNotConfined
	case !standby && c.TargetSessionAttrs == PreferStandby:
		return pgconn.ValidateConnectTargetSessionAttrsPreferStandby(ctx, conn) // Only the library can make the error that says so.
	}
	return nil
}
