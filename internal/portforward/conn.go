package portforward

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/streaming/pkg/httpstream"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

const (
	// linger is how long each side waits for the last words of the other.
	linger = time.Second
	// ahead is how many pieces may arrive before somebody reads them: a connection that is not read would hold up the others.
	ahead = 64
)

// podAddress is the address of a pod's port, as Dial takes it, so that a request to cancel gets to the same pod.
type podAddress string

func (podAddress) Network() string  { return "tcp" }
func (a podAddress) String() string { return string(a) }

// conn is a connection in a tunnel. It is one end of a pipe, whose deadlines hold whatever becomes of the tunnel.
type conn struct {
	net.Conn
	remote podAddress
	ended  chan struct{} // closed when the pod has ended it, after which fault may say why
	fault  atomic.Pointer[problem.Problem]
}

func newConn(t *tunnel, address string, data, faults httpstream.Stream) *conn {
	near, far := net.Pipe()
	c := &conn{Conn: near, remote: podAddress(address), ended: make(chan struct{})}
	go func() {
		c.receive(t, data, faults, far)
		close(c.ended)
	}()
	go func() {
		defer t.leave()
		_, _ = io.Copy(data, far)
		_ = data.Close()
		select {
		case <-c.ended:
		case <-time.After(linger):
		}
		_, _ = data.Reset(), faults.Reset()
		t.RemoveStreams(data, faults)
	}()
	return c
}

// receive passes on what the pod sends, and at the end why it ended.
func (c *conn) receive(t *tunnel, data, faults httpstream.Stream, far net.Conn) {
	defer func() { _ = far.Close() }()
	told := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(io.LimitReader(faults, 4<<10))
		told <- string(text)
	}()
	arrived := make(chan []byte, ahead)
	go func() {
		defer close(arrived)
		buffer := make([]byte, 32<<10)
		for {
			n, err := data.Read(buffer)
			if n > 0 {
				arrived <- append([]byte(nil), buffer[:n]...)
			}
			if err != nil {
				return
			}
		}
	}()
	var err error
	for piece := range arrived {
		if err == nil { // else nobody reads any more
			_, err = far.Write(piece)
		}
	}
	select {
	case text := <-told:
		if text != "" {
			fault := explain(string(c.remote), text)
			c.fault.Store(fault)
			if !errors.Is(fault, syscall.ECONNREFUSED) {
				t.drop() // The pod's network may be another by now.
			}
		}
	case <-time.After(linger):
	}
}

// explain words what the node says about a connection that it could not make or keep.
func explain(address, text string) *problem.Problem {
	if strings.Contains(text, "connection refused") {
		return problem.New(fmt.Sprintf("pod %s refuses the connection", address), "Apply again when the server in it has started").
			Because(syscall.ECONNREFUSED)
	}
	return problem.New(fmt.Sprintf("the way to pod %s broke: %s", address, strings.TrimSpace(text)), "Apply again")
}

func (c *conn) RemoteAddr() net.Addr { return c.remote }

// Read is like that of a connection over TCP, also in its errors.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.explain("read", err)
}

// Write hands over to the tunnel. Whether that gets through, later calls tell.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.explain("write", err)
}

func (c *conn) explain(operation string, err error) error {
	switch fault := c.fault.Load(); {
	case err == nil || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe):
		return err
	case fault != nil:
		err = fault
	case errors.Is(err, io.EOF):
		return err
	default:
		err = syscall.EPIPE
	}
	return &net.OpError{Op: operation, Net: "tcp", Addr: c.remote, Err: err}
}
