package pki_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/pki"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

func isStored(t *testing.T, m *testvault.Mounts, s *pki.Store) bool {
	t.Helper()
	_, err := m.Do(t.Context(), http.MethodGet, s.Mount+"/metadata/"+s.Path, nil)
	return err == nil
}

// lossy is a way to Vault on which the first request of a path is answered by nothing, or by a status, before or after Vault has done it.
func lossy(t *testing.T, m *testvault.Mounts, method, path string, after bool, status int) *pki.Vault {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(testdb.Must(url.Parse(m.Address))(t))
	var hit atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method || !strings.Contains(r.URL.Path, path) || hit.Swap(true) {
			proxy.ServeHTTP(w, r)
			return
		}
		if after {
			proxy.ServeHTTP(httptest.NewRecorder(), r)
		}
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"message": "unavailable"}`)
	}))
	t.Cleanup(server.Close)
	return pki.New(pki.Config{Address: server.URL, Token: m.Token(), RetryWait: 10 * time.Millisecond})
}

func csrOf(t *testing.T, name string) string {
	t.Helper()
	key := testdb.Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	der := testdb.Must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key))(t)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// What somebody else has stored is neither taken over nor deleted, whatever was seen of it before.
func TestOthersSecrets(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	v, w := client(m), wanted(m, "acme-app")
	i := testdb.Must(v.Issue(t.Context(), w))(t)
	m.Must(http.MethodPost, m.KV+"/data/"+w.Store.Path, map[string]any{"data": map[string]any{"x": "y"}})
	found, reason, err := v.Check(t.Context(), i, w)
	if err != nil || !strings.Contains(reason, "holds something else now") {
		t.Errorf("%q, %v", reason, err)
	}
	if err := v.Retire(t.Context(), found, w, true); err != nil || !isStored(t, m, w.Store) {
		t.Errorf("the other's secret is gone, or: %v", err)
	}

	// Another resource has its certificate at the same path, and has renewed it there.
	w = wanted(m, "globex-app")
	i = testdb.Must(v.Issue(t.Context(), w))(t)
	m.Must(http.MethodDelete, m.KV+"/metadata/"+w.Store.Path, nil)
	others := w
	others.CommonName = "initech-app"
	other := testdb.Must(v.Issue(t.Context(), others))(t)
	other, _, err = v.Renew(t.Context(), other, others)
	if err != nil {
		t.Fatal(err)
	}
	found, reason, err = client(m).Check(t.Context(), i, w)
	if err != nil || found.Serial != i.Serial || !strings.Contains(reason, "for initech-app") {
		t.Errorf("%s, %q, %v", found.Serial, reason, err)
	}
	if err := client(m).Retire(t.Context(), i, w, true); err != nil || !isStored(t, m, w.Store) {
		t.Errorf("the other's certificate is gone, or: %v", err)
	}
	if valid, _ := m.Serials(); !slices.Equal(valid, []string{other.Serial}) {
		t.Errorf("%v are valid", valid)
	}
	if _, err := v.Read(t.Context(), m.PKI, i.Serial, w.Store); err == nil || !strings.Contains(err.Error(), other.Serial) {
		t.Errorf("an import with the store of another: %v", err)
	}
}

// A mount that is not there is an error: nobody knows what became of what was in it.
func TestMountsThatAreGone(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"PKI", "KV"} {
		m := testvault.New(t)
		v, w := client(m), wanted(m, "acme-app")
		i := testdb.Must(v.Issue(t.Context(), w))(t)
		if which == "PKI" {
			w.Mount = "nowhere"
		} else {
			store := *w.Store
			store.Mount = "nowhere"
			w.Store = &store
		}
		err := v.Retire(t.Context(), i, w, true)
		if err == nil || errors.Is(err, problem.ErrNotFound) || !strings.Contains(err.Error(),
			"no handler for route") || !strings.Contains(err.Error(), "terraform state rm") {
			t.Errorf("%s: %v", which, err)
		}
	}
}

// A mount may hold back what it issues; its certificates are revoked all the same.
func TestCertificatesThatAreNotStored(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	m.SetRole(map[string]any{"no_store": true})
	v, w := client(m), wanted(m, "acme-app")
	i := testdb.Must(v.Issue(t.Context(), w))(t)
	if _, reason, err := v.Check(t.Context(), i, w); err != nil || reason != "" {
		t.Errorf("%q, %v", reason, err)
	}
	renewed, revoked, err := v.Renew(t.Context(), i, w)
	if err != nil || !slices.Equal(revoked, []string{i.Serial}) {
		t.Errorf("revoked %v, %v", revoked, err)
	}
	if err := v.Retire(t.Context(), renewed, w, true); err != nil {
		t.Error(err)
	}
	if list := fmt.Sprint(m.Must("LIST", m.PKI+"/certs/revoked", nil)["keys"]); !strings.Contains(list,
		i.Serial) || !strings.Contains(list, renewed.Serial) {
		t.Errorf("Vault has revoked %s", list)
	}
}

// Settings of a KV store do not look like somebody's deletion, and another kind of store is refused with nothing left in it.
func TestStoresOfOtherKinds(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	m.Must(http.MethodPost, m.KV+"/config", map[string]any{"delete_version_after": "720h", "cas_required": true, "max_versions": 1})
	v, w := client(m), wanted(m, "acme-app")
	i := testdb.Must(v.Issue(t.Context(), w))(t)
	if _, reason, err := v.Check(t.Context(), i, w); err != nil || reason != "" {
		t.Errorf("%q, %v", reason, err)
	}
	renewed, _, err := v.Renew(t.Context(), i, w)
	if err != nil {
		t.Fatal(err)
	}
	oneValid(t, m, renewed, w.Store)

	first := m.KV + "-one"
	m.Must(http.MethodPost, "sys/mounts/"+first, map[string]any{"type": "kv", "options": map[string]any{"version": "1"}})
	t.Cleanup(func() { m.Must(http.MethodDelete, "sys/mounts/"+first, nil) })
	other := wanted(m, "globex-app")
	other.Store.Mount = first
	i, err = v.Issue(t.Context(), other)
	if err == nil || !strings.Contains(err.Error(), "is no KV store of version 2") || i.Serial != "" {
		t.Errorf("%s, %v", i.Serial, err)
	}
	if data, err := m.Do(t.Context(), http.MethodGet, first+"/data/"+other.Store.Path, nil); err == nil {
		t.Errorf("left in the store: %v fields", len(data))
	}
	oneValid(t, m, renewed, w.Store)
}

// One certificate whose mount is gone keeps no other from being revoked.
func TestSupersededOfAMountThatIsGone(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	w := wanted(m, "acme-app")
	i := testdb.Must(client(m).Issue(t.Context(), w))(t)
	other := testdb.Must(client(m).Issue(t.Context(), wanted(m, "other")))(t)
	i.Superseded = []pki.Superseded{{Mount: "nowhere", Serial: "01:02"}, {Mount: m.PKI, Serial: other.Serial, PEM: other.PEM}}
	i, revoked, err := client(m).Settle(t.Context(), i)
	if err == nil || !slices.Equal(revoked, []string{other.Serial}) || len(i.Superseded) != 1 {
		t.Errorf("revoked %v, left %+v, %v", revoked, i.Superseded, err)
	}
}

// What a role makes of a request is compared with what was asked for.
func TestCertificatesThatAreNotWanted(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	for attribute, change := range map[string]func(*pki.Wanted){
		"csr_pem":      func(w *pki.Wanted) { w.Store, w.CSR = nil, csrOf(t, "globex-app") },
		"renew_before": func(w *pki.Wanted) { w.TTL, w.RenewBefore = 0, 1000*time.Hour },
		"ttl":          func(w *pki.Wanted) { w.TTL = 1000 * time.Hour },
	} {
		w := wanted(m, "acme-app")
		change(&w)
		i, err := client(m).Issue(t.Context(), w)
		var mismatch *pki.MismatchError
		if !errors.As(err, &mismatch) || mismatch.Attribute() != attribute || i.Serial != "" {
			t.Errorf("%s: %s, %v", attribute, i.Serial, err)
		}
	}
	if valid, revoked := m.Serials(); len(valid) != 0 || len(revoked) != 3 {
		t.Errorf("%v are valid, %v revoked", valid, revoked)
	}
	// Who may not revoke gets the certificate to remember.
	w := wanted(m, "acme-app")
	w.Store, w.CSR, w.TTL = nil, csrOf(t, "acme-app"), 1000*time.Hour
	v := pki.New(pki.Config{Address: m.Address, Token: m.TokenWith(fmt.Sprintf(`path "%s/sign/app" { capabilities = ["update"] }`, m.PKI))})
	i, err := v.Issue(t.Context(), w)
	if valid, _ := m.Serials(); err == nil || !slices.Equal(valid, []string{i.Serial}) {
		t.Errorf("%v are valid, %s is known, %v", valid, i.Serial, err)
	}
}

// A renewal that Vault refuses leaves nothing that later plans have to look for.
func TestARefusedRenewalCostsNothingLater(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	v, w := client(m), wanted(m, "acme-app")
	i := testdb.Must(v.Issue(t.Context(), w))(t)
	bad := w
	bad.Role = "other"
	i, _, err := v.Renew(t.Context(), i, bad)
	if err == nil {
		t.Fatal("it was not refused")
	}
	way := watched(t, m)
	if _, reason, err := pki.New(pki.Config{Address: way.URL, Token: m.Token()}).Check(t.Context(), i,
		w); err != nil || reason != "" || len(way.seen) != 4 {
		t.Errorf("%q, %v, requests %q", reason, err, way.seen)
	}
}

// Certificates that begin in the past are neither due at once, nor made for each login.
func TestCertificatesThatBeginInThePast(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	m.Must(http.MethodPost, m.PKI+"/root/rotate/internal", map[string]any{"common_name": "New " +
		"root", "key_type": "ec", "issuer_name": "new", "not_before_duration": "1h"})
	m.Must(http.MethodPost, m.PKI+"/root/replace", map[string]any{"default": "new"})
	m.SetRole(map[string]any{"not_before_duration": "10m"})
	v, w := client(m), wanted(m, "acme-app")
	w.TTL = 4 * time.Minute
	i := testdb.Must(v.Issue(t.Context(), w))(t)
	if _, reason, err := v.Check(t.Context(), i, w); err != nil || reason != "" {
		t.Errorf("%q, %v", reason, err)
	}
	login := v.LoginCertificate(pki.Request{Mount: m.PKI, Role: m.Role, CommonName: "brownie-terraform", TTL: 4 * time.Minute})
	for range 3 {
		testdb.Must(login.Get(t.Context()))(t)
	}
	if valid, _ := m.Serials(); len(valid) != 2 {
		t.Errorf("%v are valid", valid)
	}
}

// A Vault that never answers is told from one that refuses.
func TestAVaultThatHangs(t *testing.T) {
	t.Setenv("VAULT_CLIENT_TIMEOUT", "1s")
	released := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-released }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(released) })
	_, err := pki.New(pki.Config{Address: server.URL, Token: "x"}).Certificate(t.Context(), "pki", "01:02")
	var failed *pki.Error
	if !errors.As(err, &failed) || failed.Class != pki.Unreachable || !strings.Contains(err.Error(), "does not answer within 1s") {
		t.Errorf("got %v", err)
	}
}

// A state of a version that moved certificates between stores still ends what it remembers at the old place.
func TestTheOldSecretOfAMove(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	v, was, w := client(m), wanted(m, "acme-app"), wanted(m, "acme-app")
	old := testdb.Must(v.Issue(t.Context(), was))(t)
	w.Store = &pki.Store{Mount: m.KV, Path: "brownie/moved"}
	i := testdb.Must(v.Issue(t.Context(), w))(t)
	i.Superseded = []pki.Superseded{{Mount: m.PKI, Serial: old.Serial, PEM: old.PEM, Store: was.Store}}
	i, _, err := lossy(t, m, http.MethodDelete, "/metadata/", false, http.StatusForbidden).Settle(t.Context(), i)
	if err == nil || len(i.Superseded) != 1 {
		t.Fatalf("%+v, %v", i.Superseded, err)
	}
	if i, _, err = v.Settle(t.Context(), i); err != nil || len(i.Superseded) != 0 || isStored(t, m, was.Store) {
		t.Errorf("%+v, %v", i.Superseded, err)
	}
	oneValid(t, m, i, w.Store)
}

// An answer that is lost on the way changes nothing of what is published. A certificate whose signature was lost has no key, and expires.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	v, w := client(m), wanted(m, "acme-app")
	i := testdb.Must(v.Issue(t.Context(), w))(t)
	renewed, _, err := lossy(t, m, http.MethodPut, "/data/", true, 0).Renew(t.Context(), i, w)
	if err != nil {
		t.Fatal(err)
	}
	oneValid(t, m, renewed, w.Store)

	// A proxy says that Vault is unavailable, after Vault has signed.
	for _, status := range []int{0, http.StatusServiceUnavailable, http.StatusBadGateway} {
		other := wanted(m, fmt.Sprintf("lost-%d", status))
		lost, err := lossy(t, m, http.MethodPut, "/sign/", true, status).Issue(t.Context(), other)
		if err == nil || lost.Serial != "" || !strings.Contains(err.Error(), "its key is lost") || isStored(t, m, other.Store) {
			t.Errorf("%d: %s, %v", status, lost.Serial, err)
		}
	}
}

// When the answer to the publication is lost, and the store cannot be looked at either, the state remembers both certificates. The next
// look at the store tells which one counts.
func TestAPublicationOfWhichNothingIsKnown(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		m := testvault.New(t)
		v, w := client(m), wanted(m, "acme-app")
		i := testdb.Must(v.Issue(t.Context(), w))(t)
		left, _, err := cut(t, m, "/data/", after).Renew(t.Context(), i, w)
		if err == nil || left.Serial != i.Serial || len(left.Superseded) != 1 {
			t.Fatalf("%+v, %v", left, err)
		}
		found, reason, err := v.Check(t.Context(), left, w)
		if err != nil || reason != "" || (found.Serial != i.Serial) != after || len(found.Superseded) != 1 ||
			found.Superseded[0].Serial == found.Serial {
			t.Errorf("%q, %+v, %v", reason, found, err)
		}
		settled, revoked, err := v.Settle(t.Context(), found)
		if err != nil || len(revoked) != 1 {
			t.Errorf("revoked %v, %v", revoked, err)
		}
		oneValid(t, m, settled, w.Store)
	}
}

// What an interrupted renewal with the owner's key leaves may be somebody else's: it is left alone.
func TestInterruptedRenewalOfASigningRequest(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	v, w := client(m), wanted(m, "acme-app")
	w.Store, w.CSR = nil, csrOf(t, "acme-app")
	i := testdb.Must(v.Issue(t.Context(), w))(t)
	if _, _, err := cut(t, m, "/sign/", true).Renew(t.Context(), i, w); err == nil {
		t.Fatal("it was not interrupted")
	}
	renewed, revoked, err := client(m).Renew(t.Context(), i, w)
	if valid, _ := m.Serials(); err != nil || len(valid) != 2 || !slices.Contains(valid, renewed.Serial) || !slices.Equal(revoked,
		[]string{i.Serial}) {
		t.Errorf("%v are valid, revoked %v, %v", valid, revoked, err)
	}
	// As a resource that is replaced before it is destroyed.
	next := testdb.Must(client(m).Issue(t.Context(), w))(t)
	if err := client(m).Retire(t.Context(), renewed, w, true); err != nil {
		t.Fatal(err)
	}
	if valid, _ := m.Serials(); !slices.Contains(valid, next.Serial) || slices.Contains(valid, renewed.Serial) {
		t.Errorf("%v are valid", valid)
	}
}

// Two applies from the same state: the second one changes nothing.
func TestTwoAppliesAtOnce(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	w := wanted(m, "acme-app")
	i := testdb.Must(client(m).Issue(t.Context(), w))(t)
	first, _, err := client(m).Renew(t.Context(), i, w)
	if err != nil {
		t.Fatal(err)
	}
	_, revoked, err := client(m).Renew(t.Context(), i, w)
	if err == nil || len(revoked) != 0 || !strings.Contains(err.Error(), "version 2 is there, and the plan knew of version 1") {
		t.Errorf("revoked %v, %v", revoked, err)
	}
	oneValid(t, m, first, w.Store)

	// Both have looked at the store before one of them writes: check-and-set decides.
	results := make(chan error, 2)
	var both sync.WaitGroup
	both.Add(2)
	for range 2 {
		way := atTheStep(t, m, "/sign/", func() { both.Done(); both.Wait() })
		go func() {
			_, _, err := way.Renew(t.Context(), first, w)
			results <- err
		}()
	}
	if one, other := <-results, <-results; (one == nil) == (other == nil) {
		t.Errorf("both applies: %v, %v", one, other)
	}
	found, reason, err := client(m).Check(t.Context(), first, w)
	if err != nil || reason != "" || found.Serial == first.Serial {
		t.Errorf("%q, %v", reason, err)
	}
	if found, _, err = client(m).Settle(t.Context(), found); err != nil {
		t.Error(err)
	}
	oneValid(t, m, found, w.Store)

	// Another secret with the same version number, of another time, before and after the plan.
	w = wanted(m, "globex-app")
	i = testdb.Must(client(m).Issue(t.Context(), w))(t)
	i.StoredAt = i.StoredAt.Add(-time.Minute)
	m.Must(http.MethodDelete, m.KV+"/metadata/"+w.Store.Path, nil)
	m.Must(http.MethodPost, m.KV+"/data/"+w.Store.Path, map[string]any{"data": map[string]any{"x": "y"}})
	if _, _, err := client(m).Renew(t.Context(), i, w); err == nil || !strings.Contains(err.Error(),
		"what is there is not what the plan knew of") {
		t.Errorf("another secret with the same version: %v", err)
	}
	if _, reason, err := client(m).Check(t.Context(), i, w); err != nil || !strings.Contains(reason, "holds something else now") {
		t.Errorf("%q, %v", reason, err)
	}
}

// atTheStep is a way to Vault on which something happens before a change of the path.
func atTheStep(t *testing.T, m *testvault.Mounts, path string, happens func()) *pki.Vault {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(testdb.Must(url.Parse(m.Address))(t))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && strings.Contains(r.URL.Path, path) {
			happens()
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return pki.New(pki.Config{Address: server.URL, Token: m.Token()})
}

// What was published by an interrupted renewal is taken over as it was meant: the old one stays valid, and other arguments are renewed.
func TestPublishedByAnInterruptedRenewal(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	w := wanted(m, "acme-app")
	w.RevokeAfter = time.Hour
	i := testdb.Must(client(m).Issue(t.Context(), w))(t)
	other := w
	other.DNSNames = []string{"postgres"}
	if _, _, err := cut(t, m, "/data/", true).Renew(t.Context(), i, other); err == nil {
		t.Fatal("it was not interrupted")
	}
	found, reason, err := client(m).Check(t.Context(), i, w)
	if err != nil || reason != "a renewal with other arguments was interrupted" || len(found.Superseded) != 1 {
		t.Errorf("%q, %+v, %v", reason, found.Superseded, err)
	}
	if _, revoked, err := client(m).Settle(t.Context(), found); err != nil || len(revoked) != 0 {
		t.Errorf("revoked %v, %v", revoked, err)
	}
}

// A renewal with another name that was killed once it had published leaves nothing valid but what the next one stores.
func TestInterruptedRenewalWithAnotherName(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	was := wanted(m, "acme-app")
	i := testdb.Must(client(m).Issue(t.Context(), was))(t)
	w := was
	w.CommonName = "globex-app"
	if _, _, err := cut(t, m, "/data/", true).Renew(t.Context(), i, w); err == nil {
		t.Fatal("it was not interrupted")
	}
	found, reason, err := client(m).Check(t.Context(), i, was)
	if err != nil || !strings.Contains(reason, "holds another certificate now") {
		t.Fatalf("%q, %v", reason, err)
	}
	found, revoked, err := client(m).Renew(t.Context(), found, w)
	if err != nil || len(revoked) != 2 {
		t.Fatalf("revoked %v, %v", revoked, err)
	}
	oneValid(t, m, found, w.Store)
}

// A certificate without its key is not taken over, and not revoked: whoever may write to the store could name any.
func TestAStoredCertificateWithoutItsKey(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	v, w := client(m), wanted(m, "acme-app")
	i := testdb.Must(v.Issue(t.Context(), w))(t)
	other := w
	other.Store = &pki.Store{Mount: m.KV, Path: "brownie/other"}
	named := testdb.Must(v.Issue(t.Context(), other))(t)
	m.Must(http.MethodPost, m.KV+"/data/"+w.Store.Path, map[string]any{"data": map[string]any{"tls.crt": named.PEM}})
	found, reason, err := v.Check(t.Context(), i, w)
	if err != nil || found.Serial != i.Serial || !strings.Contains(reason, "holds another certificate now") {
		t.Fatalf("%s, %q, %v", found.Serial, reason, err)
	}
	if _, revoked, err := v.Renew(t.Context(), found, w); err != nil || !slices.Equal(revoked, []string{i.Serial}) {
		t.Errorf("revoked %v, %v", revoked, err)
	}
}

// Who may not revoke keeps what is still to be revoked in the state.
func TestADeniedRevocation(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	w := wanted(m, "acme-app")
	i := testdb.Must(client(m).Issue(t.Context(), w))(t)
	denied := lossy(t, m, http.MethodPut, "/revoke", false, http.StatusForbidden)
	renewed, _, err := denied.Renew(t.Context(), i, w)
	if err == nil || renewed.Serial == i.Serial || len(renewed.Superseded) != 1 {
		t.Fatalf("%+v, %v", renewed, err)
	}
	if renewed, _, err = client(m).Settle(t.Context(), renewed); err != nil {
		t.Error(err)
	}
	oneValid(t, m, renewed, w.Store)
}
