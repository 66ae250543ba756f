package pki_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/pki"
)

// client is a new Vault, which remembers nothing, with the administrator's token.
func client(m *testvault.Mounts) *pki.Vault {
	return pki.New(pki.Config{Address: m.Address, Token: m.Token()})
}

func wanted(m *testvault.Mounts, name string) pki.Wanted {
	return pki.Wanted{
		Request: pki.Request{Mount: m.PKI, Role: m.Role, CommonName: name, TTL: 24 * time.Hour},
		Store:   &pki.Store{Mount: m.KV, Path: "brownie/" + name},
	}
}

// stored is the secret at a place.
func stored(m *testvault.Mounts, s *pki.Store) map[string]any {
	data, _ := m.Must(http.MethodGet, s.Mount+"/data/"+s.Path, nil)["data"].(map[string]any)
	return data
}

// oneValid fails the test unless exactly one certificate is valid, and it is the one that is stored and known.
func oneValid(t *testing.T, m *testvault.Mounts, i pki.Issued, s *pki.Store) {
	t.Helper()
	valid, _ := m.Serials()
	if !slices.Equal(valid, []string{i.Serial}) {
		t.Errorf("valid are %v, want %s alone", valid, i.Serial)
	}
	data := stored(m, s)
	certificate, _ := data["tls.crt"].(string)
	key, _ := data["tls.key"].(string)
	if !strings.HasPrefix(certificate, i.PEM) {
		t.Errorf("another certificate is stored:\n%s", certificate)
	}
	if _, err := tls.X509KeyPair([]byte(certificate), []byte(key)); err != nil {
		t.Errorf("key and certificate do not fit: %s", err)
	}
}

func TestLifeOfACertificate(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	v, w := client(m), wanted(m, "acme-app")
	i := testdb.Must(v.Issue(t.Context(), w))(t)
	oneValid(t, m, i, w.Store)
	if i.CommonName != "acme-app" || i.Version != 1 || len(i.Chain) != 1 || i.Lifetime() < 24*time.Hour || i.Lifetime() > 25*time.Hour {
		t.Errorf("issued %+v", i)
	}
	found, reason, err := v.Check(t.Context(), i, w)
	if err != nil || reason != "" || len(found.Superseded) != 0 {
		t.Errorf("just issued: %q, %v, %+v", reason, err, found)
	}
	renewed, revoked, err := v.Renew(t.Context(), i, w)
	if err != nil || !slices.Equal(revoked, []string{i.Serial}) || renewed.Version != 2 {
		t.Fatalf("renewed %+v, revoked %v, %v", renewed, revoked, err)
	}
	oneValid(t, m, renewed, w.Store)
	if err := v.Retire(t.Context(), renewed, w, true); err != nil {
		t.Fatal(err)
	}
	if valid, revoked := m.Serials(); len(valid) != 0 || len(revoked) != 2 {
		t.Errorf("%v are valid, %v revoked", valid, revoked)
	}
	if _, err := m.Do(t.Context(), http.MethodGet, w.Store.Mount+"/metadata/"+w.Store.Path, nil); err == nil {
		t.Error("the secret is still stored")
	}
	if err := v.Retire(t.Context(), renewed, w, true); err != nil {
		t.Errorf("once more: %s", err)
	}
}

// Each state of things outside gives the reason for which a certificate is renewed.
func TestReasonsForARenewal(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		happens func(m *testvault.Mounts, w *pki.Wanted, i pki.Issued)
		reason  string
	}{
		"revoked": {func(m *testvault.Mounts, _ *pki.Wanted, i pki.Issued) {
			m.Must(http.MethodPost, m.PKI+"/revoke", map[string]any{"serial_number": i.Serial})
		}, "it was revoked outside Terraform at "},
		"deleted": {func(m *testvault.Mounts, w *pki.Wanted, _ pki.Issued) {
			m.Must(http.MethodDelete, m.KV+"/data/"+w.Store.Path, nil)
		}, "it was removed from "},
		"removed": {func(m *testvault.Mounts, w *pki.Wanted, _ pki.Issued) {
			m.Must(http.MethodDelete, m.KV+"/metadata/"+w.Store.Path, nil)
		}, "it was removed from "},
		"replaced": {func(m *testvault.Mounts, w *pki.Wanted, _ pki.Issued) {
			m.Must(http.MethodPost, m.KV+"/data/"+w.Store.Path, map[string]any{"data": map[string]any{"x": "y"}})
		}, "holds something else now"},
		"another issuer": {func(m *testvault.Mounts, _ *pki.Wanted, _ pki.Issued) {
			m.Must(http.MethodPost, m.PKI+"/root/rotate/internal", map[string]any{"common_name": "New " +
				"root", "key_type": "ec", "issuer_name": "new"})
			m.Must(http.MethodPost, m.PKI+"/root/replace", map[string]any{"default": "new"})
		}, "has another issuer now, CN=New root"},
		"due":  {func(_ *testvault.Mounts, w *pki.Wanted, _ pki.Issued) { w.RenewBefore = 25 * time.Hour }, "and renewal was due at "},
		"fine": {func(*testvault.Mounts, *pki.Wanted, pki.Issued) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := testvault.New(t)
			w := wanted(m, "acme-app")
			v := client(m)
			i := testdb.Must(v.Issue(t.Context(), w))(t)
			test.happens(m, &w, i)
			v = client(m)
			found, reason, err := v.Check(t.Context(), i, w)
			if err != nil || !strings.Contains(reason, test.reason) || (reason == "") != (test.reason == "") {
				t.Fatalf("the reason is %q, %v; want %q", reason, err, test.reason)
			}
			if reason == "" {
				return
			}
			w.RenewBefore = 0
			renewed, _, err := v.Renew(t.Context(), found, w)
			if err != nil {
				t.Fatal(err)
			}
			oneValid(t, m, renewed, w.Store)
			if _, reason, err := client(m).Check(t.Context(), renewed, w); err != nil || reason != "" {
				t.Errorf("after the renewal: %q, %v", reason, err)
			}
		})
	}
}

