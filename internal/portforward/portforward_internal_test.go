package portforward

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func echo(c net.Conn) {
	_, _ = io.Copy(c, c)
	_ = c.Close()
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// find expects addresses.
func find(t *testing.T, f *Forwarder, want ...string) {
	t.Helper()
	got, err := f.Find(within(t, 5*time.Second), 5432)
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func dial(t *testing.T, f *Forwarder) net.Conn {
	t.Helper()
	c, err := f.Dial(within(t, 5*time.Second), "tcp", "pg-0:15432")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// echoes expects to hear what it says.
func echoes(t *testing.T, c net.Conn, size int) {
	t.Helper()
	said, heard := make([]byte, size), make([]byte, size)
	_, _ = rand.Read(said)
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	failed := make(chan error, 1)
	go func() {
		_, err := c.Write(said)
		failed <- err
	}()
	if _, err := io.ReadFull(c, heard); err != nil || !bytes.Equal(said, heard) {
		t.Fatalf("an echo of %d bytes is wrong: %v", size, err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

func TestForward(t *testing.T) {
	t.Parallel()
	for name, spdyOnly := range map[string]bool{"websocket": false, "SPDY": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t)
			s.spdyOnly = spdyOnly
			s.pod(t, echo)
			f := s.forwarder()
			find(t, f, "pg-0:15432")
			var all sync.WaitGroup
			for range 8 {
				c := dial(t, f)
				if got := c.RemoteAddr(); got.String() != "pg-0:15432" || got.Network() != "tcp" {
					t.Errorf("the other side is %v", got) // where a request to cancel goes
				}
				all.Go(func() { echoes(t, c, 3<<20) })
			}
			all.Wait()
			if n := s.opened("pg-0"); n != 1 {
				t.Errorf("there are %d tunnels", n)
			}
		})
	}
}

// What is not read holds up nobody else, and does not get lost.
func TestUnreadConnection(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	s.pod(t, echo)
	f := s.forwarder()
	unread := dial(t, f)
	_ = unread.SetWriteDeadline(time.Now().Add(5 * time.Second))
	said := bytes.Repeat([]byte("x"), 300<<10)
	if _, err := unread.Write(said); err != nil {
		t.Fatal(err)
	}
	for range 20 { // streams share five queues
		echoes(t, dial(t, f), 1<<10)
	}
	heard := make([]byte, len(said))
	if _, err := io.ReadFull(unread, heard); err != nil || !bytes.Equal(said, heard) {
		t.Error(err)
	}
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	s.pod(t, func(c net.Conn) { // neither reads nor writes
		<-release
		_ = c.Close()
	})
	c := dial(t, s.forwarder())
	soon := func() time.Time { return time.Now().Add(50 * time.Millisecond) }
	_ = c.SetReadDeadline(soon())
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read ends with %v", err)
	}
	_ = c.SetReadDeadline(time.Time{})
	blocked := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		blocked <- err
	}()
	time.Sleep(50 * time.Millisecond)
	_ = c.SetDeadline(time.Now().Add(-time.Hour)) // as pgx does to interrupt
	var network net.Error
	if err := <-blocked; !errors.As(err, &network) || !network.Timeout() {
		t.Errorf("a read that is interrupted ends with %v", err)
	}
	_ = c.SetDeadline(time.Now().Add(time.Second))
	var err error
	for n := 0; err == nil && n < 64<<20; n += 1 << 20 {
		_, err = c.Write(make([]byte, 1<<20))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write ends with %v", err)
	}
	_ = c.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a closed connection can be read")
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	closed := make(chan struct{}, 2)
	s.pod(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "last words")
		b := make([]byte, 1)
		if n, _ := c.Read(b); n == 1 && b[0] == 'q' {
			_ = c.Close()
			return
		}
		closed <- struct{}{}
	})
	f := s.forwarder()
	c := dial(t, f)
	if _, err := io.WriteString(c, "q"); err != nil {
		t.Fatal(err)
	}
	if heard, err := io.ReadAll(c); err != nil || string(heard) != "last words" {
		t.Errorf("heard %q, %v", heard, err)
	}
	var broken *net.OpError
	if _, err := io.WriteString(c, "more"); !errors.As(err, &broken) || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a write after the end ends with %v", err)
	}
	_ = dial(t, f).Close()
	select {
	case <-closed:
	case <-time.After(linger - 200*time.Millisecond): // then it would be told the hard way
		t.Error("the pod is not told that the client has gone")
	}
}

