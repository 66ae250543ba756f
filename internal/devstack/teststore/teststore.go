// Package teststore gives tests buckets on a real object store: one server per test binary, a bucket of its own for each test.
package teststore

import (
	"fmt"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testserver"
)

var (
	server = testserver.New("object store", devstack.StartObjectStore)
	number atomic.Int64
)

// Stop stops the server, if a test has used it. Call it from TestMain.
func Stop() error { return server.Stop() }

// Main runs a package's tests, and stops the server.
func Main(m *testing.M) { testserver.Main(m, Stop) }

// Bucket is a test's own.
type Bucket struct {
	*devstack.ObjectStore
	Name string
}

// Start returns the server that the tests share.
func Start(t testing.TB) *devstack.ObjectStore {
	t.Helper()
	return server.Common(t)
}

// New makes a bucket on the common server.
func New(t testing.TB) Bucket {
	t.Helper()
	return on(t, server.Common(t), false)
}

// NewLocked makes a bucket on the common server that keeps versions, and whose objects can be locked until a time.
func NewLocked(t testing.TB) Bucket {
	t.Helper()
	return on(t, server.Common(t), true)
}

// Own makes a bucket on a server of the test's own, which it may kill and start again.
func Own(t testing.TB) Bucket {
	t.Helper()
	return on(t, server.Own(t), false)
}

func on(t testing.TB, store *devstack.ObjectStore, lock bool) Bucket {
	t.Helper()
	b := Bucket{store, fmt.Sprintf("bucket-%d", number.Add(1))}
	if err := store.CreateBucket(t.Context(), b.Name, lock); err != nil {
		t.Fatal(err)
	}
	return b
}

// URL is how gocloud.dev/blob opens the bucket, with the login of [devstack.ObjectStore.Env].
func (b Bucket) URL() string {
	return "s3://" + b.Name + "?" + url.Values{"endpoint": {b.Endpoint}, "use_path_style": {"true"}}.Encode()
}
