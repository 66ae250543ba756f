package portforward

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport/websocket"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

const (
	// protocol is what the streams speak, and overWebsocket how it is called within a websocket.
	protocol      = "portforward.k8s.io"
	overWebsocket = "SPDY/3.1+" + protocol
	// pingPeriod shows each side that the other is there.
	pingPeriod = 10 * time.Second
	// openTimeout bounds the opening of a tunnel, for which several may wait.
	openTimeout = 20 * time.Second
	// idleTimeout is how long a tunnel without connections stays.
	idleTimeout = 10 * time.Second
)

// tunnel is one connection to a pod through the API server, in which others run side by side.
type tunnel struct {
	uid    string
	opened chan struct{} // closed when streams or err is there
	err    error
	httpstream.Connection
	kill func()
	drop func() // forgets it

	mu      sync.Mutex
	users   int
	dropped bool
	idle    *time.Timer
}

// tunnel returns the tunnel to a pod, opened if there is none that works. Without uid, any pod of that name will do.
func (f *Forwarder) tunnel(ctx context.Context, c *cluster, pod, uid string) (*tunnel, error) {
	f.mu.Lock()
	t := f.tunnels[pod]
	if t != nil && (t.broken() || uid != "" && t.uid != "" && t.uid != uid) {
		f.forget(pod, t)
		t = nil
	}
	if t == nil {
		t = &tunnel{uid: uid, opened: make(chan struct{})}
		t.drop = func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.forget(pod, t)
		}
		f.tunnels[pod] = t
		go t.open(c, f.config.Namespace, pod) //nolint:contextcheck,gosec // Others may wait for it, too.
	}
	f.mu.Unlock()
	select {
	case <-t.opened:
		return t, t.err
	case <-ctx.Done():
		return nil, passingError{problem.New(fmt.Sprintf("the Kubernetes API server does not get through to pod %q", pod),
			"Look at the pod and its node").Because(ctx.Err())}
	}
}

// forget makes sure that nobody else gets the tunnel. Connections in it go on. The caller holds the lock.
func (f *Forwarder) forget(pod string, t *tunnel) {
	if f.tunnels[pod] == t {
		delete(f.tunnels, pod)
	}
	go t.retire()
}

func (t *tunnel) open(c *cluster, namespace, pod string) {
	defer close(t.opened)
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	where := c.base.JoinPath("api/v1/namespaces", namespace, "pods", pod, "portforward")
	t.Connection, t.kill, t.err = c.upgrade(ctx, where, namespace)
	if t.err == nil {
		t.idle = time.AfterFunc(idleTimeout, t.drop)
	}
}

// broken tells a tunnel of which it is known.
func (t *tunnel) broken() bool {
	select {
	case <-t.opened:
	default:
		return false
	}
	if t.err != nil {
		return true
	}
	select {
	case <-t.CloseChan():
		return true
	default:
		return false
	}
}

// use counts a user, unless the tunnel is gone.
func (t *tunnel) use() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dropped {
		return false
	}
	t.idle.Stop()
	t.users++
	return true
}

func (t *tunnel) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.users--
	if t.users > 0 {
		return
	}
	if t.dropped {
		go t.kill()
		return
	}
	t.idle.Reset(idleTimeout)
}

// retire closes the tunnel once nobody uses it.
func (t *tunnel) retire() {
	<-t.opened
	if t.err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle.Stop()
	t.dropped = true
	if t.users == 0 {
		go t.kill()
	}
}

// dial opens a connection in the tunnel, of which the caller is counted as a user. Whether the pod accepts it, only the first read
// tells.
func (t *tunnel) dial(ctx context.Context, address, port string, id int64) (*conn, error) {
	type result struct {
		data, faults httpstream.Stream
		err          error
	}
	results := make(chan result, 1)
	go func() {
		var r result
		if r.faults, r.err = t.stream("error", port, id); r.err == nil {
			_ = r.faults.Close() // Only the other side writes.
			r.data, r.err = t.stream("data", port, id)
		}
		results <- r
	}()
	var err error
	select {
	case r := <-results:
		if r.err == nil {
			return newConn(t, address, r.data, r.faults), nil
		}
		err = r.err
	case <-ctx.Done():
		if err = ctx.Err(); errors.Is(err, context.DeadlineExceeded) {
			go t.kill() // It moves no more, for nobody.
		}
	}
	t.drop()
	t.leave()
	if errors.Is(err, context.Canceled) {
		return nil, err
	}
	text := fmt.Sprintf("the tunnel to pod %s through the Kubernetes API server broke: %s", address, err)
	return nil, passingError{problem.New(text, "Apply again").Because(err)}
}

// stream opens one of the two streams of a connection.
func (t *tunnel) stream(kind, port string, id int64) (httpstream.Stream, error) {
	header := http.Header{}
	header.Set("streamType", kind)
	header.Set("port", port)
	header.Set("requestID", strconv.FormatInt(id, 10))
	return t.CreateStream(header)
}

// upgrade opens a tunnel. Of the two ways websockets come first, since they get through proxies; older API servers know SPDY only.
// kill ends it even when nothing moves any more.
func (c *cluster) upgrade(ctx context.Context, where *url.URL, namespace string) (conn httpstream.Connection, kill func(), err error) {
	conn, kill, err = c.upgradeToWebsocket(ctx, where)
	if httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err) {
		return c.upgradeToSPDY(ctx, where, namespace)
	}
	if err != nil {
		err = c.unanswered(err)
	}
	return conn, kill, err
}

func (c *cluster) upgradeToWebsocket(ctx context.Context, where *url.URL) (httpstream.Connection, func(), error) {
	transport, holder, err := websocket.RoundTripperFor(c.login)
	if err != nil {
		return nil, nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	socket, err := websocket.Negotiate(transport, holder, request, overWebsocket)
	if err != nil {
		return nil, nil, err
	}
	carrier := &carrier{Conn: socket}
	conn, err := spdy.NewClientConnectionWithPings(carrier, pingPeriod)
	return conn, func() { _ = carrier.Close() }, err
}

func (c *cluster) upgradeToSPDY(ctx context.Context, where *url.URL, namespace string) (httpstream.Connection, func(), error) {
	settings, err := rest.TLSConfigFor(c.login)
	if err != nil {
		return nil, nil, unusable(err)
	}
	if settings == nil {
		settings = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	proxy := c.login.Proxy
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	upgrader, err := spdy.NewRoundTripperWithConfig(spdy.RoundTripperConfig{TLS: settings, Proxier: proxy, PingPeriod: pingPeriod})
	if err != nil {
		return nil, nil, unusable(err)
	}
	transport, err := rest.HTTPWrappersForConfig(c.login, upgrader)
	if err != nil {
		return nil, nil, unusable(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, where.String(), http.NoBody)
	if err != nil {
		return nil, nil, unusable(err)
	}
	request.Header.Set(httpstream.HeaderProtocolVersion, protocol)
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, nil, c.unanswered(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
		err := refusal(response.StatusCode, text, permission{"create, get", "", "pods/portforward"}, namespace)
		var told *problem.Problem
		if response.StatusCode == http.StatusNotFound && errors.As(err, &told) {
			err = passingError{told} // The endpoints will soon tell of its end.
		}
		return nil, nil, err
	}
	conn, err := upgrader.NewConnection(response)
	if err != nil {
		return nil, nil, c.unanswered(err)
	}
	return conn, func() { _ = conn.Close() }, nil
}
