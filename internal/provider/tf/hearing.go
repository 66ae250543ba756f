package tf

import (
	"context"
	"slices"
	"time"
)

// How long a silence tells that nothing more will be heard. A good plan is refused if it is too short: Terraform may be waiting for
// another provider.
const (
	silence = 3 * time.Second
	// A process that has read nothing may be an apply's, in which a change elsewhere may take its time.
	longSilence = 10 * time.Second
	// Where Terraform's order makes it likely that all was heard.
	shortSilence = 700 * time.Millisecond
	longest      = 30 * time.Second
)

// Patience is how long an apply waits for what the same apply may be about to free: a name, a place within a limit.
const Patience = 10 * time.Second

// Wait tells whether one more may wait for what Terraform does with other objects; call done when it no longer waits. If all that
// Terraform works on at once waited, nothing would come of it.
func (w *Walk) Wait() (done func(), may bool) {
	free := slots() - 1
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting >= free {
		return func() {}, false
	}
	w.waiting++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.waiting--
	}, true
}

// HearLast waits for a moment for what may come late, although it should have come before.
func (w *Walk) HearLast(ctx context.Context) {
	w.hear(ctx, func() time.Duration { return shortSilence }, func() bool { return false })
}

// Hear waits until the walk has nothing more to tell, or done says that enough is known. It returns false when that cannot be found out:
// this is an apply, objects are not refreshed, or every slot of Terraform would be taken by somebody who waits.
func (w *Walk) Hear(ctx context.Context, done func() bool) (complete bool) {
	return w.hear(ctx, w.untilSilent, done)
}

func (w *Walk) untilSilent() time.Duration {
	if w.reading {
		return silence
	}
	return longSilence
}

func (w *Walk) hear(ctx context.Context, wanted func() time.Duration, done func() bool) (complete bool) {
	if done() {
		return true
	}
	leave, may := w.Wait()
	defer leave()
	for start := time.Now(); may && ctx.Err() == nil && time.Since(start) < longest; {
		w.mu.Lock()
		enough := time.Since(later(w.news, start)) >= wanted()
		hopeless := w.applying || w.unread
		w.mu.Unlock()
		switch {
		case hopeless:
			return false
		case done() || enough:
			return true
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Fate is what will become of a unique value that an object has.
type Fate int

// What may become of it.
const (
	Unclear Fate = iota // nothing was planned for the object yet, and it is the workspace's, or may be
	Freed
	Kept // the object is planned to keep it, or is none of the workspace's
)

// Fate tells what will become of the unique value that an object has. What was read is planned at once, as a rule, so that a short
// silence is enough to call it unclear; that an object is none of the workspace's takes a longer one.
func (w *Walk) Fate(ctx context.Context, kind, id string, value Claim) Fate {
	object := Object{kind, id}
	complete := w.hear(ctx, func() time.Duration {
		if _, heard := w.outcomes[object]; heard {
			return shortSilence
		}
		return w.untilSilent()
	}, func() bool {
		outcome, _ := w.Outcome(kind, id)
		return outcome.Planned
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	outcome, heard := w.outcomes[object]
	switch {
	case outcome.keeps(value), !heard && complete:
		return Kept
	case outcome.Planned:
		return Freed
	}
	if w.doubted == nil {
		w.doubted = map[Claim]bool{}
	}
	w.doubted[value] = true
	return Unclear
}

// Doubted tells whether somebody is to get a unique value if the object that has it gives it up: that object must not be planned to
// keep it.
func (w *Walk) Doubted(value Claim) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.doubted[value]
}

// Takes tells whether an object is planned to get, or to keep, a unique value.
func (w *Walk) Takes(kind, id string, value Claim) bool {
	outcome, _ := w.Outcome(kind, id)
	return outcome.keeps(value)
}

func (o Outcome) keeps(value Claim) bool {
	return o.Planned && !o.Goes && slices.Contains(o.Keeps, value)
}
