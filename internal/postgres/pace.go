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

// distantAnswer is how long it takes at least until a distant server answers.
const distantAnswer = 12 * time.Millisecond

func (p *pace) add(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == 0 || took < p.fastest {
		p.fastest = took
	}
	p.n++
}

// slow tells whether each of at least n took that long: then it is the distance and not what the server is busy with.
func (p *pace) slow(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n >= n && p.fastest >= distantAnswer
}
