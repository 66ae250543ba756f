package postgres

import (
	"sync"
	"time"
)

// pace knows how long something takes.
type pace struct {
	mu      sync.Mutex
	fastest time.Duration
	n       int
}

// Where each of the first took that long, it is the distance and not what the server is busy with.
const (
	distantAnswer = 12 * time.Millisecond
	distantAfter  = 3
)

func (p *pace) add(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == 0 || took < p.fastest {
		p.fastest = took
	}
	p.n++
}

func (p *pace) slow() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n >= distantAfter && p.fastest >= distantAnswer
}
