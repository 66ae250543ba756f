package postgres

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestNobodyElseComes: when all wait of whom there are usually so many, a run waits for nobody else. Time is the bubble's own.
func TestNobodyElseComes(t *testing.T) {
	t.Parallel()
	for _, together := range []int{1, 10} {
		synctest.Test(t, func(t *testing.T) {
			var runs atomic.Int32
			// Two mergers share the callers, as two kinds of resources do.
			shared := &crowd{}
			mergers := [2]Merger[int]{}
			for i := range mergers {
				mergers[i] = Merger[int]{crowd: shared, Run: func(context.Context, []int) bool {
					runs.Add(1)
					return false
				}}
			}
			everybodyAsks := func() {
				var asking sync.WaitGroup
				for i := range together {
					asking.Go(func() { mergers[i%2].Do(t.Context(), i) })
				}
				asking.Wait()
			}
			for n := 0; n <= 2*period; n += together {
				everybodyAsks()
				synctest.Wait()
			}
			start, before := time.Now(), runs.Load()
			for range 5 {
				everybodyAsks()
			}
			if waited := time.Since(start); waited != 0 {
				t.Errorf("%d at once: they waited %s for others", together, waited)
			}
			if got, want := int(runs.Load()-before), 5*min(together, 2); got != want {
				t.Errorf("%d at once: %d runs, want %d", together, got, want)
			}
			// One who is alone, where there were more, waits for the others.
			start = time.Now()
			mergers[0].Do(t.Context(), 0)
			if waited := time.Since(start); (waited == gather) != (together > 1) {
				t.Errorf("%d at once: one alone waited %s", together, waited)
			}
			time.Sleep(time.Second) // until the runners have ended
		})
	}
}
