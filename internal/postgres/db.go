package postgres

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/sethvargo/go-retry"
)

// DB is one database. It connects on first use, keeps at most [Config.MaxConnections] connections, and may be used by
// several goroutines at once.
type DB struct {
	config Config
	open   func() (*pgxpool.Pool, error)
	owner  *string // see [DB.AsOwnerOf]; nil for the login role's own rights
	pooled bool    // whether a pooler may be in between
	greets *pace   // how long the first statement of a connection takes

	inFlight *InFlight
}

// New returns a DB for the configuration. It neither connects nor reads a file; the first use does, and returns a
// [*ConfigError] when the configuration cannot be used.
func New(config Config) *DB {
	greets := &pace{}
	return &DB{config: config, greets: greets, inFlight: newInFlight(), open: sync.OnceValues(func() (*pgxpool.Pool, error) {
		pool, err := config.poolConfig()
		if err != nil {
			return nil, err
		}
		accept := pool.ConnConfig.ValidateConnect
		pool.ConnConfig.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
			began := time.Now()
			err := accept(ctx, conn)
			if err == nil {
				greets.add(time.Since(began))
			}
			return err
		}
		// The pool outlives whichever request happens to be the first.
		return pgxpool.NewWithConfig(context.Background(), pool)
	})}
}

// Distant tells whether an answer of the server takes long although it has little to do.
func (db *DB) Distant() bool { return db.greets.slow(1) }

// InFlight counts the requests for the server of all that have it from here.
func (db *DB) InFlight() *InFlight { return db.inFlight }

// Close ends all connections. A DB that never connected has nothing to end.
func (db *DB) Close() {
	if pool, err := db.open(); err == nil {
		pool.Close()
	}
}

// Borrow lends one connection of the pool to use, and gives what the server says on it to hear. One that is closed, or in a
// transaction, when use returns does not come back into the pool.
func (db *DB) Borrow(ctx context.Context, hear func(Notice), use func(*pgx.Conn) error) error {
	pool, err := db.open()
	if err != nil {
		return err
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	data := conn.Conn().PgConn().CustomData()
	data[receiverKey] = hear
	defer delete(data, receiverKey)
	return use(conn.Conn())
}

// Statement is one SQL statement with the values of its parameters. Args are the values of $1, $2 …, or one
// [pgx.QueryRewriter], such as [pgx.StrictStructArgs], for parameters with names.
type Statement struct {
	SQL  string
	Args []any
	// AsOwner runs it as on [DB.AsOwner].
	AsOwner bool
	// Fewest makes fewer rows than this an error when the session does not see the rows of all tenants, since then rows that are
	// missing need not be gone. It is for statements that run as the owner.
	Fewest int
	// Computed says that rows are computed from all that the session sees. A restrictive policy of somebody else counts there only
	// if no row comes.
	Computed bool
}

// AllRows is the [Statement.Fewest] of a list, of which any row may be missing.
const AllRows = math.MaxInt32

// Query reads all rows that there are into structs by column name. No row is an empty result, not an error.
func Query[T any](ctx context.Context, db *DB, query string, args ...any) ([]T, error) {
	return Change[T](ctx, db, Statement{SQL: query, Args: args, Fewest: AllRows})
}

// QueryOne reads the one row that the query returns, or [ErrNotFound].
func QueryOne[T any](ctx context.Context, db *DB, query string, args ...any) (T, error) {
	rows, err := Change[T](ctx, db, Statement{SQL: query, Args: args, Fewest: AllRows, Computed: true})
	if err == nil && len(rows) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return rows[0], nil
}

// Change runs the statements as one transaction in one round trip and returns the rows of the last one. Each statement
// sees what was committed before it began, so a statement that follows a row lock sees what the lock waited for.
//
// Serialization failures, deadlocks and lock timeouts are tried again a few times: the server rolled all of it back.
// An interrupted connection is not; [Interrupted] tells it, and the caller reads what became of its change.
func Change[T any](ctx context.Context, db *DB, statements ...Statement) ([]T, error) {
	return change[T](ctx, db, changeBackoff(), statements)
}

// change runs first what comes first, and not as the owner.
func change[T any](ctx context.Context, db *DB, backoff retry.Backoff, statements []Statement, first ...Statement) ([]T, error) {
	pool, err := db.open()
	if err != nil {
		return nil, err
	}
	statements, asJSON, err := db.confine(ctx, statements)
	if err != nil {
		return nil, err
	}
	statements = slices.Insert(statements, 1, first...) // after RESET ALL
	collect := func(rows pgx.Rows) ([]T, error) { return pgx.CollectRows(rows, pgx.RowToStructByName[T]) }
	if asJSON {
		collect = func(rows pgx.Rows) ([]T, error) {
			text, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[[]byte])
			if err != nil {
				return nil, err
			}
			return DecodeRowsOfOwner[T](text)
		}
	}
	var rows []T
	pending := false // whether something was sent of which nobody knows what became
	err = retry.Do(ctx, backoff, func(ctx context.Context) error {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		pending = true
		rows, err = send(ctx, conn, statements, collect)
		if RolledBack(err) {
			pending = false
			return retry.RetryableError(err)
		}
		return err
	})
	if err != nil && !pending {
		err = unsentError{err}
	}
	return rows, db.Explain(err)
}

