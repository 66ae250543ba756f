package modules_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
)

// vaultPKI is the module as it stands on a real Vault, with the login of one workspace.
type vaultPKI struct {
	folder
	vault  *testvault.Mounts
	issuer *testvault.Issuer
	// pki, kv and jwt are the module's mounts, and prefix begins the names of its policies.
	pki, kv, jwt, prefix string
	config               string
}

func applyVaultPKI(t *testing.T) vaultPKI {
	t.Helper()
	acceptance(t)
	v := testvault.New(t)
	m := vaultPKI{
		folder: copied(t, "", v.Env()), vault: v, issuer: testvault.NewIssuer(t),
		pki: "module-pki", kv: "module-kv", jwt: "module-jwt", prefix: "module",
	}
	// A Vault elsewhere, or in a container, does not reach the issuer of this process.
	keys := fmt.Sprintf("jwt_validation_pubkeys = [%q]", m.issuer.PublicKeyPEM())
	if v.OnThisHost() {
		keys = fmt.Sprintf("oidc_discovery_ca_pem = %q", m.issuer.CAPEM())
	}
	m.config = fmt.Sprintf(`
provider "vault" {
  skip_child_token = true
}

module "pki" {
  source        = "./vault-pki"
  root          = { mount = "module-root" }
  issuing       = { mount = %q }
  store         = { mount = %q }
  policy_prefix = %q
  clients = {
    acme-app    = { ttl = "1h", max_ttl = "2h" }
    acme_writer = { issuance = "self" }
    pgbouncer   = { issuance = "self" }
  }
  servers = {
    exact = { domains = ["db.example"] }
    below = { domains = ["db.example"], allow_subdomains = true, allow_ip_sans = true }
  }
  jwt = {
    path               = %q
    oidc_discovery_url = %q
    %s
    workspaces = { prod = { organization = "acme", project = "platform", workspace = "db-prod", run_phase = "apply" } }
  }
}

# A second one, for somebody who has an authority already.
module "roles_only" {
  source        = "./vault-pki"
  issuing       = { mount = module.pki.mount, existing_issuer = "default" }
  store         = { mount = module.pki.stores["acme-app"].mount, existing = true }
  policy_prefix = "%[3]s-second"
  clients       = { globex-app = {} }
}

output "root" {
  value = module.pki.root_certificate_pem
}
`, m.pki, m.kv, m.prefix, m.jwt, m.issuer.URL, keys)
	m.write(m.config)
	m.initialize()
	t.Cleanup(func() { m.must("destroy", "-auto-approve", "-input=false") })
	m.must("apply", "-auto-approve", "-input=false")
	return m
}

// as is the Vault with another token.
func (m vaultPKI) as(token string) *devstack.Vault { return m.vault.WithToken(token) }

// ask has a certificate issued as the administrator.
func (m vaultPKI) ask(role string, arguments map[string]any) (*x509.Certificate, error) {
	data, err := m.vault.Do(context.Background(), http.MethodPost, m.pki+"/issue/"+role, arguments)
	if err != nil {
		return nil, err
	}
	text, _ := data["certificate"].(string)
	block, _ := pem.Decode([]byte(text))
	return x509.ParseCertificate(block.Bytes)
}

func TestAccVaultPKI(t *testing.T) {
	m := applyVaultPKI(t)
	if output, err := m.terraform("plan", "-input=false", "-detailed-exitcode"); err != nil {
		t.Errorf("a second plan: %s\n%s", err, output)
	}
	state, err := os.ReadFile(filepath.Join(m.dir, "terraform.tfstate"))
	if err != nil || strings.Contains(string(state), "PRIVATE KEY") {
		t.Errorf("the state holds a private key, or cannot be read: %v", err)
	}
	t.Run("roles issue what they should", m.testNames)
	t.Run("certificates", m.testCertificates)
	t.Run("policies", m.testPolicies)
	t.Run("login of a workspace", m.testLogin)
	t.Run("rotation of the root", m.testRotation)
}

// A new root is made, trusted, and signs then; what the old one has signed stays valid.
func (m vaultPKI) testRotation(t *testing.T) {
	old, err := m.ask("acme-app", map[string]any{"common_name": "acme-app"})
	if err != nil {
		t.Fatal(err)
	}
	const root = `root          = { mount = "module-root" }`
	for _, step := range []string{
		`root          = { mount = "module-root", additional_mounts = ["module-root-next"], common_name = "Next root" }`,
		`root          = { mount = "module-root-next", additional_mounts = ["module-root"], common_name = "Next root" }`,
	} {
		m.write(strings.Replace(m.config, root, step, 1))
		m.must("apply", "-auto-approve", "-input=false")
		if output, err := m.terraform("plan", "-input=false", "-detailed-exitcode"); err != nil {
			t.Errorf("a second plan: %s\n%s", err, output)
		}
	}
	next, err := m.ask("acme-app", map[string]any{"common_name": "acme-app"})
	if err != nil {
		t.Fatal(err)
	}
	m.verify(t, old, "Brownie root")
	m.verify(t, next, "Next root")
}

