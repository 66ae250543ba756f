package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testvault"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/pki"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

func TestMain(m *testing.M) { testdb.Main(m, testvault.Stop) }

// stand is a server whose clients' certificates come from Vault, below the server's own authority.
type stand struct {
	t        *testing.T
	database string
	server   *devstack.Postgres
	vault    *testvault.Mounts
	issuer   *pki.Vault
	role     string
	// crl is the server's ssl_crl_file, and root the list of the server's own authority.
	crl, root string
}

func newStand(t *testing.T) stand {
	t.Helper()
	database := testdb.Migrated(t, testdb.Certificates)
	m := testvault.New(t)
	s := stand{
		t: t, database: database, server: testdb.Server(t, database), vault: m, role: "revoked-app",
		issuer: pki.New(pki.Config{Address: m.Address, Token: m.Token()}),
	}
	if err := m.MakeAuthority(t.Context(), s.server, m.PKI); err != nil {
		t.Fatal(err)
	}
	// The server runs as another user when the tests run as root.
	dir := testdb.Must(os.MkdirTemp("", "brownie-crl-"))(t) //nolint:usetesting // The test's own folder is closed to others.
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.crl, s.root = filepath.Join(dir, "crl.pem"), filepath.Join(dir, "root.crl")
	s.writeRootList(time.Hour)
	return s
}