// Rehearse runs the statements in one transaction, returns the rows of the last one, and rolls everything back. A
// statement may use what the ones before it created; so each of them is a round trip. One without parameters may be a
// whole SQL program.
func Rehearse[T any](ctx context.Context, db *DB, statements ...Statement) ([]T, error) {
	pool, err := db.open()
	if err != nil {
		return nil, err
	}
	var rows []T
	err = retry.Do(ctx, changeBackoff(), func(ctx context.Context) error {
		rows, err = rehearse[T](ctx, pool, statements)
		if RolledBack(err) {
			return retry.RetryableError(err)
		}
		return err
	})
	return rows, db.Explain(err)
}

func rehearse[T any](ctx context.Context, pool *pgxpool.Pool, statements []Statement) (rows []T, err error) {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return nil, err
	}
	// A connection on which this fails is closed, which rolls back as well.
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	last := len(statements) - 1
	for _, statement := range statements[:last] {
		// Nothing is worth keeping prepared: the tables that it speaks of go away.
		mode := pgx.QueryExecModeExec
		if len(statement.Args) == 0 {
			mode = pgx.QueryExecModeSimpleProtocol
		}
		if _, err := tx.Exec(ctx, statement.SQL, append([]any{mode}, statement.Args...)...); err != nil {
			return nil, err
		}
	}
	result, err := tx.Query(ctx, statements[last].SQL, append([]any{pgx.QueryExecModeExec}, statements[last].Args...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(result, pgx.RowToStructByName[T])
}

func send[T any](ctx context.Context, conn *pgxpool.Conn, statements []Statement, collect func(pgx.Rows) ([]T, error)) (rows []T,
	err error,
) {
	// Without an explicit BEGIN the server treats what arrives up to the one Sync message as one transaction
	// (PostgreSQL manual, section 34.5.1.3, "pipeline mode").
	batch := &pgx.Batch{}
	for _, statement := range statements {
		batch.Queue(statement.SQL, statement.Args...)
	}
	results := conn.SendBatch(ctx, batch)
	// The transaction has only committed when the last result was read, which Close does.
	defer func() {
		if closeErr := results.Close(); err == nil {
			err = closeErr
		}
	}()
	for range statements[1:] {
		if _, err := results.Exec(); err != nil {
			return nil, err
		}
	}
	result, err := results.Query()
	if err != nil {
		return nil, err
	}
	return collect(result)
}

// changeBackoff waits 20 ms, 40 ms, … with jitter, and gives up after about two seconds.
func changeBackoff() retry.Backoff {
	return retry.WithMaxRetries(6, retry.WithJitterPercent(30, retry.NewExponential(20*time.Millisecond)))
}

// AwaitRead repeats a read until the server answers, for at most ten seconds: it is for finding out what became of a
// change whose connection broke, perhaps because the server restarts. It goes on when ctx was cancelled, since the
// answer decides what Terraform must remember.
func AwaitRead[T any](ctx context.Context, read func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return retry.DoValue(ctx, retry.WithCappedDuration(time.Second, retry.NewExponential(50*time.Millisecond)),
		func(ctx context.Context) (T, error) {
			value, err := read(ctx)
			if Unreachable(err) || Interrupted(err) {
				err = retry.RetryableError(err)
			}
			return value, err
		})
}
