package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// proxy passes connections on to a server as a network would that is slow, but not narrow: what comes in goes out after a while.
type proxy struct {
	listener    net.Listener
	server      string
	delay       time.Duration // one way
	connections atomic.Int64
}

func newProxy(ctx context.Context, server string, delay time.Duration) (*proxy, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, server: server, delay: delay}
	go p.serve(ctx)
	return p, nil
}

func (p *proxy) serve(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		server, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.connections.Add(1)
		go p.pass(client, server)
		go p.pass(server, client)
	}
}

type chunk struct {
	bytes []byte
	due   time.Time
}

// pass takes bytes on as they come and hands them on when each is due.
func (p *proxy) pass(from, to net.Conn) {
	chunks := make(chan chunk, 1024)
	go func() {
		defer close(chunks)
		for {
			buffer := make([]byte, 32<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				chunks <- chunk{buffer[:n], time.Now().Add(p.delay)}
			}
			if err != nil {
				return // also when it has ended
			}
		}
	}()
	for next := range chunks {
		time.Sleep(time.Until(next.due))
		if _, err := to.Write(next.bytes); err != nil {
			break
		}
	}
	_ = to.Close()
	_, _ = io.Copy(io.Discard, from)
}

func (p *proxy) port() int {
	address, _ := p.listener.Addr().(*net.TCPAddr)
	return address.Port
}
