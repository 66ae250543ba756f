// Package testvault gives tests mounts on a real Vault: one server per test binary, mounts of its own for each test.
package testvault

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testserver"
)

var (
	server = testserver.New("Vault", devstack.StartVault)
	number atomic.Int64
)

// Stop stops the server, if a test has used it. Call it from TestMain.
func Stop() error { return server.Stop() }

// Main runs a package's tests, and stops the server.
func Main(m *testing.M) { testserver.Main(m, Stop) }

// Mounts are a test's own secrets engines. They are removed when it ends.
type Mounts struct {
	t testing.TB
	*devstack.Vault
	// PKI is a mount with a root authority, and a role named Role, which issues anything for up to 30 days.
	PKI, Role string
	// KV is a KV store, version 2.
	KV string
}

// New makes mounts on the common server.
func New(t testing.TB) *Mounts {
	t.Helper()
	return on(t, server.Common(t))
}

// Own makes mounts on a server of the test's own, which it may seal and stop. With VAULT_ADDR there is none, and the test
// is skipped.
func Own(t testing.TB) *Mounts {
	t.Helper()
	if os.Getenv("VAULT_ADDR") != "" {
		t.Skip("VAULT_ADDR names a server that is not ours to stop")
	}
	return on(t, server.Own(t))
}

func on(t testing.TB, v *devstack.Vault) *Mounts {
	t.Helper()
	suffix := fmt.Sprintf("-%d-%d", os.Getpid(), number.Add(1))
	m := &Mounts{t: t, Vault: v, PKI: "pki" + suffix, Role: "app", KV: "kv" + suffix}
	m.Must(http.MethodPost, "sys/mounts/"+m.PKI, map[string]any{"type": "pki", "config": map[string]any{"max_lease_ttl": "87600h"}})
	m.Must(http.MethodPost, "sys/mounts/"+m.KV, map[string]any{"type": "kv", "options": map[string]any{"version": "2"}})
	t.Cleanup(func() {
		for _, mount := range []string{m.PKI, m.KV} {
			_, _ = v.Do(context.Background(), http.MethodDelete, "sys/mounts/"+mount, nil) // A stopped server has none.
		}
	})
	m.Must(http.MethodPost, m.PKI+"/root/generate/internal", map[string]any{"common_name": "Test root", "key_type": "ec", "ttl": "87600h"})
	m.SetRole(nil)
	return m
}

// SetRole writes the role with some settings of its own.
func (m *Mounts) SetRole(settings map[string]any) {
	m.t.Helper()
	all := map[string]any{
		"allow_any_name": true, "enforce_hostnames": false, "key_type": "any", "server_flag": false, "max_ttl": "720h", "ttl": "720h",
	}
	maps.Copy(all, settings)
	m.Must(http.MethodPost, m.PKI+"/roles/"+m.Role, all)
}

// Must sends a request as the administrator, which must succeed.
func (m *Mounts) Must(method, at string, body any) map[string]any {
	m.t.Helper()
	data, err := m.Do(context.Background(), method, at, body)
	if err != nil {
		m.t.Fatal(err)
	}
	return data
}

// TokenWith makes a token whose only policy is the given text.
func (m *Mounts) TokenWith(policy string) string {
	m.t.Helper()
	name := path.Base(m.PKI)
	m.Must(http.MethodPut, "sys/policies/acl/"+name, map[string]any{"policy": policy})
	data := m.Must(http.MethodPost, "auth/token/create", map[string]any{"policies": []string{name}, "no_default_policy": false})
	token, _ := data["client_token"].(string)
	return token
}

// Serials are the certificates that were issued, but for the authorities' own.
func (m *Mounts) Serials() (valid, revoked []string) {
	m.t.Helper()
	data := m.Must("LIST", m.PKI+"/certs", nil)
	keys, _ := data["keys"].([]any)
	for _, key := range keys {
		read := m.Must(http.MethodGet, fmt.Sprintf("%s/cert/%s", m.PKI, key), nil)
		text, _ := read["certificate"].(string)
		block, _ := pem.Decode([]byte(text))
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			m.t.Fatal(err)
		}
		if certificate.IsCA {
			continue
		}
		if at, _ := read["revocation_time"].(float64); at > 0 {
			revoked = append(revoked, key.(string)) //nolint:forcetypeassert,errcheck // It is a list of texts.
		} else {
			valid = append(valid, key.(string)) //nolint:forcetypeassert,errcheck // See above.
		}
	}
	return valid, revoked
}

// Later is the address of a way to the server on which it is later than it is.
func (m *Mounts) Later(by time.Duration) string {
	m.t.Helper()
	target, err := url.Parse(m.Address)
	if err != nil {
		m.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("Date", time.Now().Add(by).UTC().Format(http.TimeFormat))
		return nil
	}
	server := httptest.NewServer(proxy)
	m.t.Cleanup(server.Close)
	return server.URL
}
