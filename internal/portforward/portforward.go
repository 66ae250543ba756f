// Package portforward reaches a server inside a Kubernetes cluster from outside: it finds the pods behind a Service and
// leads connections to them through the API server, as `kubectl port-forward` does, but without a port on this machine that
// other programs could use, too.
package portforward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Config says which Service of which cluster. Without ConfigPaths and Host, the cluster is the one that this program runs in.
type Config struct {
	Namespace, Service string
	// ConfigPaths are kubeconfig files, of which the first that sets something counts; "~/" is the home folder.
	ConfigPaths []string
	// ConfigContext is the context in them; empty is their current one.
	ConfigContext string
	// Host is the URL of the API server. It and what follows count more than what the files say.
	Host string
	// Token, or ClientCertificate with ClientKey, or Exec is how to log in.
	Token string
	// CACertificate, ClientCertificate and ClientKey are PEM texts.
	CACertificate, ClientCertificate, ClientKey string
	Exec                                        *Exec
	// Insecure leaves the API server's certificate unchecked.
	Insecure bool
	// ProxyURL and TLSServerName are those of a kubeconfig.
	ProxyURL, TLSServerName string
	// UserAgent is what the API server's audit log names this program.
	UserAgent string
}

// Exec is a program that prints credentials, as in a kubeconfig.
type Exec struct {
	APIVersion, Command string
	Args                []string
	Env                 map[string]string
}

// ServerName is the name that a client inside the cluster would connect to.
func (c Config) ServerName() string { return c.Service + "." + c.Namespace + ".svc" }

// poll is how long to wait before the cluster is asked again.
const poll = 250 * time.Millisecond

// Forwarder leads connections to the pods behind a Service. Several goroutines may use it at once.
type Forwarder struct {
	config  Config
	connect func() (*cluster, error)
	streams atomic.Int64

	mu      sync.Mutex
	tunnels map[string]*tunnel // by pod
	made    map[string][]*conn // by address; see [Forwarder.try]
}

// New returns a Forwarder. It reads no file and connects to nothing; the first use does.
func New(config Config) *Forwarder {
	return &Forwarder{
		config:  config,
		connect: sync.OnceValues(func() (*cluster, error) { return newCluster(config) }),
		tunnels: map[string]*tunnel{}, made: map[string][]*conn{},
	}
}

// Find returns where the Service's port leads at the moment, as addresses for Dial. While nobody is ready and accepts connections, as
// during a failover, it waits until the context ends.
func (f *Forwarder) Find(ctx context.Context, port int) ([]string, error) {
	began := time.Now()
	var last *problem.Problem
	for {
		addresses, err := f.find(ctx, port)
		var passing passingError
		switch {
		case errors.Is(ctx.Err(), context.Canceled):
			return nil, ctx.Err()
		case !errors.As(err, &passing):
			return addresses, err
		case last == nil || ctx.Err() == nil: // else it says no more than that the time is over
			last = passing.problem
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, ctx.Err()
			}
			return nil, problem.New(fmt.Sprintf("%s (waited %.1f s)", last.Text(), time.Since(began).Seconds()), last.Remedy()).
				Because(ctx.Err())
		}
	}
}

// grace is how long those that are slower than the first have to show that they can be reached.
const grace = 500 * time.Millisecond

// find asks once, and returns those that can be reached.
func (f *Forwarder) find(ctx context.Context, port int) (addresses []string, err error) {
	c, err := f.connect()
	if err != nil {
		return nil, err
	}
	targets, err := c.targets(ctx, f.config, port)
	if err != nil {
		return nil, err
	}
	type result struct {
		address string
		err     error
	}
	results := make(chan result, len(targets))
	for _, t := range targets {
		go func() {
			address := net.JoinHostPort(t.pod, strconv.Itoa(t.port))
			results <- result{address, f.try(ctx, c, t.uid, address)}
		}()
	}
	var enough <-chan time.Time
	for range targets {
		select {
		case r := <-results:
			if r.err != nil {
				err = r.err
				continue
			}
			addresses = append(addresses, r.address)
			enough = time.After(grace)
		case <-enough:
			return addresses, nil
		}
	}
	if len(addresses) > 0 {
		err = nil
	}
	return addresses, err
}

const (
	// refusalTime is how soon a pod refuses that does.
	refusalTime = 25 * time.Millisecond
	// unclaimed is how long a connection waits for the Dial that it was made for.
	unclaimed = 2 * time.Second
)

// try makes a connection for a Dial to come: only that shows whether a pod which is said to be ready accepts any.
func (f *Forwarder) try(ctx context.Context, cluster *cluster, uid, address string) error {
	c, err := f.open(ctx, cluster, uid, address)
	if err != nil {
		return err
	}
	select {
	case <-c.ended:
		if fault := c.fault.Load(); fault != nil {
			_ = c.Close()
			return passingError{fault}
		}
	case <-time.After(refusalTime):
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made[address] = append(f.made[address], c)
	time.AfterFunc(unclaimed, func() {
		if f.claim(address, c) != nil {
			_ = c.Close()
		}
	})
	return nil
}

// claim takes a connection that was made, or any if none is given.
func (f *Forwarder) claim(address string, one *conn) *conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, c := range f.made[address] {
		if c == one || one == nil {
			f.made[address] = slices.Delete(f.made[address], i, i+1)
			return c
		}
	}
	return nil
}

// Dial connects to an address that Find has returned.
func (f *Forwarder) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	if c := f.claim(address, nil); c != nil {
		return c, nil
	}
	c, err := f.connect()
	if err != nil {
		return nil, err
	}
	return f.open(ctx, c, "", address)
}

// open opens a connection to a pod. Without uid, any pod of that name will do.
func (f *Forwarder) open(ctx context.Context, cluster *cluster, uid, address string) (*conn, error) {
	pod, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	for {
		t, err := f.tunnel(ctx, cluster, pod, uid)
		if err != nil {
			return nil, err
		}
		if t.use() { // else it has just been given up for having been idle
			return t.dial(ctx, address, port, f.streams.Add(1))
		}
	}
}

// passingError is a problem that may pass by itself within seconds.
type passingError struct{ problem *problem.Problem }

func (e passingError) Error() string { return e.problem.Error() }

func (e passingError) Unwrap() error { return e.problem }
