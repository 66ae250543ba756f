package postgres

import (
	"context"
	"sync"
	"time"
)

// Loader reads rows by their ID and merges the reads that are asked for at the same time into one statement:
// Terraform refreshes ten resources at once, each by a call of its own. The first waits a moment for the others, because a
// statement costs the server more than its rows do; those that arrive while it runs go together in the next. Nothing is kept: no
// read returns what was read before it began.
type Loader[V any] struct {
	// Load reads the rows with these IDs. An ID that is absent from the result is [ErrNotFound].
	Load func(ctx context.Context, ids []string) (map[string]V, error)

	mu      sync.Mutex
	waiting *load[V] // collects IDs for the next statement
	running int
	// fastest is the shortest that a statement took, and loads how many there were.
	fastest time.Duration
	loads   int
}

const (
	// gather is how long a statement waits for more reads, a fraction of what Terraform needs for ten resources.
	gather = 4 * time.Millisecond
	// A distant server is not left idle: when an answer takes longer than this, those that wait are asked for meanwhile. Where each of
	// the first statements took as long, it is the distance and not what the server is busy with.
	slow            = 12 * time.Millisecond
	firstLoads      = 3
	concurrentLoads = 2
)

type load[V any] struct {
	ids  []string
	rows map[string]V
	err  error
	done chan struct{}
}

// Get returns the row with the ID, or [ErrNotFound].
func (l *Loader[V]) Get(ctx context.Context, id string) (V, error) {
	l.mu.Lock()
	if l.waiting == nil {
		l.waiting = &load[V]{done: make(chan struct{})}
	}
	mine := l.waiting
	mine.ids = append(mine.ids, id)
	if l.running == 0 {
		l.running++
		// The statement serves several callers, so it must not end because one of them gives up.
		go l.run(context.WithoutCancel(ctx))
	}
	l.mu.Unlock()

	var none V
	select {
	case <-ctx.Done():
		return none, ctx.Err()
	case <-mine.done:
	}
	if mine.err != nil {
		return none, mine.err
	}
	row, ok := mine.rows[id]
	if !ok {
		return none, ErrNotFound
	}
	return row, nil
}

func (l *Loader[V]) run(ctx context.Context) {
	for {
		<-time.After(gather) // too short to be interrupted
		l.mu.Lock()
		next := l.waiting
		l.waiting = nil
		if next == nil {
			l.running--
		}
		patience := slow
		if l.loads >= firstLoads && l.fastest >= slow {
			patience = gather
		}
		l.mu.Unlock()
		if next == nil {
			return
		}
		began := time.Now()
		another := time.AfterFunc(patience, func() {
			l.mu.Lock()
			useful := l.waiting != nil && l.running < concurrentLoads
			if useful {
				l.running++
			}
			l.mu.Unlock()
			if useful {
				l.run(ctx)
			}
		})
		next.rows, next.err = l.Load(ctx, next.ids)
		another.Stop()
		l.mu.Lock()
		if took := time.Since(began); l.loads == 0 || took < l.fastest {
			l.fastest = took
		}
		l.loads++
		l.mu.Unlock()
		close(next.done)
	}
}