// verify fails unless a certificate leads to a root of that name which everybody is told to trust.
func (m vaultPKI) verify(t *testing.T, c *x509.Certificate, root string) {
	t.Helper()
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(m.must("output", "-raw", "root"))) {
		t.Fatal("the output holds no root")
	}
	issuers, _ := m.vault.Must("LIST", m.pki+"/issuers", nil)["keys"].([]any)
	for _, issuer := range issuers {
		text, _ := m.vault.Must(http.MethodGet, fmt.Sprintf("%s/issuer/%s/json", m.pki, issuer), nil)["certificate"].(string)
		between.AppendCertsFromPEM([]byte(text))
	}
	chains, err := c.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: c.ExtKeyUsage})
	if err != nil {
		t.Errorf("%s: %s", c.Subject, err)
		return
	}
	// The same key of the issuing authority is signed by both roots.
	if !slices.ContainsFunc(chains, func(chain []*x509.Certificate) bool { return chain[len(chain)-1].Subject.CommonName == root }) {
		t.Errorf("%s does not lead to %s", c.Subject, root)
	}
}

func (m vaultPKI) testNames(t *testing.T) {
	for role, names := range map[string]struct{ allowed, refused []string }{
		"acme-app": {
			[]string{"acme-app"},
			[]string{
				"*", "*.acme-app", "x.acme-app", "x@acme-app", "acme-app2", "acme", "globex-app", "pgbouncer", "localhost",
				"db.example", "",
			},
		},
		"acme_writer":  {[]string{"acme_writer"}, []string{"*", "x@acme_writer", "x.acme_writer", "acme-writer"}},
		"globex-app":   {[]string{"globex-app"}, []string{"acme-app"}},
		"server-exact": {[]string{"db.example"}, []string{"*.db.example", "x.db.example", "example", "acme-app", "x@db.example"}},
		"server-below": {[]string{"db.example", "x.db.example", "x.y.db.example"}, []string{"*.db.example", "xdb.example", "acme-app"}},
	} {
		for _, name := range names.allowed {
			if c, err := m.ask(role, map[string]any{"common_name": name}); err != nil || c.Subject.CommonName != name {
				t.Errorf("%s does not issue %q: %v", role, name, err)
			}
		}
		for _, name := range names.refused {
			if _, err := m.ask(role, map[string]any{"common_name": name}); err == nil {
				t.Errorf("%s issues %q", role, name)
			}
		}
	}
	for _, more := range []map[string]any{
		{"alt_names": "globex-app"},
		{"alt_names": "*.acme-app"},
		{"ip_sans": "127.0.0.1"},
		{"uri_sans": "spiffe://x"},
		{"user_ids": "x"},
		{"other_sans": "1.3.6.1.4.1.311.20.2.3;UTF8:globex-app"},
	} {
		more["common_name"] = "acme-app"
		if _, err := m.ask("acme-app", more); err == nil {
			t.Errorf("acme-app issues %v", more)
		}
	}
}

