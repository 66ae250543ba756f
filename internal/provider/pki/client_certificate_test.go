package pki_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

const theCertificate = "brownie_client_certificate.app"

// vaultBlock is the configuration of a provider that only needs Vault.
func vaultBlock(m *testvault.Mounts) string {
	return fmt.Sprintf("provider \"brownie\" {\n  vault = { address = %q, token = %q }\n}\n", m.Address, m.Token())
}

// certificate is a certificate that is stored, with more arguments if wanted.
func certificate(m *testvault.Mounts, arguments string) string {
	return fmt.Sprintf(`
resource "brownie_client_certificate" "app" {
  mount       = %q
  role        = %q
  common_name = "acme-app"
  store       = { mount = %q, path = "brownie/acme-app" }
%s
}
`, m.PKI, m.Role, m.KV, arguments)
}

// onlyValid fails unless one certificate is valid, and it is the one in the state and in the store.
func onlyValid(m *testvault.Mounts, revoked int) resource.TestCheckFunc {
	return func(s *terraform.State) error {
		id := s.RootModule().Resources[theCertificate].Primary.ID
		valid, gone := m.Serials()
		if len(valid) != 1 || valid[0] != id || len(gone) != revoked {
			return fmt.Errorf("valid are %v and revoked %v; want %s alone, and %d revoked", valid, gone, id, revoked)
		}
		return nil
	}
}

// sameAttributes fails unless two objects have the same attributes.
func sameAttributes(one, other string, names ...string) resource.TestCheckFunc {
	var checks []resource.TestCheckFunc
	for _, name := range names {
		checks = append(checks, resource.TestCheckResourceAttrPair(one, name, other, name))
	}
	return resource.ComposeAggregateTestCheckFunc(checks...)
}

