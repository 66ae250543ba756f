package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/sethvargo/go-retry"
)

// Merger does at once what several callers ask for at the same time: Terraform works on ten resources at once, each by a call of its
// own, and a statement or transaction costs the server more than what it is about. The first caller waits a moment for the others;
// those that come while it is served go together next.
type Merger[T any] struct {
	// Run does what all items ask for. What becomes of each it tells by the item, unless it returns true: then nothing was done, and
	// each is run alone. Its context ends when that of each caller has.
	Run func(ctx context.Context, items []T) (alone bool)
	// Distant tells whether the server is, such as [DB.Distant]; then it is not left idle while an answer is on its way. nil means that
	// a run which takes long shows it, which is true of reads.
	Distant func() bool
	// InFlight is [DB.InFlight], with which a run begins as soon as all who could join it wait; nil has each wait its time.
	InFlight *InFlight

	mu      sync.Mutex
	waiting *batch[T] // collects items for the next run
	runners int
	running int       // of the runners, those that do not wait for more items
	began   time.Time // when the latest run did
	pace    pace
}

// Init has it make changes of db.
func (m *Merger[T]) Init(db *DB, run func(ctx context.Context, items []T) (alone bool)) {
	m.Run, m.Distant, m.InFlight = run, db.Distant, db.InFlight()
}

// gather is how long a run waits for more items, a fraction of what Terraform needs for ten resources.
const gather = 10 * time.Millisecond

const (
	// concurrentRuns are at once where the server is distant.
	concurrentRuns = 2
	// firstRuns show by what they take whether it is.
	firstRuns = 3
)

type batch[T any] struct {
	items   []*item[T]
	callers int // those that did not give up
	ctx     context.Context
	cancel  context.CancelFunc
}

// item is what one caller asks for.
type item[T any] struct {
	what T
	ctx  context.Context
	done chan struct{}
}

// Do returns when the item was served, also when ctx ends before.
func (m *Merger[T]) Do(ctx context.Context, what T) {
	mine, leave := m.join(ctx, what)
	<-mine.done
	leave()
}

// join adds an item to the next run. The function that it returns ends the caller's interest in the end of its context.
func (m *Merger[T]) join(ctx context.Context, what T) (*item[T], func() bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waiting == nil {
		m.waiting = &batch[T]{}
		// The run serves several callers, so it must not end because one of them gives up.
		m.waiting.ctx, m.waiting.cancel = context.WithCancel(context.WithoutCancel(ctx))
	}
	batch := m.waiting
	mine := &item[T]{what: what, ctx: ctx, done: make(chan struct{})}
	batch.items = append(batch.items, mine)
	batch.callers++
	m.InFlight.add()
	m.runWaiting()
	return mine, context.AfterFunc(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		batch.callers--
		if batch.callers == 0 && batch != m.waiting { // One that has not begun may still get callers.
			batch.cancel()
		}
	})
}

func (m *Merger[T]) run(full <-chan struct{}) {
	for ; ; full = m.InFlight.full() {
		select {
		case <-time.After(gather): // too short to be interrupted
		case <-full:
		}
		m.mu.Lock()
		next, began := m.waiting, time.Now()
		if next == nil {
			m.runners--
			m.mu.Unlock()
			return
		}
		if next.callers == 0 {
			next.cancel()
		}
		m.waiting, m.began = nil, began
		m.running++
		stop := func() bool { return true }
		if patience, another := m.patience(); another {
			stop = time.AfterFunc(patience, func() {
				m.mu.Lock()
				defer m.mu.Unlock()
				m.runWaiting()
			}).Stop
		}
		m.mu.Unlock()
		m.serve(next)
		stop()
		m.pace.add(time.Since(began))
		m.mu.Lock()
		m.running--
		m.mu.Unlock()
	}
}

// serve runs the items together, or starts to run each alone: nobody waits for the slowest one then.
func (m *Merger[T]) serve(batch *batch[T]) {
	defer batch.cancel()
	all := make([]T, len(batch.items))
	for i, item := range batch.items {
		all[i] = item.what
	}
	alone := m.Run(batch.ctx, all)
	if !alone {
		m.InFlight.remove(len(all))
	}
	for _, item := range batch.items {
		if !alone {
			close(item.done)
			continue
		}
		go func() {
			m.Run(item.ctx, []T{item.what})
			m.InFlight.remove(1)
			close(item.done)
		}()
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

// runWaiting starts a run of what waits, if there is none or the latest takes long.
func (m *Merger[T]) runWaiting() {
	patience, another := m.patience()
	another = another && m.running > 0 && m.runners < concurrentRuns && time.Since(m.began) >= patience
	if m.waiting != nil && (m.runners == 0 || another) {
		m.runners++
		go m.run(m.InFlight.full())
	}
}

// ChangeTogether makes one [Change] of all items, and tells done the rows of its last statement, or why it failed. When the server
// refuses a change of several items, that may be the matter of one: it returns true then, and done is not called. Nor does it wait for
// locks, with those that it has already: who is in nobody's way shall not wait for others.
func ChangeTogether[R, T any](ctx context.Context, db *DB, items []T, statements func([]T) ([]Statement, error),
	done func(rows []R, err error),
) (alone bool) {
	all, err := statements(items)
	var rows []R
	switch {
	case err != nil:
	case len(items) == 1:
		rows, err = Change[R](ctx, db, all...)
	default:
		never := retry.BackoffFunc(func() (time.Duration, bool) { return 0, true })
		rows, err = change[R](ctx, db, never, all, Statement{SQL: impatientSQL})
	}
	if len(items) > 1 && refused(err) {
		return true
	}
	done(rows, err)
	return false
}

const impatientSQL = `SELECT pg_catalog.set_config('lock_timeout', '250ms', true)`
