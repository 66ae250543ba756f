package testvault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Issuer gives out signed identities (JSON Web Tokens, RFC 7519), as HCP Terraform does for its runs.
type Issuer struct {
	// URL is its name, and where its keys are found (OpenID Connect Discovery 1.0).
	URL    string
	server *httptest.Server
	key    *ecdsa.PrivateKey
}

// NewIssuer starts an issuer, which ends with the test.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &Issuer{key: key}
	mux := http.NewServeMux()
	answer := func(path string, body func() any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(body())
		})
	}
	answer("/.well-known/openid-configuration", func() any {
		return map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"},
			"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
		}
	})
	answer("/keys", func() any {
		point, _ := key.PublicKey.Bytes() // A key that was just made is on its curve.
		return map[string]any{"keys": []any{map[string]string{
			"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1", "x": encoded(point[1:33]), "y": encoded(point[33:]),
		}}}
	})
	i.server = httptest.NewTLSServer(mux)
	i.URL = i.server.URL
	t.Cleanup(i.server.Close)
	return i
}

// CAPEM is the authority of the issuer's own server.
func (i *Issuer) CAPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw}))
}

// PublicKeyPEM checks what the issuer signs.
func (i *Issuer) PublicKeyPEM() string {
	der, err := x509.MarshalPKIXPublicKey(&i.key.PublicKey)
	if err != nil {
		panic(err) // It was just made.
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// Token signs claims, with the issuer's name and a life of an hour unless they say otherwise.
func (i *Issuer) Token(t testing.TB, claims map[string]any) string {
	t.Helper()
	now := time.Now()
	all := map[string]any{"iss": i.URL, "iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	body, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	text := encoded([]byte(`{"alg":"ES256","typ":"JWT","kid":"1"}`)) + "." + encoded(body)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + encoded(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// WorkloadToken is the identity of a run of HCP Terraform.
func (i *Issuer) WorkloadToken(t testing.TB, audience, organization, project, workspace, phase string) string {
	t.Helper()
	full := fmt.Sprintf("organization:%s:project:%s:workspace:%s", organization, project, workspace)
	return i.Token(t, map[string]any{
		"aud": audience, "sub": full + ":run_phase:" + phase, "terraform_full_workspace": full,
		"terraform_workspace_name": workspace, "terraform_run_phase": phase,
	})
}

func encoded(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