func TestAccClientCertificate(t *testing.T) {
	m := testvault.New(t)
	block := vaultBlock(m)
	var id string
	remember := func(s *terraform.State) error {
		id = s.RootModule().Resources[theCertificate].Primary.ID
		return nil
	}
	inPlace := acctest.Planned(theCertificate, plancheck.ResourceActionUpdate)
	empty := resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	acctest.RunSearched(t, m, []resource.TestStep{
		{
			Config: block + certificate(m, `ttl = "24h"`),
			Check: resource.ComposeAggregateTestCheckFunc(onlyValid(m, 0), remember, acctest.Attributes(theCertificate, map[string]string{
				"common_name": "acme-app", "renewal_due": "false", "store_version": "1", "revoke_on_destroy": "true", "superseded.#": "0",
			}), resource.TestMatchResourceAttr(theCertificate, "certificate_pem", regexp.MustCompile("^-+BEGIN CERTIFICATE-+")),
				resource.TestMatchResourceAttr(theCertificate, "fingerprint_sha256", regexp.MustCompile("^[0-9a-f]{64}$"))),
		},
		{Config: block + certificate(m, "ttl = \"1440m\"\nkey_type = \"ecdsa-p256\""), Check: onlyValid(m, 0)},
		{Config: block + certificate(m, `ttl = "1440m"`), Check: onlyValid(m, 0)},
		{Config: block + certificate(m, `ttl = "1440m"`), ConfigPlanChecks: empty},
		{
			ResourceName: theCertificate, ImportState: true, ImportStateVerify: true,
			ImportStateIdFunc: func(*terraform.State) (string, error) {
				return m.PKI + "/" + id + "@" + m.KV + ":brownie/acme-app", nil
			},
			// Vault does not know which arguments a certificate was asked for with.
			ImportStateVerifyIgnore: []string{"role", "ttl", "ca_chain_pem"},
		},
		{
			Config: block + certificate(m, `ttl = "24h"`) + fmt.Sprintf(`
data "brownie_client_certificate" "stored" {
  mount = %q
  store = brownie_client_certificate.app.store
}
data "brownie_client_certificate" "known" {
  mount = %[1]q
  id    = brownie_client_certificate.app.id
}
`, m.PKI),
			Check: resource.ComposeAggregateTestCheckFunc(
				sameAttributes("data.brownie_client_certificate.stored", theCertificate, "id", "common_name", "certificate_pem",
					"ca_chain_pem", "not_after", "fingerprint_sha256"),
				sameAttributes("data.brownie_client_certificate.known", theCertificate, "id", "common_name", "certificate_pem",
					"ca_chain_pem", "not_after", "fingerprint_sha256"),
			),
		},
		{
			Config: block + certificate(m, `ttl = "24h"`) + fmt.Sprintf(`
data "brownie_client_certificate" "none" {
  store = { mount = %q, path = "nothing" }
}
`, m.KV),
			ExpectError: regexp.MustCompile(`There is no client certificate with store =\s+"` + m.KV + `/nothing"`),
		},
		{ // Settings of Terraform's only change nothing in Vault.
			Config: block + certificate(m, "ttl = \"24h\"\nrenew_before = \"1h\""), ConfigPlanChecks: inPlace, Check: onlyValid(m, 0),
		},
		{
			Config: block + certificate(m, `ttl = "12h"`), ConfigPlanChecks: inPlace,
			Check: resource.ComposeAggregateTestCheckFunc(onlyValid(m, 1), remember,
				acctest.Attributes(theCertificate, map[string]string{"store_version": "2"})),
		},
		{
			PreConfig: func() { m.Must(http.MethodPost, m.PKI+"/revoke", map[string]any{"serial_number": id}) },
			Config:    block + certificate(m, `ttl = "12h"`),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(theCertificate, plancheck.ResourceActionUpdate),
				plancheck.ExpectUnknownValue(theCertificate, tfjsonpath.New("id")),
				plancheck.ExpectKnownValue(theCertificate, tfjsonpath.New("renewal_reason"), knownvalue.Null()),
			}},
			Check: onlyValid(m, 2),
		},
		{
			PreConfig: func() { m.Must(http.MethodDelete, m.KV+"/metadata/brownie/acme-app", nil) },
			Config:    block + certificate(m, `ttl = "12h"`), ConfigPlanChecks: inPlace, Check: onlyValid(m, 3),
		},
		{
			PreConfig: func() {
				m.Must(http.MethodPost, m.KV+"/data/brownie/acme-app", map[string]any{"data": map[string]any{"x": "y"}})
			},
			Config: block + certificate(m, `ttl = "12h"`), ConfigPlanChecks: inPlace,
			Check: resource.ComposeAggregateTestCheckFunc(onlyValid(m, 4),
				acctest.Attributes(theCertificate, map[string]string{"store_version": "3"})),
		},
		{ // An old certificate stays valid for as long as is wanted.
			Config: block + certificate(m, "ttl = \"6h\"\nrevoke_after = \"1h\""), ConfigPlanChecks: inPlace,
			ConfigStateChecks: []statecheck.StateCheck{statecheck.ExpectKnownValue(theCertificate, tfjsonpath.New("superseded"),
				knownvalue.ListSizeExact(1))},
		},
		{
			Config: strings.Replace(block, m.Address, m.Later(2*time.Hour), 1) + certificate(m, "ttl = \"6h\"\nrevoke_after = \"1h\""),
			Check:  onlyValid(m, 5),
		},
		{
			Config: block, Check: func(*terraform.State) error {
				if valid, _ := m.Serials(); len(valid) != 0 {
					return fmt.Errorf("%v are valid after the destroy", valid)
				}
				if _, err := m.Do(t.Context(), http.MethodGet, m.KV+"/metadata/brownie/acme-app", nil); err == nil {
					return fmt.Errorf("the secret is still stored")
				}
				return nil
			},
		},
	}...)
}