// writeRootList makes a new list of the server's own authority.
func (s stand) writeRootList(holds time.Duration) {
	s.t.Helper()
	now := time.Now()
	list := testdb.Must(s.server.RevocationList(now, now.Add(holds)))(s.t)
	if err := os.WriteFile(s.root, []byte(list), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// arguments are the command's for the stand.
func (s stand) arguments(more ...string) []string {
	return append([]string{
		"-file", s.crl, "-ca", s.server.CAFile(), "-mount", s.vault.Address + "/v1/" + s.vault.PKI, "-list", s.root, "-alarm-before", "1m",
	}, more...)
}

// getenv is the administrator's login.
func (s stand) getenv(name string) string {
	for _, setting := range s.server.Env(s.database) {
		if value, ok := strings.CutPrefix(setting, name+"="); ok {
			return value
		}
	}
	return ""
}

func (s stand) refresh(more ...string) (log string, err error) {
	var output bytes.Buffer
	err = run(s.t.Context(), s.arguments(more...), s.getenv, &output)
	return output.String(), err
}

// ready writes the file, which the server reads by now, and refreshes it once more.
func (s stand) ready() {
	s.t.Helper()
	// The server does not read the file yet, which is an error; it is written all the same.
	if _, err := s.refresh(); err == nil || !strings.Contains(err.Error(), "set its ssl_crl_file to") {
		s.t.Fatalf("a server that reads no list: %v", err)
	}
	s.useFile()
	if log, err := s.refresh(); err != nil {
		s.t.Fatalf("%s\n%s", err, log)
	}
}

// keyID is that of the authority of a certificate.
func keyID(c pki.Certificate) string {
	block, _ := pem.Decode([]byte(c.PEM))
	parsed, _ := x509.ParseCertificate(block.Bytes)
	return hex.EncodeToString(parsed.AuthorityKeyId)
}

// useFile makes the server read the file from its next reload on.
func (s stand) useFile() {
	s.t.Helper()
	testdb.Exec(s.t, s.database, `ALTER SYSTEM SET ssl_crl_file = '`+s.crl+`'`)
	s.t.Cleanup(func() {
		// Through the socket of the administrator, or with a certificate: both must work again for other tests.
		_ = testdb.TryExec(s.t, s.database, `ALTER SYSTEM RESET ssl_crl_file`)
		_ = testdb.TryExec(s.t, s.database, `SELECT pg_reload_conf()`)
	})
}

// certificate issues one for the role, and returns how it logs in with it.
func (s stand) certificate() (postgres.Config, pki.Certificate) {
	s.t.Helper()
	c, key, err := s.issuer.Pair(s.t.Context(), pki.Request{Mount: s.vault.PKI, Role: s.vault.Role, CommonName: s.role, TTL: time.Hour})
	if err != nil {
		s.t.Fatal(err)
	}
	config := testdb.Config(s.t, s.database)
	config.Username, config.SSLCert, config.SSLKey = s.role, c.PEM+c.ChainPEM(), testdb.Must(key.PEM())(s.t)
	return config, c
}

// makeRole makes the role that logs in, which may do nothing else.
func (s stand) makeRole() {
	s.t.Helper()
	testdb.Exec(s.t, s.database, `CREATE ROLE "`+s.role+`" LOGIN; GRANT CONNECT ON DATABASE `+s.database+` TO "`+s.role+`"`)
	s.t.Cleanup(func() {
		testdb.Exec(s.t, s.database, `DROP OWNED BY "`+s.role+`"; DROP ROLE "`+s.role+`"`)
	})
}

func (s stand) logsIn(config postgres.Config) bool {
	s.t.Helper()
	login := testdb.Must(access.ProveLogin(s.t.Context(), config))(s.t)
	if !login.LoggedIn && login.Problem == "" {
		s.t.Error("a login was refused without a reason")
	}
	return login.LoggedIn
}

// From the revocation in Vault to the refusal in PostgreSQL, with the command between them.
func TestRevocationReachesPostgreSQL(t *testing.T) {
	s := newStand(t)
	store := access.New(testdb.DB(t, s.database))
	organization := testdb.Value[string](t, s.database, `INSERT INTO organizations (name, slug) VALUES ('Acme', 'acme') RETURNING id::text`)
	role := testdb.Must(store.CreateRole(t.Context(),
		access.Role{Name: s.role, Access: "reader", OrganizationID: &organization, Pooled: true, ConnectionLimit: -1}))(t)
	t.Cleanup(func() { _ = store.DropRole(context.Background(), role, "") })
	pooler := testdb.Pooler(t, s.database)
	testdb.Must(store.UpdateRole(t.Context(), access.Role{Name: "pgbouncer"},
		access.Role{Name: "pgbouncer", Access: "pooler", ConnectionLimit: -1}))(t)
	s.ready()

	revoked, certificate := s.certificate()
	valid, _ := s.certificate()
	var log safeBuffer
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- run(ctx, s.arguments("-interval", "200ms", "-listen", "127.0.0.1:0"), s.getenv, &log)
	}()
	address := log.await(t, "address=")
	log.await(t, "The server has read the lists")
	if !s.logsIn(revoked) || !s.logsIn(valid) {
		t.Fatal("a valid certificate is refused")
	}

	if err := s.issuer.Revoke(t.Context(), s.vault.PKI, certificate); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for s.logsIn(revoked) {
		if time.Since(began) > time.Minute {
			t.Fatalf("the revoked certificate is still accepted:\n%s", &log)
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("PostgreSQL refused the certificate %s after its revocation in Vault", time.Since(began).Round(10*time.Millisecond))
	if !s.logsIn(valid) {
		t.Error("a valid certificate is refused")
	}
	if status, text := get(t, "http://"+address+"/healthz"); status != http.StatusOK {
		t.Errorf("health: %d %s", status, text)
	}
	// The figures follow the server a moment later.
	text := ""
	for range 50 {
		if _, text = get(t, "http://"+address+"/metrics"); strings.Contains(text,
			`brownie_crl_revoked_certificates{issuer="CN=Clients",key_id="`+keyID(certificate)+`"} 1`) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if !strings.Contains(text, `key_id="`+keyID(certificate)+`"} 1`) || !strings.Contains(text, "brownie_crl_problem 0") {
		t.Errorf("metrics:\n%s", text)
	}

	// PgBouncer reads no list: it lets the certificate in, and PostgreSQL sees only the pooler's own. Locking the role helps.
	through := revoked
	through.Host, through.Port = pooler.Host(), pooler.Port()
	if !s.logsIn(through) {
		t.Error("PgBouncer refuses the revoked certificate: it has learned to read lists, and the guide is to be changed")
	}
	locked := role
	locked.Locked = true
	testdb.Must(store.UpdateRole(t.Context(), role, locked))(t)
	if s.logsIn(through) {
		t.Error("a locked role gets in through the pooler")
	}

	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// An expired list makes PostgreSQL refuse valid certificates, and so does a missing one. The command raises the alarm
// before, keeps such lists out of the file, and puts things right as soon as there is a new one.
func TestAnExpiredListRefusesValidCertificates(t *testing.T) {
	s := newStand(t)
	s.makeRole()
	valid, _ := s.certificate()
	expires := time.Now().Add(4 * time.Second)
	s.writeRootList(time.Until(expires))
	if _, err := s.refresh(); err == nil {
		t.Error("a list that expires soon raises no alarm")
	}
	s.useFile()
	pidFile := testdb.Value[string](t, s.database, `SELECT setting FROM pg_settings WHERE name = 'data_directory'`) + "/postmaster.pid"
	if _, err := s.refresh(); err == nil || !strings.Contains(err.Error(), "CN=devstack expires at") {
		t.Errorf("a list that expires soon raises no alarm: %v", err)
	}
	if !s.logsIn(valid) {
		t.Fatal("a valid certificate is refused")
	}
	time.Sleep(time.Until(expires) + time.Second)
	if s.logsIn(valid) {
		t.Error("PostgreSQL accepts certificates after the list expired: the guide is to be changed")
	}
	if _, err := s.refresh(); err == nil || !strings.Contains(err.Error(), "expired at") {
		t.Errorf("an expired list raises no alarm: %v", err)
	}
	// The command's own certificate is refused too.
	s.writeRootList(time.Hour)
	if _, err := s.refresh(); err == nil || !strings.Contains(err.Error(), "was not told to read the lists") {
		t.Errorf("a server that refuses everybody was reloaded through a login: %v", err)
	}
	if log, err := s.refresh("-pidfile", pidFile); err != nil || !s.logsIn(valid) {
		t.Errorf("a new list does not let valid certificates in again: %v\n%s", err, log)
	}

	// Without the list of the root, the one of the authority below it is of no use.
	whole := testdb.Must(os.ReadFile(s.crl))(t)
	first, _, _ := strings.Cut(string(whole), "-----END X509 CRL-----\n")
	if err := os.WriteFile(s.crl, []byte(first+"-----END X509 CRL-----\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	testdb.Exec(t, s.database, `SELECT pg_reload_conf()`)
	for began := time.Now(); s.logsIn(valid); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("PostgreSQL does without the list of the root: the guide is to be changed")
		}
	}
	if log, err := s.refresh("-pidfile", pidFile); err != nil || !s.logsIn(valid) {
		t.Errorf("the command does not repair the file: %v\n%s", err, log)
	}
}

// A list whose authority is not known would leave the server without the lists of the others, and what the file has is kept.
func TestListsThatBelongToNobody(t *testing.T) {
	s := newStand(t)
	s.ready()
	mount := s.vault.Address + "/v1/" + s.vault.PKI
	var log bytes.Buffer
	err := run(t.Context(), []string{"-file", s.crl, "-ca", s.server.CAFile(), "-list", mount + "/crl/pem", "-list", s.root}, s.getenv,
		&log)
	if err == nil || !strings.Contains(err.Error(), "the list of CN=Clients is signed by none of the authorities") {
		t.Errorf("got %v", err)
	}
	if err := run(t.Context(), []string{"-file", s.crl, "-ca", s.server.CAFile(), "-list", s.root, "-alarm-before", "1m"}, s.getenv,
		&log); err != nil {
		t.Error(err)
	}
	if kept := testdb.Must(os.ReadFile(s.crl))(t); bytes.Count(kept, []byte("BEGIN X509 CRL")) != 2 {
		t.Errorf("the list of the authority that is no longer named is gone:\n%s", kept)
	}
}

// What the server does not read is no success, and no other process is told anything.
func TestServersThatDoNotReadTheFile(t *testing.T) {
	s := newStand(t)
	s.ready()
	whole := testdb.Must(os.ReadFile(s.crl))(t)
	for words, prepare := range map[string]func(){
		"and not " + s.crl: func() { testdb.Exec(t, s.database, `ALTER SYSTEM SET ssl_crl_file = '`+s.root+`'`) },
		"closed to others": func() {
			testdb.Exec(t, s.database, `ALTER SYSTEM SET ssl_crl_file = '`+s.crl+`'`)
			if err := os.Chmod(filepath.Dir(s.crl), 0o700); err != nil {
				t.Fatal(err)
			}
		},
	} {
		if os.Getuid() != 0 && words == "closed to others" {
			continue // Only root writes where the server cannot read.
		}
		prepare()
		if _, err := s.refresh(); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", words, err)
		}
		if err := os.Chmod(filepath.Dir(s.crl), 0o755); err != nil {
			t.Fatal(err)
		}
	}

	other := exec.CommandContext(t.Context(), "sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- other.Wait() }()
	pidFile := filepath.Join(t.TempDir(), "postmaster.pid")
	if err := os.WriteFile(pidFile, fmt.Appendf(nil, "%d\n/var/lib/postgresql\n1\n", other.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.refresh("-pidfile", pidFile); err == nil || !strings.Contains(err.Error(), "the server has ended") {
		t.Errorf("a file that was left behind: %v", err)
	}
	select {
	case err := <-ended:
		t.Errorf("another process was told something: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if now := testdb.Must(os.ReadFile(s.crl))(t); len(now) != len(whole) {
		t.Error("the file has other lists")
	}
}

// A new authority beside the old one: certificates of both get in, without other settings.
func TestRotationOfTheAuthority(t *testing.T) {
	s := newStand(t)
	s.role = "rotated-app"
	s.makeRole()
	s.ready()
	old, _ := s.certificate()
	if err := s.vault.MakeAuthority(t.Context(), s.server, s.vault.PKI); err != nil {
		t.Fatal(err)
	}
	next, certificate := s.certificate()
	if log, err := s.refresh(); err != nil {
		t.Fatalf("%s\n%s", err, log)
	}
	for name, config := range map[string]postgres.Config{"old": old, "new": next} {
		if !s.logsIn(config) {
			t.Errorf("a certificate of the %s authority is refused", name)
		}
	}
	// The same key is signed once more, which prolongs the authority.
	key := s.vault.Must(http.MethodGet, s.vault.PKI+"/issuer/default", nil)["key_id"]
	csr, _ := s.vault.Must(http.MethodPost, s.vault.PKI+"/intermediate/generate/existing",
		map[string]any{"common_name": "Clients", "key_ref": key})["csr"].(string)
	signed := testdb.Must(s.server.SignAuthority(csr))(t)
	s.vault.Must(http.MethodPost, s.vault.PKI+"/intermediate/set-signed", map[string]any{"certificate": signed})
	if log, err := s.refresh(); err != nil {
		t.Fatalf("%s\n%s", err, log)
	}
	if lists := bytes.Count(testdb.Must(os.ReadFile(s.crl))(t), []byte("BEGIN X509 CRL")); lists != 3 || !s.logsIn(next) || !s.logsIn(old) {
		t.Errorf("%d lists of 3 keys, or a valid certificate is refused", lists)
	}
	if err := s.issuer.Revoke(t.Context(), s.vault.PKI, certificate); err != nil {
		t.Fatal(err)
	}
	if _, err := s.refresh(); err != nil {
		t.Fatal(err)
	}
	if s.logsIn(next) || !s.logsIn(old) {
		t.Error("the revoked certificate is accepted, or the other one is not")
	}
}

// Whatever is wrong with the sources, the file keeps what it has.
func TestBadListsAreRefused(t *testing.T) {
	s := newStand(t)
	s.ready()
	good := testdb.Must(os.ReadFile(s.crl))(t)
	other := testdb.Must(devstack.StartPostgres(t.Context(), devstack.Options{}))(t)
	t.Cleanup(func() { _ = other.Stop(context.Background()) })
	older := testdb.Must(s.server.RevocationList(time.Now().Add(-time.Hour), time.Now().Add(time.Hour)))(t)
	expired := testdb.Must(s.server.RevocationList(time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)))(t)
	foreign := testdb.Must(other.RevocationList(time.Now(), time.Now().Add(time.Hour)))(t)
	served := ""
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if served == "" {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, served)
	}))
	t.Cleanup(source.Close)
	mount := s.vault.Address + "/v1/" + s.vault.PKI
	for name, bad := range map[string]struct{ served, issuers, words string }{
		"the source fails":    {"", mount + "/ca_chain", "answers 502"},
		"no list":             {"hello", mount + "/ca_chain", "it is no certificate revocation list"},
		"expired":             {expired, mount + "/ca_chain", "the list of CN=devstack expired at"},
		"older":               {older, mount + "/ca_chain", "somebody may be replaying it"},
		"signed by another":   {foreign, mount + "/ca_chain", "is signed by none of the authorities"},
		"a foreign authority": {string(testdb.Must(os.ReadFile(s.root))(t)), other.CAFile(), "is no authority that"},
		"no server":           {string(testdb.Must(os.ReadFile(s.root))(t)), "http://127.0.0.1:1/", "connection refused"},
	} {
		served = bad.served
		var log bytes.Buffer
		arguments := []string{
			"-file", s.crl, "-ca", s.server.CAFile(), "-issuers", bad.issuers, "-list", mount + "/crl/pem", "-list",
			source.URL,
		}
		if err := run(t.Context(), arguments, s.getenv, &log); err == nil || !strings.Contains(err.Error(), bad.words) {
			t.Errorf("%s: %v", name, err)
		}
		if now := testdb.Must(os.ReadFile(s.crl))(t); !bytes.Equal(now, good) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for words, arguments := range map[string][]string{
		"-file is missing":     {"-ca", "ca.pem", "-list", "crl.pem"},
		"-ca is missing":       {"-file", "f", "-list", "crl.pem"},
		"-mount is missing":    {"-ca", "ca.pem", "-file", "f"},
		"it must be a URL":     {"-ca", "ca.pem", "-file", "f", "-mount", "pki"},
		"no server would read": {"-ca", "ca.pem", "-file", "f", "-list", "l"},
		"arguments too many":   {"-ca", "ca.pem", "-file", "f", "-list", "l", "more"},
		"holds no certificate": {"-ca", "ca.pem", "-file", "f", "-list", "l", "-server-ca", os.Args[0]},
	} {
		if err := run(t.Context(), arguments, func(string) string { return "" },
			io.Discard); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v: %v", arguments, err)
		}
	}
}

func get(t *testing.T, url string) (status int, text string) {
	t.Helper()
	req := testdb.Must(http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody))(t)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body := testdb.Must(io.ReadAll(resp.Body))(t)
	return resp.StatusCode, string(body)
}

// safeBuffer is a log that is read while it is written.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// await waits until the log has some words, and returns the rest of their line.
func (b *safeBuffer) await(t *testing.T, words string) string {
	t.Helper()
	for range 300 {
		if _, after, found := strings.Cut(b.String(), words); found {
			rest, _, _ := strings.Cut(after, "\n")
			return rest
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("the log never said %q:\n%s", words, b)
	return ""
}

// The command runs beside each server, and has nothing of Vault's client.
func TestNoClientOfVaults(t *testing.T) {
	t.Parallel()
	output := testdb.Must(exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output())(t)
	for name := range strings.FieldsSeq(string(output)) {
		if strings.Contains(name, "hashicorp/vault") || strings.HasSuffix(name, "/internal/pki") {
			t.Errorf("brownie-crl links %s", name)
		}
	}
}
