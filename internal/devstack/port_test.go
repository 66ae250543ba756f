package devstack

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"
)

// Whoever takes the port first makes the start fail in a way that is told from other failures.
func TestPortTaken(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	from, err := findSource(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := startPostgres(t.Context(), Options{}, from, listener.Addr().(*net.TCPAddr).Port)
	if err == nil {
		_ = p.Stop(context.Background())
		t.Fatal("the server started on a port that is taken")
	}
	if p == nil || !portTaken(p.port) || !strings.Contains(err.Error(), "could not bind") {
		t.Fatalf("got %v, and the start is not tried again", err)
	}
	if _, err := os.Stat(p.process.dir); !os.IsNotExist(err) {
		t.Error("the folder of the first try is left")
	}
}
