package pki_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/pki"
)

// clock is a time that the test sets.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += by
}

// The provider's own certificate is made once for all connections, anew when two thirds of its life are over, and revoked in the end.
func TestLoginCertificate(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	m.SetRole(map[string]any{"not_before_duration": "1s"})
	clock := &clock{}
	v := pki.New(pki.Config{Address: m.Address, Token: m.Token(), Now: clock.now})
	login := v.LoginCertificate(pki.Request{Mount: m.PKI, Role: m.Role, CommonName: "brownie-terraform", TTL: 12 * time.Minute})
	serial := func() string {
		pair, err := login.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leaf := testdb.Must(x509.ParseCertificate(pair.Certificate[0]))(t)
		if leaf.Subject.CommonName != "brownie-terraform" {
			t.Errorf("it is for %s", leaf.Subject.CommonName)
		}
		return leaf.SerialNumber.String()
	}
	first := serial()
	var group errgroup.Group
	for range 20 {
		group.Go(func() error {
			if _, err := login.Get(t.Context()); err != nil {
				return err
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil || serial() != first {
		t.Errorf("many connections: %v; another certificate was made: %v", err, serial() != first)
	}
	clock.advance(9 * time.Minute)
	second := serial()
	if second == first {
		t.Error("the certificate is about to expire, and was not made anew")
	}
	if err := login.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if valid, revoked := m.Serials(); len(valid) != 0 || len(revoked) != 2 {
		t.Errorf("%v are valid, %v revoked", valid, revoked)
	}
	if third := serial(); third == second {
		t.Error("a revoked certificate is used again")
	}
}

// requests is a way to Vault that remembers what went over it.
type requests struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
	// namespaces are the headers that came with them.
	namespaces []string
}

func watched(t *testing.T, m *testvault.Mounts) *requests {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(testdb.Must(url.Parse(m.Address))(t))
	r := &requests{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.seen = append(r.seen, strings.TrimPrefix(req.URL.Path, "/v1/"))
		r.namespaces = append(r.namespaces, req.Header.Get("X-Vault-Namespace"))
		r.mu.Unlock()
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(r.Close)
	return r
}

// logins counts the logins and the renewals of logins since it was last asked.
func (r *requests) logins() (logins, renewals int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, path := range r.seen {
		if strings.HasSuffix(path, "/login") {
			logins++
		}
		if path == "auth/token/renew-self" {
			renewals++
		}
	}
	r.seen = nil
	return logins, renewals
}

// A login with a signed identity is renewed while it can be, and made anew when it cannot.
func TestLoginWithASignedIdentity(t *testing.T) {
	t.Parallel()
	m, issuer := testvault.New(t), testvault.NewIssuer(t)
	mount := "jwt-" + m.PKI
	m.Must(http.MethodPost, "sys/auth/"+mount, map[string]any{"type": "jwt"})
	t.Cleanup(func() { m.Must(http.MethodDelete, "sys/auth/"+mount, nil) })
	m.Must(http.MethodPost, "auth/"+mount+"/config",
		map[string]any{"jwt_validation_pubkeys": []string{issuer.PublicKeyPEM()}, "bound_issuer": issuer.URL})
	m.Must(http.MethodPut, "sys/policies/acl/"+mount,
		map[string]any{"policy": fmt.Sprintf(`path "%s/*" { capabilities = ["read", "list", "update"] }`, m.PKI)})
	m.Must(http.MethodPost, "auth/"+mount+"/role/terraform", map[string]any{
		"role_type": "jwt", "user_claim": "sub", "bound_audiences": []string{"vault.example"}, "token_policies": []string{mount},
		"token_ttl": "5m", "token_max_ttl": "9m",
	})
	way, clock := watched(t, m), &clock{}
	v := pki.New(pki.Config{
		Address: way.URL, Now: clock.now, Namespace: "team/platform",
		JWT: &pki.JWT{
			Mount: mount, Role: "terraform",
			Token: issuer.WorkloadToken(t, "vault.example", "acme", "platform", "prod", "apply"),
		},
	})
	use := func(when string, wantLogins, wantRenewals int) {
		t.Helper()
		var group errgroup.Group
		for range 8 {
			group.Go(func() error {
				_, err := v.Certificate(t.Context(), m.PKI, "ca")
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatalf("%s: %s", when, err)
		}
		if logins, renewals := way.logins(); logins != wantLogins || renewals != wantRenewals {
			t.Errorf("%s: %d logins and %d renewals", when, logins, renewals)
		}
	}
	use("at first", 1, 0)
	use("soon after", 0, 0)
	clock.advance(4 * time.Minute)
	use("when two thirds are over", 0, 1)
	if slices.ContainsFunc(way.namespaces, func(name string) bool { return strings.Trim(name, "/") != "team/platform" }) {
		t.Errorf("the requests were for the namespaces %q", way.namespaces)
	}
	// Somebody has revoked the login, which cannot be renewed then.
	accessors, _ := m.Must("LIST", "auth/token/accessors", nil)["keys"].([]any)
	for _, accessor := range accessors {
		data, err := m.Do(t.Context(), http.MethodPost, "auth/token/lookup-accessor", map[string]any{"accessor": accessor})
		if path, _ := data["path"].(string); err == nil && path == "auth/"+mount+"/login" {
			m.Must(http.MethodPost, "auth/token/revoke-accessor", map[string]any{"accessor": accessor})
		}
	}
	clock.advance(4 * time.Minute)
	use("when the login was revoked", 1, 1)

	for name, token := range map[string]string{
		"an expired identity": issuer.Token(t, map[string]any{
			"aud": "vault.example", "sub": "x",
			"exp": time.Now().Add(-time.Hour).Unix(),
		}),
		"another issuer's": testvault.NewIssuer(t).WorkloadToken(t, "vault.example", "acme", "platform", "prod", "apply"),
	} {
		refused := pki.New(pki.Config{Address: m.Address, JWT: &pki.JWT{Mount: mount, Role: "terraform", Token: token}})
		_, err := refused.Certificate(t.Context(), m.PKI, "ca")
		var failed *pki.Error
		if !errors.As(err, &failed) || !strings.Contains(err.Error(), "Vault cannot log in with the role terraform of the JWT "+
			"method "+mount) || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