func TestAccCertificateAuthority(t *testing.T) {
	m := testvault.New(t)
	const address = "data.brownie_certificate_authority.test"
	read := func(mount string) string {
		return vaultBlock(m) + fmt.Sprintf("data \"brownie_certificate_authority\" \"test\" {\n  mount = %q\n}\n", mount)
	}
	acctest.RunSearched(t, m, []resource.TestStep{
		{
			Config: read(m.PKI),
			Check: acctest.Attributes(address, map[string]string{
				"common_name": "Test root", "healthy": "true", "problems.#": "0", "crl.revoked_count": "0",
			}),
		},
		{
			// Nobody refreshes the list, and it expires.
			Config: strings.Replace(read(m.PKI), m.Address, m.Later(100*time.Hour), 1), Check: acctest.Attributes(address, map[string]string{"healthy": "false", "problems.#": "1"}),
		},
		{Config: read("no-such-mount"), ExpectError: acctest.Says("no handler for route")},
	}...)
}

func TestAccBadClientCertificates(t *testing.T) {
	m := testvault.New(t)
	m.Must(http.MethodPost, m.PKI+"/roles/long", map[string]any{
		"allow_any_name": true, "enforce_hostnames": false, "key_type": "any", "max_ttl": "87600h", // as long as the authority
	})
	block := vaultBlock(m)
	bad := func(arguments, words string) resource.TestStep {
		return resource.TestStep{Config: block + certificate(m, arguments), PlanOnly: true, ExpectError: acctest.Says(words)}
	}
	fails := func(config, words string) resource.TestStep {
		return resource.TestStep{Config: config, ExpectError: acctest.Says(words)}
	}
	whole := certificate(m, "")
	acctest.RunSearched(t, m, []resource.TestStep{
		bad(`csr_pem = "x"`, `csr_pem is no certificate signing request in PEM`),
		bad(fmt.Sprintf("csr_pem = <<-EOT\n%s\nEOT", signingRequest(t)), `Exactly one of store and csr_pem must be set`),
		{
			Config: block + strings.Replace(strings.Replace(whole, "store ", "# store ", 1), `"acme-app"`,
				`"globex-app"`+"\n  csr_pem = <<-EOT\n"+signingRequest(t)+"\n  EOT", 1),
			PlanOnly: true, ExpectError: acctest.Says(`csr_pem is a request of "acme-app" and common_name is "globex-app"`),
		},
		fails(block+certificate(m, `renew_before = "800h"`), `so that each apply would renew it`),
		bad(`ttl = "1d"`, `ttl is "1d": it must be a duration of whole seconds with units (h, m, s), such as "720h"`),
		bad("ttl = \"1h\"\nrenew_before = \"2h\"", `each apply would renew the certificate`),
		bad(`key_type = "dsa"`, `ecdsa-p256`),
		{
			Config: block + strings.Replace(whole, `"acme-app"`, `"acme app"`, 1), PlanOnly: true,
			ExpectError: acctest.Says(`common_name is "acme app": it must consist of letters, digits`),
		},
		{
			Config: block + strings.Replace(whole, `"acme-app"`, `"Public"`, 1), PlanOnly: true,
			ExpectError: acctest.Says(`common_name is "Public", which is a keyword of PostgreSQL's and no role`),
		},
		bad(`ip_addresses = ["10.0.0"]`, `it must be an IP address`),
		{
			Config: block + strings.Replace(whole, "store ", "# store ", 1), PlanOnly: true,
			ExpectError: acctest.Says(`Exactly one of store and csr_pem must be set`),
		},
		fails(block+certificate(m, `ttl = "7200h"`), `raise max_ttl`),
		fails(block+strings.Replace(certificate(m, `ttl = "87600h"`), fmt.Sprintf("%q\n", m.Role), "\"long\"\n", 1),
			`Set ttl to less, or renew the authority`),
		fails(block+strings.ReplaceAll(whole, m.PKI, "nowhere"),
			`Vault cannot sign a certificate for acme-app with role app of mount nowhere`),
		fails(block+strings.ReplaceAll(whole, m.KV, "nowhere"), `Vault cannot store certificate`),
		fails(block+strings.Replace(whole, `"app"`+"\n", `"other"`+"\n", 1), `unknown role`),
		fails(strings.Replace(block, m.Token(), "wrong", 1)+whole, `permission denied`),
		fails("provider \"brownie\" {\n  vault = { address = \"http://127.0.0.1:1\", token = \"x\" }\n}\n"+whole,
			`127.0.0.1:1 does not answer`),
	}...)
	if valid, _ := m.Serials(); len(valid) != 0 {
		t.Errorf("failed applies left %v", valid)
	}
}

