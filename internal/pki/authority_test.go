package pki_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/pki"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

func TestAuthority(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	v := client(m)
	i := testdb.Must(v.Issue(t.Context(), wanted(m, "acme-app")))(t)
	if err := v.Revoke(t.Context(), m.PKI, i.Certificate); err != nil {
		t.Fatal(err)
	}
	a := testdb.Must(client(m).Authority(t.Context(), m.PKI, time.Hour))(t)
	if a.CommonName != "Test root" || len(a.Chain) != 1 || a.List == nil || a.List.Revoked != 1 || len(a.Problems) != 0 {
		t.Errorf("got %+v", a)
	}

	if soon := testdb.Must(client(m).Authority(t.Context(), m.PKI, 80*time.Hour))(t); len(soon.Problems) != 1 ||
		!strings.Contains(soon.Problems[0], "the revocation list of CN=Test root expires at") {
		t.Errorf("a list that is about to expire: %q", soon.Problems)
	}

	// Nobody refreshes a list that Vault may not make, and it expires.
	later := pki.New(pki.Config{Address: m.Later(100 * time.Hour), Token: m.Token()})
	a = testdb.Must(later.Authority(t.Context(), m.PKI, time.Hour))(t)
	if len(a.Problems) != 1 || !strings.Contains(a.Problems[0], "the revocation list of CN=Test root expired at") {
		t.Errorf("an expired list: %q", a.Problems)
	}
	m.Must(http.MethodDelete, m.PKI+"/root", nil)
	if _, err := client(m).Authority(t.Context(), m.PKI, time.Hour); err == nil || !strings.Contains(err.Error(), "no default issuer") {
		t.Errorf("a mount without an authority: %v", err)
	}
	if _, err := client(m).Authority(t.Context(), "no-such-mount", 0); err == nil || errors.Is(err,
		problem.ErrNotFound) || !strings.Contains(err.Error(), "no handler for route") {
		t.Errorf("no mount: %v", err)
	}
}

// What a plan asks of Vault grows by one request for each certificate, and lists answer the rest, whether they are empty or not.
func TestRequests(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	var requests atomic.Int64
	target := testdb.Must(url.Parse(m.Address))(t)
	proxy := httputil.NewSingleHostReverseProxy(target)
	counter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(counter.Close)
	counted := func() *pki.Vault { return pki.New(pki.Config{Address: counter.URL, Token: m.Token()}) }
	const certificates = 5
	names := []string{"a", "b", "c", "d", "e"}
	var all []pki.Issued
	v := counted()
	for _, name := range names {
		all = append(all, testdb.Must(v.Issue(t.Context(), wanted(m, name)))(t))
	}
	if got := requests.Swap(0); got != 2*certificates {
		t.Errorf("issuing %d certificates took %d requests", certificates, got)
	}
	for _, revoked := range []string{"", testdb.Must(v.Issue(t.Context(), wanted(m, "revoked")))(t).Serial} {
		if revoked != "" {
			m.Must(http.MethodPost, m.PKI+"/revoke", map[string]any{"serial_number": revoked})
		}
		requests.Store(0)
		v := counted()
		for n, i := range all {
			if _, reason, err := v.Check(t.Context(), i, wanted(m, names[n])); err != nil || reason != "" {
				t.Errorf("%s: %q, %v", names[n], reason, err)
			}
		}
		if got := requests.Load(); got != certificates+3 { // the revoked ones, the role, and its issuer
			t.Errorf("checking %d certificates took %d requests (revoked: %q)", certificates, got, revoked)
		}
	}
}
