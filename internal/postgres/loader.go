package postgres

import (
	"context"
	"sync"
)

// Loader reads rows by their ID, and merges the reads that are asked for at the same time into one statement. Nothing is kept: no
// read returns what was read before it began.
type Loader[V any] struct {
	// Load reads the rows with these IDs. An ID that is absent from the result is [ErrNotFound].
	Load func(ctx context.Context, ids []string) (map[string]V, error)
	// InFlight is [Merger.InFlight].
	InFlight *InFlight

	once   sync.Once
	merger Merger[*lookup[V]]
}

// Init has it read rows by load, of a server whose requests are counted by inFlight.
func (l *Loader[V]) Init(inFlight *InFlight, load func(ctx context.Context, ids []string) (map[string]V, error)) {
	l.Load, l.InFlight = load, inFlight
}

// lookup is one ID that is asked for, and what was found.
type lookup[V any] struct {
	id  string
	row V
	err error
}

// Get returns the row with the ID, or [ErrNotFound].
func (l *Loader[V]) Get(ctx context.Context, id string) (V, error) {
	l.once.Do(func() { l.merger.Run, l.merger.InFlight = l.run, l.InFlight })
	mine := &lookup[V]{id: id}
	item, leave := l.merger.join(ctx, mine)
	select {
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	case <-item.done:
		leave()
		return mine.row, mine.err
	}
}

func (l *Loader[V]) run(ctx context.Context, lookups []*lookup[V]) (alone bool) {
	ids := make([]string, len(lookups))
	for i, lookup := range lookups {
		ids[i] = lookup.id
	}
	rows, err := l.Load(ctx, ids)
	for _, lookup := range lookups {
		row, found := rows[lookup.id]
		switch lookup.row = row; {
		case err != nil:
			lookup.err = err
		case !found:
			lookup.err = ErrNotFound
		}
	}
	return false
}