func (m vaultPKI) testCertificates(t *testing.T) {
	client, err := m.ask("acme-app", map[string]any{"common_name": "acme-app", "ttl": "720h", "exclude_cn_from_sans": true})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(client.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) ||
		client.KeyUsage != x509.KeyUsageDigitalSignature || len(client.DNSNames) != 0 {
		t.Errorf("a client's certificate: %v %v %v", client.ExtKeyUsage, client.KeyUsage, client.DNSNames)
	}
	if life := client.NotAfter.Sub(client.NotBefore); life.Hours() < 2 || life.Hours() > 2.5 {
		t.Errorf("it holds for %s, and its max_ttl is 2h", life)
	}
	server, err := m.ask("server-below", map[string]any{"common_name": "db.example", "ip_sans": "10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(server.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
		t.Errorf("a server's certificate: %v", server.ExtKeyUsage)
	}
	m.verify(t, client, "Brownie root")
	m.verify(t, server, "Brownie root")
}

// may tells whether a token is allowed to do something, whether it then works or not.
func (m vaultPKI) may(t *testing.T, token, method, path string, body any) bool {
	t.Helper()
	_, err := m.as(token).Do(t.Context(), method, path, body)
	return err == nil || !strings.Contains(err.Error(), "permission denied")
}

func (m vaultPKI) testPolicies(t *testing.T) {
	secret := map[string]any{"data": map[string]string{"tls.key": "x"}}
	for _, name := range []string{"acme-app", "acme_writer", "pgbouncer"} {
		m.vault.Must(http.MethodPost, m.kv+"/data/clients/"+name, secret)
	}
	tokenOf := func(policy string) string {
		data := m.vault.Must(http.MethodPost, "auth/token/create", map[string]any{"policies": []string{m.prefix + "-" + policy}})
		token, _ := data["client_token"].(string)
		return token
	}
	for policy, cases := range map[string]struct{ may, mayNot []string }{
		"terraform": {
			[]string{
				"PUT pki/sign/acme-app", "GET pki/roles/acme-app", "PUT pki/revoke", "LIST pki/certs", "LIST pki/certs/revoked",
				"GET kv/data/clients/acme-app", "GET kv/metadata/clients/acme-app", "PUT kv/data/clients/acme-app",
			},
			[]string{
				"PUT pki/sign/pgbouncer", "PUT pki/sign/acme_writer", "PUT pki/issue/acme-app", "PUT pki/sign/server-exact",
				"PUT pki/roles/acme-app", "PUT pki/issuer/default/sign/acme-app", "PUT pki/sign-verbatim", "PUT pki/root/sign-intermediate",
				"PUT pki/config/crl", "DELETE pki/root", "GET kv/data/other", "LIST sys/policies/acl",
			},
		},
		"client-acme-app": {
			[]string{"GET kv/data/clients/acme-app"},
			[]string{
				"GET kv/data/clients/acme_writer", "PUT kv/data/clients/acme-app", "DELETE kv/metadata/clients/acme-app",
				"PUT pki/issue/acme-app", "PUT pki/sign/acme-app", "PUT pki/revoke",
			},
		},
		"client-acme_writer": {
			[]string{"PUT pki/issue/acme_writer", "PUT pki/sign/acme_writer"},
			[]string{"PUT pki/issue/acme-app", "GET kv/data/clients/acme_writer", "PUT pki/revoke"},
		},
		"server-exact": {
			[]string{"PUT pki/issue/server-exact", "PUT pki/sign/server-exact"},
			[]string{"PUT pki/issue/server-below", "PUT pki/issue/acme-app", "PUT pki/revoke", "GET kv/data/clients/acme-app"},
		},
	} {
		token := tokenOf(policy)
		// What Vault's role does not refuse, the policy does.
		for _, parameters := range []map[string]any{
			{"not_after": "2040-01-01T00:00:00Z"},
			{"NOT_AFTER": "2040-01-01T00:00:00Z"},
			{"alt_names": "root@acme-app"},
			{"alt_names": []string{"acme-app", "x@acme-app"}},
		} {
			for _, request := range cases.may {
				method, path, _ := strings.Cut(request, " ")
				issues := strings.Contains(path, "/issue/") || strings.Contains(path, "/sign/")
				email := parameters["alt_names"] != nil && policy == "server-exact" // It has no role that issues any.
				if issues && !email && m.may(t, token, method, strings.Replace(path, "pki/", m.pki+"/", 1), parameters) {
					t.Errorf("%s: %s with %v is allowed", policy, request, parameters)
				}
			}
		}
		for allowed, requests := range map[bool][]string{true: cases.may, false: cases.mayNot} {
			for _, request := range requests {
				method, path, _ := strings.Cut(request, " ")
				path = strings.Replace(strings.Replace(path, "pki/", m.pki+"/", 1), "kv/", m.kv+"/", 1)
				if got := m.may(t, token, method, path, secret); got != allowed {
					t.Errorf("%s: %s: allowed is %v", policy, request, got)
				}
			}
		}
	}
}

func (m vaultPKI) testLogin(t *testing.T) {
	logIn := func(token string) (map[string]any, error) {
		return m.as("").Do(t.Context(), http.MethodPost, "auth/"+m.jwt+"/login", map[string]any{"role": "prod", "jwt": token})
	}
	const audience = "vault.workload.identity"
	got, err := logIn(m.issuer.WorkloadToken(t, audience, "acme", "platform", "db-prod", "apply"))
	if err != nil {
		t.Fatal(err)
	}
	if policies := fmt.Sprint(got["token_policies"]); policies != "[default "+m.prefix+"-terraform]" {
		t.Errorf("the policies are %s", policies)
	}
	if lifetime, _ := got["lease_duration"].(float64); lifetime != 1200 {
		t.Errorf("the login holds for %v seconds", lifetime)
	}
	for name, token := range map[string]string{
		"another organization": m.issuer.WorkloadToken(t, audience, "globex", "platform", "db-prod", "apply"),
		"another project":      m.issuer.WorkloadToken(t, audience, "acme", "x", "db-prod", "apply"),
		"another workspace":    m.issuer.WorkloadToken(t, audience, "acme", "platform", "db-prod-2", "apply"),
		"another phase":        m.issuer.WorkloadToken(t, audience, "acme", "platform", "db-prod", "plan"),
		"another audience":     m.issuer.WorkloadToken(t, "aws.workload.identity", "acme", "platform", "db-prod", "apply"),
		"another issuer":       testvault.NewIssuer(t).WorkloadToken(t, audience, "acme", "platform", "db-prod", "apply"),
	} {
		if _, err := logIn(token); err == nil {
			t.Errorf("%s logs in", name)
		}
	}
}