// No private key is in any file that Terraform writes, nor in what it shows.
func TestAccKeysStayInVault(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	w := acctest.NewWorkspaceWith(t, m.Env(), certificate(m, `ttl = "24h"`)+fmt.Sprintf(`
ephemeral "brownie_client_certificate" "short" {
  mount       = %q
  role        = %q
  common_name = "globex-app"
  ttl         = "10m"
}
resource "terraform_data" "uses" {
  depends_on = [ephemeral.brownie_client_certificate.short]
}
`, m.PKI, m.Role))
	w.Env = append(w.Env, "TF_LOG=TRACE", "TF_LOG_PATH="+filepath.Join(w.Dir, "trace.log"))
	searched := map[string]string{
		"plan":       w.MustRun("plan", "-input=false", "-out=tfplan"),
		"plan JSON":  w.MustRun("show", "-json", "tfplan"),
		"apply":      w.MustRun("apply", "-input=false", "tfplan"),
		"state JSON": w.MustRun("show", "-json"),
	}
	data, _ := m.Must(http.MethodGet, m.KV+"/data/brownie/acme-app", nil)["data"].(map[string]any)
	key, _ := data["tls.key"].(string)
	if !strings.HasPrefix(key, "-----BEGIN PRIVATE KEY-----") {
		t.Fatalf("the stored key is %q", key)
	}
	for _, file := range []string{"trace.log", "terraform.tfstate", "tfplan"} {
		searched[file] = string(testdb.Must(os.ReadFile(filepath.Join(w.Dir, file)))(t))
	}
	for where, text := range searched {
		for _, secret := range []string{"PRIVATE KEY", strings.Split(key, "\n")[1], m.Token()} {
			if _, after, found := strings.Cut(text, secret); found {
				t.Errorf("%s shows a secret, before %.60s…", where, after)
			}
		}
	}
	if valid, revoked := m.Serials(); len(valid) != 1 || len(revoked) < 1 {
		t.Errorf("the ephemeral certificate is not revoked: %v are valid, %v revoked", valid, revoked)
	}
}

// The owner of a key gives a signing request, and needs no store.
func TestAccClientCertificateOfASigningRequest(t *testing.T) {
	m := testvault.New(t)
	config := func(csr string) string {
		return vaultBlock(m) + fmt.Sprintf(`
resource "brownie_client_certificate" "app" {
  mount       = %q
  role        = %q
  common_name = "acme-app"
  csr_pem     = <<-EOT
%s
  EOT
}
`, m.PKI, m.Role, csr)
	}
	first, second := signingRequest(t), signingRequest(t)
	acctest.RunSearched(t, m, []resource.TestStep{
		{
			Config: config(first),
			Check: resource.ComposeAggregateTestCheckFunc(onlyValid(m, 0),
				resource.TestCheckNoResourceAttr(theCertificate, "store_version"),
				acctest.Attributes(theCertificate, map[string]string{"common_name": "acme-app"})),
		},
		{Config: config(second), ConfigPlanChecks: acctest.Planned(theCertificate, plancheck.ResourceActionUpdate), Check: onlyValid(m, 1)},
		{Config: config(second) + "\n# the same", ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}},
	}...)
}

