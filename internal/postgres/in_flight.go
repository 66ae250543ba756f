package postgres

import "sync"

// terraformParallelism is how many resources Terraform works on at once, unless it is told otherwise.
const terraformParallelism = 10

// InFlight counts the requests that wait for an answer of one server. Once they are as many as there ever were, all workers of
// Terraform wait, and waiting for more of them is no use.
type InFlight struct {
	mu   sync.Mutex
	now  int
	most int
	all  chan struct{} // closed while there are as many as ever
}

func newInFlight() *InFlight { return &InFlight{most: terraformParallelism, all: make(chan struct{})} }

func (f *InFlight) add() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now++
	if f.now == f.most {
		close(f.all)
	}
	f.most = max(f.most, f.now)
}

func (f *InFlight) remove(n int) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now == f.most {
		f.all = make(chan struct{})
	}
	f.now -= n
}

// full is closed once all wait. It is nil for none.
func (f *InFlight) full() <-chan struct{} {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all
}
