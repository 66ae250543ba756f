// Package patience lets a change wait for others of the same process that are about to free what it needs: an apply makes its changes
// in no certain order. It knows no domain.
package patience

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// SwapError says that objects wait for each other's values: the database changes one after the other, so that none can be the first.
type SwapError struct{ *problem.Problem }

// Swap makes the error about what is in the way.
func Swap(noun string, o Obstacle) *SwapError {
	return &SwapError{problem.New(
		fmt.Sprintf("this is a swap: the %s (id %s) that has %s now is to get what this one has, and neither can be changed first",
			noun, o.Holder, cmp.Or(o.Value, o.Attribute)),
		fmt.Sprintf("Swap them in two applies: give one of them a third %s and apply, then give both what they shall have and apply "+
			"again", o.Attribute)).On(o.Attribute).Because(o.Cause)}
}

// Obstacle is what keeps a change from being made, for now.
type Obstacle struct {
	Holder    string // the ID of the object that has the value which the change needs, or empty
	Attribute string // of that value
	Value     string // the attribute and the value in words; empty where the ID says it
	Cause     error
}

// Patience is what all changes share that may wait for each other. The zero value waits for nothing.
type Patience struct {
	// Limit is how long a change waits before what is in the way is an error.
	Limit time.Duration
	// Wait tells whether one more may wait; done is called when it no longer does. It may be nil.
	Wait func() (done func(), may bool)

	mu sync.Mutex
	on map[string]*wait // by the ID of the object that is to get the value
}

type wait struct {
	holder string        // the ID of the object that has it
	swap   chan struct{} // closed when they wait in a circle
	told   bool
}

func (p *Patience) add(id, holder string) *wait {
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := &wait{holder: holder, swap: make(chan struct{})}
	if id == "" { // an object that does not exist yet has nothing that others could wait for
		return mine
	}
	if p.on == nil {
		p.on = map[string]*wait{}
	}
	p.on[id] = mine
	circle := []*wait{mine}
	for next := p.on[holder]; next != nil && len(circle) <= len(p.on); next = p.on[next.holder] {
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

func (p *Patience) remove(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.on, id)
}

// Change makes a change of the object with the ID, which is empty for a new one, and repeats it while inTheWay tells of its error that
// it may pass: whoever plans to take the obstacle away may not have come to it yet.
func Change[T any](ctx context.Context, p *Patience, noun, id string, change func() (T, error),
	inTheWay func(error) (o Obstacle, passing bool),
) (T, error) {
	deadline := time.Now().Add(p.Limit)
	var before error
	for pause := 50 * time.Millisecond; ; pause = min(pause*3/2, time.Second/2) {
		changed, err := change()
		if err != nil && before != nil && ctx.Err() != nil {
			return changed, before // more telling than that the caller gave up
		}
		if err == nil {
			return changed, nil
		}
		obstacle, passing := inTheWay(err)
		if !passing || !time.Now().Before(deadline) {
			return changed, err
		}
		before = err
		if swapped, crowded := p.pause(ctx, id, obstacle.Holder, pause); crowded {
			return changed, problem.CouldNotWait(err)
		} else if swapped {
			return changed, Swap(noun, obstacle)
		} else if ctx.Err() != nil {
			return changed, err
		}
	}
}

// pause waits for the object that has what the one with the ID is to get.
func (p *Patience) pause(ctx context.Context, id, holder string, pause time.Duration) (swapped, crowded bool) {
	if p.Wait != nil {
		done, may := p.Wait()
		if !may {
			return false, true
		}
		defer done()
	}
	mine := p.add(id, holder)
	defer p.remove(id)
	select {
	case <-ctx.Done():
	case <-mine.swap:
		return true, false
	case <-time.After(pause):
	}
	return false, false
}