// cut is a way to Vault that breaks when a request for the path is made, before or after Vault has answered it.
func cut(t *testing.T, m *testvault.Mounts, path string, after bool) *pki.Vault {
	t.Helper()
	target := testdb.Must(url.Parse(m.Address))(t)
	proxy := httputil.NewSingleHostReverseProxy(target)
	var broken atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hit := r.Method != http.MethodGet && strings.Contains(r.URL.Path, path)
		if hit && after {
			proxy.ServeHTTP(httptest.NewRecorder(), r)
		}
		if hit {
			broken.Store(true)
		}
		if broken.Load() {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return pki.New(pki.Config{Address: server.URL, Token: m.Token(), RetryWait: 10 * time.Millisecond})
}

// A renewal that is cut off at any step, and a provider that dies with it, leave what the next apply puts right.
func TestInterruptedRenewals(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"/sign/", "/data/", "/revoke"} {
		for _, after := range []bool{false, true} {
			name := map[bool]string{false: "before ", true: "after "}[after] + strings.Trim(step, "/")
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				m := testvault.New(t)
				v, w := client(m), wanted(m, "acme-app")
				i := testdb.Must(v.Issue(t.Context(), w))(t)
				if _, _, err := cut(t, m, step, after).Renew(t.Context(), i, w); err == nil {
					t.Fatal("the renewal succeeded")
				}
				// What the interrupted renewal returned is lost, as when the provider is killed.
				found, reason, err := v.Check(t.Context(), i, w)
				if err != nil || reason != "" {
					t.Fatalf("the next plan finds %q, %v", reason, err)
				}
				// One that was signed and not stored has no key any more, and expires by itself.
				valid, _ := m.Serials()
				lost := slices.DeleteFunc(valid, func(serial string) bool { return serial == found.Serial || serial == i.Serial })
				if keyless := step == "/sign/" && after || step == "/data/" && !after; len(lost) > 1 || (len(lost) == 1) != keyless {
					t.Errorf("%v are valid, and nobody knows them", lost)
				}
				for _, serial := range lost {
					m.Must(http.MethodPost, m.PKI+"/revoke", map[string]any{"serial_number": serial})
				}
				settled, _, err := v.Settle(t.Context(), found)
				if err != nil {
					t.Fatal(err)
				}
				oneValid(t, m, settled, w.Store)
				renewed, _, err := v.Renew(t.Context(), settled, w)
				if err != nil {
					t.Fatal(err)
				}
				oneValid(t, m, renewed, w.Store)
				if err := v.Retire(t.Context(), renewed, w, true); err != nil {
					t.Fatal(err)
				}
				if valid, _ := m.Serials(); len(valid) != 0 {
					t.Errorf("%v are valid after the end", valid)
				}
			})
		}
	}
}

// A first certificate that is cut off is either gone or remembered.
func TestInterruptedIssues(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"/sign/", "/data/"} {
		for _, after := range []bool{false, true} {
			name := map[bool]string{false: "before ", true: "after "}[after] + strings.Trim(step, "/")
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				m := testvault.New(t)
				w := wanted(m, "acme-app")
				i, err := cut(t, m, step, after).Issue(t.Context(), w)
				if err == nil {
					t.Fatal("it succeeded")
				}
				if (i.Serial != "") != (step == "/data/") {
					t.Errorf("remembered is %q, %s", i.Serial, err)
				}
				v := client(m)
				if i.Serial != "" {
					if err := v.Retire(t.Context(), i, w, true); err != nil {
						t.Fatal(err)
					}
				}
				if valid, _ := m.Serials(); len(valid) != 0 && step != "/sign/" {
					t.Errorf("%v are valid", valid)
				}
				if _, err := v.Issue(t.Context(), w); err != nil {
					t.Errorf("the next apply: %s", err)
				}
			})
		}
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	v, w := client(m), wanted(m, "acme-app")
	i := testdb.Must(v.Issue(t.Context(), w))(t)
	second, err := v.Issue(t.Context(), w)
	var occupied *pki.OccupiedError
	if !errors.As(err, &occupied) || second.Serial != "" || !strings.Contains(err.Error(), i.Serial) {
		t.Errorf("a second certificate for the same place: %+v, %v", second, err)
	}
	oneValid(t, m, i, w.Store)
	m.Must(http.MethodPost, m.KV+"/data/"+w.Store.Path, map[string]any{"data": map[string]any{"x": "y"}})
	if _, _, err := v.Renew(t.Context(), i, w); err == nil || !strings.Contains(err.Error(),
		"version 2 is there, and the plan knew of version 1") {
		t.Errorf("somebody has written meanwhile: %v", err)
	}
	if data := stored(m, w.Store); data["x"] != "y" {
		t.Error("the other's secret was overwritten")
	}
	// What somebody else has stored is not ours to delete.
	if err := v.Retire(t.Context(), i, w, true); err != nil || stored(m, w.Store)["x"] != "y" {
		t.Errorf("the other's secret is gone, or: %v", err)
	}
}
