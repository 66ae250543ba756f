package pki_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/pki"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Each failure has its class, and words that say what to do.
func TestFailures(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fails func(m *testvault.Mounts, v **pki.Vault, w *pki.Wanted)
		class pki.Class
		says  []string
	}{
		"sealed": {
			func(m *testvault.Mounts, _ **pki.Vault, _ *pki.Wanted) { m.Must(http.MethodPut, "sys/seal", nil) },
			pki.Sealed,
			[]string{"it is sealed", "vault operator unseal"},
		},
		"down": {func(m *testvault.Mounts, _ **pki.Vault, _ *pki.Wanted) {
			if err := m.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, pki.Unreachable, []string{"does not answer (connect: connection refused)", "Check vault.address"}},
		"no permission": {func(m *testvault.Mounts, v **pki.Vault, _ *pki.Wanted) {
			*v = pki.New(pki.Config{Address: m.Address, Token: m.TokenWith(`path "x" { capabilities = ["read"] }`)})
		}, pki.Permission, []string{"permission denied", `the capability "update" on pki-`, "/sign/app"}},
		"wrong mount": {
			func(_ *testvault.Mounts, _ **pki.Vault, w *pki.Wanted) { w.Mount = "nowhere" }, pki.Missing,
			[]string{"mount nowhere"},
		},
		"wrong role": {
			func(_ *testvault.Mounts, _ **pki.Vault, w *pki.Wanted) { w.Role = "other" }, pki.Refused,
			[]string{"unknown role: other"},
		},
		"a name that the role does not allow": {func(m *testvault.Mounts, _ **pki.Vault, _ *pki.Wanted) {
			m.SetRole(map[string]any{"allow_any_name": false, "allowed_domains": []string{"globex-app"}, "allow_bare_domains": true})
		}, pki.Refused, []string{"not allowed by this role"}},
		"too many requests": {func(m *testvault.Mounts, _ **pki.Vault, _ *pki.Wanted) {
			m.Must(http.MethodPost, "sys/quotas/rate-limit/few", map[string]any{"path": m.PKI + "/", "rate": 0.001, "interval": "1h"})
			_, _ = m.Do(t.Context(), http.MethodGet, m.PKI+"/certs", nil)
		}, pki.RateLimited, []string{"rate limit quota", "-parallelism"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := testvault.Own(t)
			v, w := client(m), wanted(m, "acme-app")
			test.fails(m, &v, &w)
			i, err := v.Issue(t.Context(), w)
			var failed *pki.Error
			if !errors.As(err, &failed) || failed.Class != test.class || i.Serial != "" {
				t.Fatalf("got %+v, %v", i, err)
			}
			for _, words := range append(test.says, "Vault cannot sign a certificate for acme-app with role ") {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("%q does not say %q", err, words)
				}
			}
		})
	}
}

// Who may only do what the guide's policy says can do everything.
func TestTheLeastRights(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	w := wanted(m, "acme-app")
	rights := fmt.Sprintf(`
path "%[1]s/sign/app" { capabilities = ["update"] }
path "%[1]s/revoke" { capabilities = ["update"] }
path "%[1]s/cert/*" { capabilities = ["read"] }
path "%[2]s/data/brownie/*" { capabilities = ["create", "update", "read"] }
path "%[2]s/metadata/brownie/*" { capabilities = ["read", "delete"] }
`, m.PKI, m.KV)
	v := pki.New(pki.Config{Address: m.Address, Token: m.TokenWith(rights)})
	i := testdb.Must(v.Issue(t.Context(), w))(t)
	if _, reason, err := v.Check(t.Context(), i, w); err != nil || reason != "" {
		t.Fatalf("%q, %v", reason, err)
	}
	renewed, _, err := v.Renew(t.Context(), i, w)
	if err != nil {
		t.Fatal(err)
	}
	m.Must(http.MethodPost, m.PKI+"/revoke", map[string]any{"serial_number": renewed.Serial})
	if _, reason, err := v.Check(t.Context(), renewed, w); err != nil || !strings.Contains(reason, "revoked") {
		t.Errorf("%q, %v", reason, err)
	}
	if err := v.Retire(t.Context(), renewed, w, true); err != nil {
		t.Error(err)
	}
}