// A certificate that is replaced by another of the same key, before or after it is destroyed, ends as one.
func TestAccReplacedClientCertificate(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	csr := signingRequest(t)
	w := acctest.NewWorkspaceWith(t, m.Env(), fmt.Sprintf(`
resource "brownie_client_certificate" "app" {
  mount       = %q
  role        = %q
  common_name = "acme-app"
  csr_pem     = <<-EOT
%s
  EOT
  lifecycle {
    create_before_destroy = true
  }
}
`, m.PKI, m.Role, csr))
	testdb.Must(w.Apply())(t)
	w.MustRun("apply", "-auto-approve", "-input=false", "-replace="+theCertificate)
	if valid, revoked := m.Serials(); len(valid) != 1 || len(revoked) != 1 {
		t.Errorf("%v are valid, %v revoked", valid, revoked)
	}
	w.NoChanges()
}

// Another store is a planned replacement, in either order, that leaves one certificate and one secret.
func TestAccClientCertificateAtAnotherStore(t *testing.T) {
	for _, lifecycle := range []string{"", "lifecycle {\n  create_before_destroy = true\n}"} {
		t.Run(map[bool]string{true: "destroyed first", false: "created first"}[lifecycle == ""], func(t *testing.T) {
			t.Parallel()
			m := testvault.New(t)
			config := certificate(m, lifecycle)
			w := acctest.NewWorkspaceWith(t, m.Env(), config)
			testdb.Must(w.Apply())(t)
			w.Write(strings.Replace(config, "brownie/acme-app", "brownie/moved", 1))
			if output := testdb.Must(w.Apply())(t); !acctest.Says("must be replaced").MatchString(output) {
				t.Errorf("no replacement:\n%s", output)
			}
			if valid, revoked := m.Serials(); len(valid) != 1 || len(revoked) != 1 {
				t.Errorf("%v are valid, %v revoked", valid, revoked)
			}
			if _, err := m.Do(t.Context(), http.MethodGet, m.KV+"/metadata/brownie/acme-app", nil); err == nil {
				t.Error("the old secret is left")
			}
			m.Must(http.MethodGet, m.KV+"/data/brownie/moved", nil)
			w.NoChanges()
			// The new pair cannot be stored where the old one still is: nothing changes.
			if lifecycle == "" {
				return
			}
			if output, err := w.Run("apply", "-auto-approve", "-input=false", "-replace="+theCertificate); err == nil ||
				!acctest.Says("holds a certificate already").MatchString(output) {
				t.Errorf("a replacement at the same place: %v\n%s", err, output)
			}
			if valid, _ := m.Serials(); len(valid) != 1 {
				t.Errorf("%v are valid", valid)
			}
			w.NoChanges()
		})
	}
}

// Time that passes between a plan and its apply changes nothing of what was planned.
func TestAccClientCertificateChangedWhileTimePasses(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	w := acctest.NewWorkspaceWith(t, m.Env(), certificate(m, "ttl = \"24h\"\nrevoke_after = \"1h\""))
	testdb.Must(w.Apply())(t)
	w.Write(certificate(m, "ttl = \"12h\"\nrevoke_after = \"1h\""))
	testdb.Must(w.Apply())(t)
	w.Write(certificate(m, "ttl = \"12h\"\nrevoke_after = \"1h\"\nkey_type = \"ecdsa-p256\""))
	w.MustRun("plan", "-input=false", "-out=tfplan")
	w.Env = append(w.Env, "VAULT_ADDR="+m.Later(2*time.Hour))
	w.MustRun("apply", "-input=false", "tfplan")
	if valid, revoked := m.Serials(); len(valid) != 1 || len(revoked) != 1 {
		t.Errorf("%v are valid, %v revoked", valid, revoked)
	}
	w.NoChanges()
}

func signingRequest(t *testing.T) string {
	t.Helper()
	key := testdb.Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	der := testdb.Must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "acme-app"}},
		key))(t)
	return strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})))
}

