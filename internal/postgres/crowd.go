package postgres

import "sync"

// crowd knows how many callers all mergers of a process have at once. Terraform works on so many resources and no more, so that nobody
// else comes while all of them wait.
type crowd struct {
	mu sync.Mutex
	// here are those that wait or are served.
	here int
	// Arrivals are counted in periods. most is the highest number of here in this one, usual that in the one before.
	arrivals, most, usual int
	// complete is closed when as many are here as usual. nil if nobody asks.
	complete chan struct{}
}

// period is after how many arrivals the usual number is known anew.
const period = 50

func (c *crowd) enter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.here++
	c.most = max(c.most, c.here)
	if c.arrivals++; c.arrivals == period {
		c.arrivals, c.most, c.usual = 0, c.here, c.most
	}
	if c.complete != nil && c.isComplete() {
		close(c.complete)
		c.complete = nil
	}
}

func (c *crowd) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.here--
}

func (c *crowd) isComplete() bool { return c.usual > 0 && c.here >= max(c.usual, c.most) }

// everybody is closed when as many are here as usual.
func (c *crowd) everybody() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isComplete() {
		now := make(chan struct{})
		close(now)
		return now
	}
	if c.complete == nil {
		c.complete = make(chan struct{})
	}
	return c.complete
}
