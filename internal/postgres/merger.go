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

	mu      sync.Mutex
	waiting *batch[T] // collects items for the next run
	running int
	began   time.Time // when the latest run did
	// fastest is the shortest that a run took, and runs how many there were.
	fastest time.Duration
	runs    int
}

const (
	// gather is how long a run waits for more items, a fraction of what Terraform needs for ten resources.
	gather = 4 * time.Millisecond
	// A distant server is not left idle: when an answer takes longer than this, those that wait are asked for meanwhile. Where each of
	// the first runs took as long, it is the distance and not what the server is busy with.
	slow           = 12 * time.Millisecond
	firstRuns      = 3
	concurrentRuns = 2
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
	if m.running == 0 || m.running < concurrentRuns && time.Since(m.began) > m.patience() {
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
		another := time.AfterFunc(m.patience(), m.runAnother)
		m.mu.Unlock()
		m.Run(next.ctx, next.items)
		another.Stop()
		m.mu.Lock()
		if took := time.Since(began); m.runs == 0 || took < m.fastest {
			m.fastest = took
		}
		m.runs++
		m.mu.Unlock()
		next.cancel()
		close(next.done)
	}
}

// patience is how long one run is waited for before there is another beside it.
func (m *Merger[T]) patience() time.Duration {
	if m.runs >= firstRuns && m.fastest >= slow {
		return gather
	}
	return slow
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