// A plan warns of a certificate that opens nothing, once the database can be asked.
func TestAccClientCertificateWithoutARole(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	database := testdb.Migrated(t)
	w := acctest.NewWorkspace(t, database, certificate(m, ""))
	w.Env = append(w.Env, m.Env()...)
	w.SearchFor(m.Token())
	warning := acctest.Says(`The database has no role "acme-app" that may log in`)
	if output := w.MustRun("plan", "-input=false"); !warning.MatchString(output) {
		t.Errorf("no warning:\n%s", output)
	}
	w.Write(strings.Replace(certificate(m, ""), `common_name = "acme-app"`, "common_name = brownie_role.acme.name", 1) + `
resource "brownie_role" "acme" {
  name   = "acme-app"
  access = "reader"
}
`)
	if output := w.MustRun("plan", "-input=false"); warning.MatchString(output) {
		t.Errorf("a warning of a role that the same plan makes:\n%s", output)
	}
	w.Write(certificate(m, ""))
	w.Env = append(w.Env, "PGHOST=nowhere.invalid")
	if output := w.MustRun("plan", "-input=false"); warning.MatchString(output) {
		t.Errorf("a warning without a database:\n%s", output)
	}
}

// ownLogin is a workspace whose provider logs in to a server of its own with a certificate that it makes itself.
func ownLogin(t *testing.T, m *testvault.Mounts, ttl, config string) (acctest.Workspace, *devstack.Postgres) {
	t.Helper()
	server := testdb.Must(devstack.StartPostgres(t.Context(), devstack.Options{}))(t)
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	if err := m.MakeAuthority(t.Context(), server, m.PKI); err != nil {
		t.Fatal(err)
	}
	w := acctest.NewWorkspaceWith(t, m.Env(), loginBlock(m.PKI, m.Role, ttl)+config)
	w.Env = append(w.Env, "PGHOST="+server.Host(), fmt.Sprintf("PGPORT=%d", server.Port()), "PGDATABASE=postgres",
		"PGSSLROOTCERT="+server.CAFile())
	return w, server
}

func loginBlock(mount, role, ttl string) string {
	return fmt.Sprintf(`
provider "brownie" {
  vault = { client_certificate = { mount = %q, role = %q, common_name = "postgres", ttl = %q } }
}
`, mount, role, ttl)
}

// Without a login nothing is known: neither that objects are gone, nor that they are there.
func TestAccALoginCertificateThatCannotBeMade(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	const config = `
resource "brownie_migration" "this" {}
resource "brownie_organization" "acme" {
  name       = "Acme"
  slug       = "acme"
  depends_on = [brownie_migration.this]
}
`
	w, _ := ownLogin(t, m, "15m", config)
	testdb.Must(w.Apply())(t)
	w.MustRun("state", "rm", "brownie_migration.this") // It would be asked first, and fail.
	m.Must(http.MethodPost, m.PKI+"/roles/short", map[string]any{
		"allow_any_name": true, "enforce_hostnames": false, "key_type": "any",
		"max_ttl": "5m",
	})
	for words, block := range map[string]string{
		`no handler for route`: loginBlock("nowhere", m.Role, "15m"),
		`unknown role`:         loginBlock(m.PKI, "nobody", "15m"),
		`ttl is 15m0s, but`:    loginBlock(m.PKI, "short", "15m"),
	} {
		w.Write(block + config)
		for _, command := range [][]string{{"plan", "-input=false"}, {"destroy", "-auto-approve", "-input=false"}} {
			output, err := w.Run(command...)
			if err == nil || !acctest.Says("the provider's own login certificate (vault.client_certificate) cannot be "+
				"made").MatchString(output) || !acctest.Says(words).MatchString(output) {
				t.Errorf("%s: %v\n%s", command[0], err, output)
			}
		}
	}
	if list := w.MustRun("state", "list"); !strings.Contains(list, "brownie_organization.acme") {
		t.Errorf("the organization was forgotten: %s", list)
	}
}

