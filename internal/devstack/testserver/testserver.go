// Package testserver lets the tests of a binary share a server that starts when the first of them wants it.
package testserver

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

// Server is one that devstack starts.
type Server interface{ Stop(context.Context) error }

// Shared is a kind of server, of which tests share one and may have others of their own.
type Shared[S Server] struct {
	what   string
	start  func() (S, error)
	common func() (S, error)
	used   atomic.Bool
}

// New makes it from the function that starts such servers.
func New[S Server](what string, start func(context.Context, devstack.Options) (S, error)) *Shared[S] {
	s := &Shared[S]{what: what}
	s.start = func() (S, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute) // It may have to be built.
		defer cancel()
		return start(ctx, devstack.Options{Log: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }})
	}
	s.common = sync.OnceValues(func() (S, error) {
		server, err := s.start()
		s.used.Store(err == nil)
		return server, err
	})
	return s
}

// Common is the server that the tests share.
func (s *Shared[S]) Common(t testing.TB) S {
	t.Helper()
	return s.must(t, s.common)
}

// Own is a server of the test's own. It ends with the test.
func (s *Shared[S]) Own(t testing.TB) S {
	t.Helper()
	server := s.must(t, s.start)
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	return server
}

func (s *Shared[S]) must(t testing.TB, get func() (S, error)) S {
	t.Helper()
	server, err := get()
	if err != nil {
		t.Fatalf("no %s to test with: %s", s.what, err)
	}
	return server
}

// Stop stops the common server, if a test has used it.
func (s *Shared[S]) Stop() error {
	if !s.used.Load() {
		return nil
	}
	server, err := s.common()
	if err != nil {
		return err
	}
	return server.Stop(context.Background())
}

// Main runs a package's tests, and then stops what they used.
func Main(m *testing.M, stops ...func() error) {
	code := m.Run()
	for _, stop := range stops {
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, "cannot stop a test server:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}
