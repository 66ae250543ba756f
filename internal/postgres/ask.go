package postgres

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// A Question is one that whoever asks could do without the answer to. The zero value is ready.
type Question struct{ unanswered atomic.Bool }

var errNotAsked = errors.New("the server, which did not answer before, is not asked again")

// patience is how long an answer is waited for.
const patience = 5 * time.Second

// Ask asks a question by a read, for some seconds at most, and no more once no server with the tables in question answered.
func Ask[T any](ctx context.Context, q *Question, read func(context.Context) (T, error)) (T, error) {
	var none T
	if q.unanswered.Load() {
		return none, errNotAsked
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := read(ctx)
	if Unreachable(err) || errors.Is(err, ErrNotMigrated) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(*ConfigError)) {
		q.unanswered.Store(true)
	}
	return answer, err
}