// What is not known yet is named.
func TestAccVaultThatIsNotKnownYet(t *testing.T) {
	t.Parallel()
	for attribute, value := range map[string]string{
		"jwt":                `jwt = terraform_data.later.output`,
		"client_certificate": `client_certificate = { role = terraform_data.later.id, common_name = "x" }`,
	} {
		w := acctest.NewWorkspaceWith(t, []string{"VAULT_ADDR=http://127.0.0.1:1", "VAULT_TOKEN="}, fmt.Sprintf(`
resource "terraform_data" "later" {
  input = { role = timestamp() }
}
provider "brownie" {
  host  = "127.0.0.1"
  vault = {
    %s
  }
}
data "brownie_certificate_authority" "this" {}
`, value))
		output, err := w.Run("plan", "-input=false")
		if err == nil || !acctest.Says("vault."+attribute+" is not known yet").MatchString(output) {
			t.Errorf("%s: %v\n%s", attribute, err, output)
		}
	}
}

// The provider logs in with a certificate that it makes itself, and revokes it when it is done.
func TestAccProviderMakesItsLoginCertificate(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	w, _ := ownLogin(t, m, "15m", `resource "brownie_migration" "this" {}`)
	testdb.Must(w.Apply())(t)
	w.NoChanges()
	if valid, revoked := m.Serials(); len(valid) != 0 || len(revoked) < 2 {
		t.Errorf("%v are still valid, %v were revoked", valid, revoked)
	}
	state := string(testdb.Must(os.ReadFile(filepath.Join(w.Dir, "terraform.tfstate")))(t))
	if strings.Contains(state, "-----BEGIN") {
		t.Error("the state holds a certificate")
	}
}

// A certificate that lives in memory only configures another provider, in the plan and in the apply, and is revoked after each.
func TestAccEphemeralCertificateConfiguresAProvider(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	w, _ := ownLogin(t, m, "15m", fmt.Sprintf(`
ephemeral "brownie_client_certificate" "short" {
  mount       = %q
  role        = %q
  common_name = "postgres"
  ttl         = "10m"
}
provider "brownie" {
  alias    = "short"
  username = "postgres"
  sslcert  = "${ephemeral.brownie_client_certificate.short.certificate_pem}${ephemeral.brownie_client_certificate.short.ca_chain_pem}"
  sslkey   = ephemeral.brownie_client_certificate.short.private_key_pem
}
resource "brownie_migration" "this" {}
resource "brownie_organization" "acme" {
  provider            = brownie.short
  name                = "Acme"
  slug                = "acme"
  deletion_protection = false
  depends_on          = [brownie_migration.this]
}
`, m.PKI, m.Role))
	testdb.Must(w.Apply())(t)
	w.NoChanges()
	if valid, revoked := m.Serials(); len(valid) != 0 || len(revoked) < 4 {
		t.Errorf("%v are still valid, %v were revoked", valid, revoked)
	}
}

// An apply that takes longer than a certificate holds goes on with another one.
func TestAccLoginCertificateInALongApply(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	w, server := ownLogin(t, m, "8s", `
resource "brownie_migration" "this" {}
resource "terraform_data" "long" {
  provisioner "local-exec" { command = "touch waits && sleep 12" }
  depends_on = [brownie_migration.this]
}
resource "brownie_organization" "acme" {
  name                = "Acme"
  slug                = "acme"
  deletion_protection = false
  depends_on          = [terraform_data.long]
}
`)
	// The connections are ended meanwhile, or the pool would use an old one.
	ended := make(chan error, 1)
	go func() {
		for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(100 * time.Millisecond) {
			if _, err := os.Stat(filepath.Join(w.Dir, "waits")); err != nil {
				continue
			}
			time.Sleep(9 * time.Second)
			conn, err := pgx.Connect(context.Background(), server.URL("postgres"))
			if err == nil {
				_, err = conn.Exec(context.Background(),
					`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'terraform%'`)
				_ = conn.Close(context.Background())
			}
			ended <- err
			return
		}
		ended <- errors.New("the apply did not come to the pause")
	}()
	testdb.Must(w.Apply())(t)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	w.NoChanges()
}