func TestALifetimeThatTheRoleDoesNotAllow(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	m.SetRole(map[string]any{"max_ttl": "1h", "ttl": "1h"})
	w := wanted(m, "acme-app")
	i, err := client(m).Issue(t.Context(), w)
	var mismatch *pki.MismatchError
	if !errors.As(err, &mismatch) || mismatch.Attribute() != "ttl" || i.Serial != "" ||
		!regexp.MustCompile("ttl is 24h0m0s, but role app of mount "+m.PKI+" made a certificate that holds for (1h0m0s|59m5.s) "+
			"only").MatchString(err.Error()) {
		t.Errorf("got %+v, %v", i, err)
	}
	if valid, revoked := m.Serials(); len(valid) != 0 || len(revoked) != 1 {
		t.Errorf("%v are valid, %v revoked", valid, revoked)
	}
}

// A clock that is wrong by ten minutes makes nothing due too early or too late.
func TestClocksThatDiffer(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	for _, wrong := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
		name := fmt.Sprintf("clock%d", wrong/time.Minute)
		w := wanted(m, name)
		w.TTL = time.Hour
		v := pki.New(pki.Config{Address: m.Address, Token: m.Token(), Now: func() time.Time { return time.Now().Add(wrong) }})
		i := testdb.Must(v.Issue(t.Context(), w))(t)
		if skew := v.Skew().Round(time.Minute); skew != -wrong {
			t.Errorf("the difference is %s, want %s", skew, -wrong)
		}
		for before, due := range map[time.Duration]bool{55 * time.Minute: false, 61 * time.Minute: true} {
			w.RenewBefore = before
			if _, reason, err := v.Check(t.Context(), i, w); err != nil || (reason != "") != due {
				t.Errorf("clock wrong by %s, renewed %s before the end: %q, %v", wrong, before, reason, err)
			}
		}
	}
}

// An expired certificate is renewed, and its end is no error.
func TestAnExpiredCertificate(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	w := wanted(m, "acme-app")
	w.TTL, w.RenewBefore = 5*time.Second, time.Nanosecond
	v := client(m)
	i := testdb.Must(v.Issue(t.Context(), w))(t)
	time.Sleep(time.Until(i.NotAfter.Add(time.Second)))
	if _, reason, err := v.Check(t.Context(), i, w); err != nil || !strings.HasPrefix(reason, "it expired at ") {
		t.Errorf("%q, %v", reason, err)
	}
	renewed, _, err := v.Renew(t.Context(), i, w)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(renewed.NotAfter.Add(time.Second)))
	m.Must(http.MethodPost, m.PKI+"/tidy", map[string]any{"tidy_cert_store": true, "tidy_revoked_certs": true, "safety_buffer": "1s"})
	if err := v.Retire(t.Context(), renewed, w, true); err != nil {
		t.Error(err)
	}
}

func TestArgumentsThatAreMissing(t *testing.T) {
	for _, name := range []string{"VAULT_ADDR", "VAULT_TOKEN"} {
		t.Setenv(name, "")
	}
	for says, config := range map[string]pki.Config{
		"vault.address is missing":       {},
		"vault.token is missing":         {Address: "http://127.0.0.1:1"},
		"vault.address is not known yet": {Unknown: []string{"address"}},
		"vault.jwt has no token":         {Address: "http://127.0.0.1:1", JWT: &pki.JWT{Mount: "jwt", Role: "x"}},
		"vault.ca_cert holds no":         {Address: "https://127.0.0.1:1", Token: "x", CACert: "-----BEGIN CERTIFICATE-----\nsecret"},
	} {
		_, err := pki.New(config).Certificate(t.Context(), "pki", "01")
		var wrong *pki.ConfigError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v", says, err)
		}
	}
}

// What is missing is told by the sentinel that the whole project uses.
func TestMissing(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	if _, err := client(m).Certificate(t.Context(), m.PKI, "01:02"); !errors.Is(err, problem.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}
