package tenancy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// SwapError says that rows wait for each other's values: the database changes one after the other, so that none can be the first.
type SwapError struct{ *problem.Problem }

func swapError(noun string, taken *DuplicateError) *SwapError {
	return &SwapError{problem.New(
		fmt.Sprintf("this is a swap: the %s (id %s) that has %s now is to get what this one has, and neither can be changed first",
			noun, taken.Existing.ID, taken.Attribute()),
		fmt.Sprintf("Swap them in two applies: give one of them a third %s and apply, then give both what they shall have and apply "+
			"again", taken.Attribute())).On(taken.Attribute()).Because(taken)}
}

// waits are the changes of this process that wait for a value which another row has.
type waits struct {
	mu sync.Mutex
	on map[string]*wait // by the ID of the row that is to get the value
}

type wait struct {
	holder string        // the ID of the row that has it
	swap   chan struct{} // closed when they wait in a circle
	told   bool
}

func (w *waits) add(id, holder string) *wait {
	w.mu.Lock()
	defer w.mu.Unlock()
	mine := &wait{holder: holder, swap: make(chan struct{})}
	if id == "" { // a row that does not exist yet has nothing that others could wait for
		return mine
	}
	if w.on == nil {
		w.on = map[string]*wait{}
	}
	w.on[id] = mine
	circle := []*wait{mine}
	for next := w.on[holder]; next != nil && len(circle) <= len(w.on); next = w.on[next.holder] {
		if next == mine {
			tellSwap(circle)
			break
		}
		circle = append(circle, next)
	}
	return mine
}

func tellSwap(circle []*wait) {
	for _, one := range circle {
		if !one.told {
			close(one.swap)
		}
		one.told = true
	}
}

func (w *waits) remove(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.on, id)
}

// patient makes a change of the row with the ID, which is empty for a new one, and repeats it for as long as [Store.Patience] says
// while another row has one of its values, or a limit is reached: whoever plans to take it away may not have come to it yet.
func patient[T any](ctx context.Context, s *Store, noun, id string, change func() (T, error)) (T, error) {
	deadline := time.Now().Add(s.Patience)
	var before error
	for pause := 50 * time.Millisecond; ; pause = min(pause*3/2, time.Second/2) {
		changed, err := change()
		if err != nil && before != nil && ctx.Err() != nil {
			return changed, before // more telling than that the caller gave up
		}
		taken, passing := inTheWay(err)
		if !passing || !time.Now().Before(deadline) {
			return changed, err
		}
		before = err
		if swapped, crowded := s.pause(ctx, id, taken.Existing.ID, pause); crowded {
			return changed, problem.CouldNotWait(err)
		} else if swapped {
			return changed, swapError(noun, taken)
		} else if ctx.Err() != nil {
			return changed, err
		}
	}
}

// pause waits for the row that has what the one with the ID is to get.
func (s *Store) pause(ctx context.Context, id, holder string, pause time.Duration) (swapped, crowded bool) {
	if s.Wait != nil {
		done, may := s.Wait()
		if !may {
			return false, true
		}
		defer done()
	}
	mine := s.waits.add(id, holder)
	defer s.waits.remove(id)
	select {
	case <-ctx.Done():
	case <-mine.swap:
		return true, false
	case <-time.After(pause):
	}
	return false, false
}

// inTheWay tells whether an error may pass by itself, and which row has the value, if one has.
func inTheWay(err error) (taken *DuplicateError, passing bool) {
	var limit *LimitError
	_, code := postgres.Constraint(err)
	switch {
	case errors.As(err, &taken):
		return taken, taken.DeletedAt == nil
	case errors.As(err, &limit):
		return &DuplicateError{}, true
	case code == postgres.CodeUniqueViolation, errors.Is(err, errPassed):
		return &DuplicateError{}, true
	}
	return nil, false
}