// An HCP Terraform workspace logs in with its run's identity and stores no secret.
func TestAccVaultLoginWithoutASecret(t *testing.T) {
	t.Parallel()
	m := testvault.New(t)
	issuer := testvault.NewIssuer(t)
	mount := "jwt-" + m.PKI
	m.Must(http.MethodPost, "sys/auth/"+mount, map[string]any{"type": "jwt"})
	t.Cleanup(func() { _, _ = m.Do(context.Background(), http.MethodDelete, "sys/auth/"+mount, nil) })
	m.Must(http.MethodPost, "auth/"+mount+"/config", map[string]any{
		"jwt_validation_pubkeys": []string{issuer.PublicKeyPEM()}, "bound_issuer": issuer.URL,
	})
	m.Must(http.MethodPut, "sys/policies/acl/"+mount, map[string]any{"policy": modulesPolicy(t, m)})
	m.Must(http.MethodPost, "auth/"+mount+"/role/terraform", map[string]any{
		"role_type": "jwt", "user_claim": "sub", "bound_audiences": []string{"vault.example"}, "token_policies": []string{mount},
		"token_ttl":    "1m",
		"bound_claims": map[string]any{"terraform_workspace_name": "prod"},
	})
	token := func(workspace string) string {
		return issuer.WorkloadToken(t, "vault.example", "acme", "platform", workspace, "apply")
	}
	config := fmt.Sprintf("provider \"brownie\" {\n  vault = { jwt = { mount = %q, role = \"terraform\" } }\n}\n", mount)
	w := acctest.NewWorkspaceWith(t, []string{"VAULT_ADDR=" + m.Address, "TFC_WORKLOAD_IDENTITY_TOKEN=" + token("prod")},
		config+certificate(m, ""))
	testdb.Must(w.Apply())(t)
	w.NoChanges()
	w.Write(config + certificate(m, `ttl = "1h"`))
	testdb.Must(w.Apply())(t)
	w.MustRun("destroy", "-auto-approve", "-input=false")
	if valid, revoked := m.Serials(); len(valid) != 0 || len(revoked) != 2 {
		t.Errorf("%v are valid, %v revoked", valid, revoked)
	}
	accessors, _ := m.Must("LIST", "auth/token/accessors", nil)["keys"].([]any)
	for _, accessor := range accessors {
		data, err := m.Do(t.Context(), http.MethodPost, "auth/token/lookup-accessor", map[string]any{"accessor": accessor})
		if path, _ := data["path"].(string); err == nil && path == "auth/"+mount+"/login" {
			t.Error("a login outlived its run")
		}
	}
	w.Env = append(w.Env, "TFC_WORKLOAD_IDENTITY_TOKEN="+token("test"))
	if output, err := w.Apply(); err == nil || !acctest.Says("log in with the role terraform").MatchString(output) {
		t.Errorf("another workspace: %v\n%s", err, output)
	}
}

// modulesPolicy is what the module vault-pki allows Terraform to do.
func modulesPolicy(t *testing.T, m *testvault.Mounts) string {
	t.Helper()
	template := filepath.Join(testdb.Repository(t), "modules", "vault-pki", "templates", "terraform.hcl.tftpl")
	w := acctest.NewWorkspaceWith(t, nil, fmt.Sprintf(`
output "policy" {
  value = templatefile(%q, { mount = %q, roles = [%q], store = %q, prefix = "brownie" })
}
`, template, m.PKI, m.Role, m.KV))
	w.MustRun("apply", "-auto-approve", "-input=false")
	return w.MustRun("output", "-raw", "policy")
}
