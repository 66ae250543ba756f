package postgres

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/sethvargo/go-retry"
)

// Merger does at once what several callers ask for at the same time: Terraform works on ten resources at once, each by a call of its
// own, and a statement or transaction costs the server more than what it is about. The first caller waits a moment for the others;
// those that come while it is served go together next.
type Merger[T any] struct {
	// Run does what all items ask for. What becomes of each it tells by the item. Its context ends when that of each caller has.
	Run func(ctx context.Context, items []T)
	// Distant tells whether the server is, such as [DB.Distant]; then it is not left idle while an answer is on its way. nil means that
	// a run which takes long shows it, which is true of reads.
	Distant func() bool

	mu      sync.Mutex
	waiting *batch[T] // collects items for the next run
	running int
	began   time.Time // when the latest run did
	pace    pace
}

// gather is how long a run waits for more items, a fraction of what Terraform needs for ten resources.
const gather = 4 * time.Millisecond

const (
	// concurrentRuns are at once where the server is distant.
	concurrentRuns = 2
	// firstRuns show by what they take whether it is.
	firstRuns = 3
)

type batch[T any] struct {
	items   []T
	callers int // those that did not give up
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{}
}

// Do returns when the item was served, also when ctx ends before.
func (m *Merger[T]) Do(ctx context.Context, item T) {
	mine, leave := m.join(ctx, item)
	defer leave()
	<-mine.done
}

// join adds the item to the next run. The function that it returns ends the caller's interest in the end of its context.
func (m *Merger[T]) join(ctx context.Context, item T) (*batch[T], func() bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waiting == nil {
		m.waiting = &batch[T]{done: make(chan struct{})}
		// The run serves several callers, so it must not end because one of them gives up.
		m.waiting.ctx, m.waiting.cancel = context.WithCancel(context.WithoutCancel(ctx))
	}
	mine := m.waiting
	mine.items = append(mine.items, item)
	mine.callers++
	if patience, more := m.patience(); m.running == 0 || more && m.running < concurrentRuns && time.Since(m.began) > patience {
		m.running++
		go m.run()
	}
	return mine, context.AfterFunc(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		mine.callers--
		if mine.callers == 0 && mine != m.waiting { // One that has not begun may still get callers.
			mine.cancel()
		}
	})
}

func (m *Merger[T]) run() {
	for {
		<-time.After(gather) // too short to be interrupted
		m.mu.Lock()
		next, began := m.waiting, time.Now()
		if next == nil {
			m.running--
			m.mu.Unlock()
			return
		}
		if next.callers == 0 {
			next.cancel()
		}
		m.waiting, m.began = nil, began
		another := func() bool { return true }
		if patience, more := m.patience(); more {
			another = time.AfterFunc(patience, m.runAnother).Stop
		}
		m.mu.Unlock()
		m.Run(next.ctx, next.items)
		another()
		m.pace.add(time.Since(began))
		next.cancel()
		close(next.done)
	}
}

// patience is how long one run is waited for before there may be another beside it.
func (m *Merger[T]) patience() (patience time.Duration, another bool) {
	switch {
	case m.Distant != nil && !m.Distant():
		return 0, false
	case m.Distant != nil || m.pace.slow(firstRuns):
		return gather, true
	default:
		return distantAnswer, true
	}
}

func (m *Merger[T]) runAnother() {
	m.mu.Lock()
	useful := m.waiting != nil && m.running < concurrentRuns
	if useful {
		m.running++
	}
	m.mu.Unlock()
	if useful {
		m.run()
	}
}

// ChangeTogether makes one [Change] of all items, and tells done the rows of its last statement, or why it failed. When the server
// refuses it, that may be the matter of one item: then each is changed alone, at once, and done is told of each.
func ChangeTogether[R, T any](ctx context.Context, db *DB, items []T, statements func([]T) ([]Statement, error),
	done func(items []T, rows []R, err error),
) {
	backoff := changeBackoff()
	if len(items) > 1 { // What may succeed with fewer items is not tried again with all.
		backoff = retry.BackoffFunc(func() (time.Duration, bool) { return 0, true })
	}
	all, err := statements(items)
	var rows []R
	if err == nil {
		rows, err = change[R](ctx, db, backoff, all)
	}
	var server *pgconn.PgError
	if len(items) == 1 || !errors.As(err, &server) || Interrupted(err) || Unreachable(err) {
		done(items, rows, err)
		return
	}
	var group sync.WaitGroup
	for i := range items {
		group.Go(func() { ChangeTogether(ctx, db, items[i:i+1], statements, done) })
	}
	group.Wait()
}
