package cluster_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/cluster"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// api stands in for Patroni's REST API: the real one is that of the end-to-end tests. Its answers are what Patroni 4.1 gives.
type api struct {
	*httptest.Server
	patroni cluster.Patroni
	pair    tls.Certificate
}

func issue(t *testing.T, by *devstack.Authority) (certificate, key string) {
	t.Helper()
	certificate, key, err := by.Issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "api"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

func newAPI(t *testing.T, answer func(path string) string) api {
	t.Helper()
	authority, err := devstack.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	certificate, key := issue(t, authority)
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(authority.PEM()))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text := answer(r.URL.Path); text != "" {
			_, _ = io.WriteString(w, text)
			return
		}
		http.Redirect(w, r, "/cluster", http.StatusFound)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	return api{server, cluster.Patroni{
		URLs: []string{server.URL}, Authorities: []byte(authority.PEM()), Certificate: []byte(certificate), Key: []byte(key),
	}, pair}
}

// showsCertificate is what PostgreSQL does before a login.
func showsCertificate(t *testing.T, pair tls.Certificate) (port int) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			request := make([]byte, 8)
			_, _ = io.ReadFull(conn, request)
			_, _ = conn.Write([]byte{'S'})
			_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13}).
				HandshakeContext(context.Background())
			_ = conn.Close()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

func TestReadFromPatroni(t *testing.T) {
	t.Parallel()
	var address string
	port := 1
	a := newAPI(t, func(path string) string {
		switch path {
		case "/cluster":
			return fmt.Sprintf(`{"members": [
				{"name": "pg-2", "role": "replica", "state": "running", "api_url": "%[1]s/pg-2", "host": "127.0.0.1", "port": 1, "timeline": 3, "lag": "unknown"},
				{"name": "pg-1", "role": "sync_standby", "state": "streaming", "api_url": "%[1]s/pg-1", "host": "127.0.0.1", "port": %[2]d,
					"timeline": 4, "receive_lag": 0, "replay_lag": 4096, "lag": 4096},
				{"name": "pg-3", "role": "quorum_standby", "state": "streaming", "api_url": "%[1]s/gone", "host": "127.0.0.1", "port": 1, "timeline": 4, "replay_lag": 0},
				{"name": "pg-0", "role": "leader", "state": "running", "api_url": "%[1]s/pg-0", "host": "127.0.0.1", "port": %[2]d, "timeline": 4}],
				"scope": "pg", "pause": true}`, address, port)
		case "/pg-1":
			return fmt.Sprintf(`{"role": "replica", "xlog": {"replayed_timestamp": %q}}`, time.Now().UTC().Add(-time.Minute).Format("2006-01-02 15:04:05.999999-07:00"))
		}
		return ""
	})
	address, port = a.URL, showsCertificate(t, a.pair)
	a.patroni.URLs = append([]string{"https://127.0.0.1:1"}, a.patroni.URLs...)
	got, err := cluster.ReadFromPatroni(t.Context(), a.patroni)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "pg" || !got.Paused || len(got.Members) != 4 {
		t.Fatalf("got %+v", got)
	}
	var told []string
	for _, m := range got.Members {
		text := fmt.Sprintf("%s %s %s %d %t", *m.Name, m.Role, *m.State, *m.Timeline, m.Synchronous)
		if m.LagBytes != nil {
			text += fmt.Sprintf(" %d", *m.LagBytes)
		}
		if m.LagSeconds != nil {
			text += fmt.Sprintf(" %.0f", *m.LagSeconds)
		}
		if m.CertificateNotAfter != nil && m.CertificateNotAfter.Equal(a.pair.Leaf.NotAfter) {
			text += " expires"
		}
		told = append(told, text)
	}
	want := "pg-0 leader running 4 false expires, pg-1 replica streaming 4 true 4096 60 expires, pg-2 replica running 3 false, " +
		"pg-3 replica streaming 4 true 0 0"
	if got := strings.Join(told, ", "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestPatroniRefuses: what is wrong is told on the argument, and never with the key.
func TestPatroniRefuses(t *testing.T) {
	t.Parallel()
	a, other := newAPI(t, func(path string) string {
		if path == "/other/cluster" {
			return "<html>"
		}
		return ""
	}), newAPI(t, func(string) string { return "{}" })
	for says, change := range map[string]func(*cluster.Patroni){
		"certificate signed by unknown authority": func(p *cluster.Patroni) { p.Authorities = other.patroni.Authorities },
		"tls: unknown certificate authority":      func(p *cluster.Patroni) { p.Certificate, p.Key = other.patroni.Certificate, other.patroni.Key },
		"are no usable pair":                      func(p *cluster.Patroni) { p.Key = other.patroni.Key },
		"hold no PEM certificate":                 func(p *cluster.Patroni) { p.Authorities = []byte("x") },
		"it answers 302 Found":                    func(*cluster.Patroni) {},
		"is not Patroni's":                        func(p *cluster.Patroni) { p.URLs = []string{a.URL + "/other/"} },
		"connection refused":                      func(p *cluster.Patroni) { p.URLs = []string{"https://127.0.0.1:1"} },
	} {
		p := a.patroni
		change(&p)
		_, err := cluster.ReadFromPatroni(t.Context(), p)
		var told problem.Error
		if !errors.As(err, &told) || told.Attribute() != "patroni" || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v", says, err)
		}
		if strings.Contains(fmt.Sprint(err), "PRIVATE KEY") {
			t.Errorf("the error shows a key: %v", err)
		}
	}
}