// Whether a pod accepts connections, only a connection tells. When its network is another by now, a new tunnel finds it.
func TestRefusedByPod(t *testing.T) {
	t.Parallel()
	for text, test := range map[string]struct {
		says    string
		tunnels int
	}{
		"error forwarding port: connect: connection refused": {"pod pg-0:15432 refuses the connection", 1},
		"sandbox not found": {"the way to pod pg-0:15432 broke: sandbox not found", 2},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t)
			s.fault = text
			f := s.forwarder()
			c := dial(t, f)
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			_, err := c.Read(make([]byte, 1))
			if refused := errors.Is(err, syscall.ECONNREFUSED); refused != (test.tunnels == 1) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v", err)
			}
			s.pod(t, echo)
			echoes(t, dial(t, f), 10)
			if n := s.opened("pg-0"); n != test.tunnels {
				t.Errorf("there were %d tunnels", n)
			}
		})
	}
}

func TestFindWaitsForAServer(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	f := s.forwarder()
	if _, err := f.Find(within(t, 600*time.Millisecond), 5432); err == nil ||
		!strings.Contains(err.Error(), "pod pg-0:15432 refuses the connection (waited 0.6 s)") {
		t.Errorf("got %v", err)
	}
	var accepted atomic.Int32
	time.AfterFunc(400*time.Millisecond, func() {
		s.pod(t, func(c net.Conn) {
			accepted.Add(1)
			echo(c)
		})
	})
	find(t, f, "pg-0:15432")
	echoes(t, dial(t, f), 10)
	if n := accepted.Load(); n != 1 {
		t.Errorf("the server has accepted %d connections; want that with which it was tried", n)
	}
	find(t, f, "pg-0:15432") // and nobody dials
	time.Sleep(unclaimed + 500*time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.made["pg-0:15432"]) != 0 {
		t.Error("a connection that nobody wants is still there")
	}
}

func TestTunnelBreaks(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	s.pod(t, echo)
	f := s.forwarder()
	c := dial(t, f)
	echoes(t, c, 10)
	s.breakTunnels()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection in a broken tunnel says %v", err)
	}
	echoes(t, dial(t, f), 10)
}

// A StatefulSet gives a new pod the name of the old one.
func TestPodIsReplaced(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	s.pod(t, echo)
	f := s.forwarder()
	find(t, f, "pg-0:15432")
	old := dial(t, f)
	s.answer(slicesPath, always(endpoints("pg-0", "uid-1", true)))
	find(t, f, "pg-0:15432")
	find(t, f, "pg-0:15432")
	echoes(t, dial(t, f), 10)
	echoes(t, old, 10) // Who still has a connection keeps it.
	if n := s.opened("pg-0"); n != 2 {
		t.Errorf("there were %d tunnels", n)
	}
}

func TestFindWaitsForAFailover(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	s.pod(t, echo)
	var asked atomic.Int32
	s.answer(slicesPath, func() (int, string) {
		switch asked.Add(1) {
		case 1:
			return http.StatusOK, `{"items": []}`
		case 2:
			return http.StatusOK, endpoints("pg-0", "uid-0", false)
		case 3:
			return http.StatusServiceUnavailable, `{"message": "etcd has no leader"}`
		}
		return http.StatusOK, endpoints("pg-0", "uid-0", false, "pg-1", "uid-1", true, "pg-2", "uid-2", true)
	})
	s.refuses["pg-2"] = http.StatusNotFound // It is gone, and its endpoint not yet.
	find(t, s.forwarder(), "pg-1:15432")
}

func TestFindFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*apiServer)
		says   string
	}{
		"nobody is ready": {
			func(s *apiServer) { s.answers[slicesPath] = always(endpoints("pg-0", "uid-0", false)) },
			`no endpoint of Service "pg-primary" in namespace "db" is ready (waited 0.6 s)`,
		},
		"nobody is ready, and then there is no answer": {
			func(s *apiServer) {
				var asked atomic.Int32
				s.answers[slicesPath] = func() (int, string) {
					if asked.Add(1) > 1 {
						time.Sleep(time.Second)
					}
					return http.StatusOK, `{"items": []}`
				}
			}, "is ready (waited 0.6 s)",
		},
		"the pod is gone": {func(s *apiServer) { s.refuses["pg-0"] = http.StatusNotFound }, "pods pg-0 is refused (waited 0.6 s)"},
		"no such port": {
			func(s *apiServer) {
				s.answers[servicePath] = always(`{"spec": {"ports": [{"port": 5433}, {"port": 53, "protocol": "UDP"}]}}`)
			},
			`has no TCP port 5432. Set port to the Service's own, not to the pods': 5433`,
		},
		"no such Service": {func(s *apiServer) { delete(s.answers, servicePath) }, "not found. Check namespace and service"},
		"no pods": {
			func(s *apiServer) {
				s.answers[slicesPath] = always(`{"items": [{"ports": [{"name": "postgresql", "port": 5432}], "endpoints": [{}]}]}`)
			}, "are no pods",
		},
		"no right to forward": {
			func(s *apiServer) { s.refuses["pg-0"] = http.StatusForbidden },
			`pods pg-0 is refused. Give this login a Role in namespace "db" with the rule ` +
				`{apiGroups: [""], resources: [pods/portforward], verbs: [create, get]}`,
		},
		"no right to list": {
			func(s *apiServer) {
				s.answers[slicesPath] = func() (int, string) { return http.StatusForbidden, `{"message": "forbidden"}` }
			}, `{apiGroups: ["discovery.k8s.io"], resources: [endpointslices], verbs: [list]}`,
		},
		"no login": {func(s *apiServer) {
			s.answers[servicePath] = func() (int, string) { return http.StatusUnauthorized, `` }
		}, "does not accept the login"},
		"no API server": {func(s *apiServer) { s.answers[servicePath] = always("<html>") }, "is no Kubernetes API server"},
		"closed":        {func(s *apiServer) { s.Close() }, "connection refused (waited 0.6 s)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t)
			s.pod(t, echo)
			test.change(s)
			_, err := s.forwarder().Find(within(t, 600*time.Millisecond), 5432)
			if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), token) {
				t.Errorf("got %v; want %s", err, test.says)
			}
		})
	}
}

func TestFindIsCancelled(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	s.answer(slicesPath, always(`{"items": []}`))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := s.forwarder().Find(ctx, 5432); err == nil || err.Error() != context.Canceled.Error() {
		t.Errorf("got %v; want no more than that it was cancelled", err)
	}
}

// The API server's certificate is checked, and so is what else the login says.
func TestLogins(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	s.pod(t, echo)
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	kubeconfig := file("config", `{"apiVersion": "v1", "kind": "Config", "current-context": "other",
		"clusters": [{"name": "here", "cluster": {"server": "`+s.URL+`", "certificate-authority": "`+file("ca.pem", authority)+`"}}],
		"users": [{"name": "me", "user": {"token": "`+token+`"}}],
		"contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}]}`)
	prints := file("prints", "#!/bin/sh\necho '{\"kind\": \"ExecCredential\", \"apiVersion\": \"client.authentication.k8s.io/v1\", "+
		"\"status\": {\"token\": \"'$SAYS'\"}}'\n")
	exec := func(says string) *Exec {
		return &Exec{APIVersion: "client.authentication.k8s.io/v1", Command: prints, Env: map[string]string{"SAYS": says}}
	}
	for name, test := range map[string]struct {
		config Config
		says   string
	}{
		"kubeconfig":          {Config{ConfigPaths: []string{kubeconfig}, ConfigContext: "here"}, ""},
		"exec":                {Config{Host: s.URL, CACertificate: authority, Exec: exec(token)}, ""},
		"insecure":            {Config{Host: s.URL, Insecure: true, Token: token}, ""},
		"another's token":     {Config{Host: s.URL, CACertificate: authority, Exec: exec("other")}, "does not accept the login"},
		"no context":          {Config{ConfigPaths: []string{kubeconfig}}, "context was not found for specified context: other"},
		"no file":             {Config{ConfigPaths: []string{filepath.Join(folder, "secret")}}, "cannot be read: no such file"},
		"unknown authority":   {Config{Host: s.URL, Token: token}, "certificate signed by unknown authority"},
		"another server name": {Config{Host: s.URL, CACertificate: authority, TLSServerName: "other.test", Token: token}, "not other.test"},
		"no program": {
			Config{Host: s.URL, CACertificate: authority, Exec: &Exec{APIVersion: "client.authentication.k8s.io/v1", Command: "/nowhere"}},
			"/nowhere",
		},
		"nothing": {Config{}, "no Kubernetes cluster is named"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.config.Namespace, test.config.Service = "db", "pg-primary"
			_, err := New(test.config).Find(within(t, 5*time.Second), 5432)
			told := "nothing"
			if err != nil {
				told = err.Error()
			}
			if test.says == "" {
				test.says = "nothing"
			}
			if !strings.Contains(told, test.says) || strings.Contains(told, token) || strings.Contains(told, "secret") {
				t.Errorf("got %s; want %s", told, test.says)
			}
		})
	}
}
