package runner

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrBusy says that another runner works on the schedule.
var ErrBusy = errors.New("another runner works on this schedule")

// errLockLost ends a run: another runner may begin one.
var errLockLost = errors.New("the connection that holds the schedule's lock is lost")

const lockSQL = `SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('brownie-backup ' || $1, 0))`

// A runner whose machine ends without a word holds the lock no longer than this, where a server would else wait for hours.
const keepaliveSQL = `
	SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SET tcp_user_timeout = 25000`

const unlockSQL = `SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended('brownie-backup ' || $1, 0))`

// alone does something while no other runner works on the schedule. The lock is that of a connection, so that it ends with its holder.
func (r *Runner) alone(ctx context.Context, schedule string, do func(context.Context) error) error {
	return r.DB.Borrow(ctx, nil, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, keepaliveSQL); err != nil {
			return err
		}
		var got bool
		if err := conn.QueryRow(ctx, lockSQL, schedule).Scan(&got); err != nil {
			return err
		}
		if !got {
			return ErrBusy
		}
		held, lose := context.WithCancelCause(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-held.Done():
					return
				case <-time.After(5 * time.Second):
				}
				ping, cancel := context.WithTimeout(held, 10*time.Second)
				if err := conn.Ping(ping); err != nil && held.Err() == nil {
					lose(errLockLost)
				}
				cancel()
			}
		}()
		err := do(held)
		lose(nil)
		<-done
		_, unlockErr := conn.Exec(context.WithoutCancel(ctx), unlockSQL, schedule)
		if _, resetErr := conn.Exec(context.WithoutCancel(ctx), `RESET ALL`); unlockErr != nil || resetErr != nil {
			_ = conn.Close(context.WithoutCancel(ctx)) // The lock goes with it.
		}
		return err
	})
}
