package devstack_test

import (
	"bufio"
	"context"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

// lookup stands in for what the migrations make for the pooler.
const lookup = `
CREATE ROLE brownie_pooled;
CREATE ROLE brownie_pooler;
CREATE ROLE pgbouncer LOGIN IN ROLE brownie_pooler;
CREATE SCHEMA brownie;
GRANT USAGE ON SCHEMA brownie TO brownie_pooler;
CREATE FUNCTION brownie.pooler_lookup(wanted text) RETURNS TABLE (username name, password text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT rolname, '' FROM pg_catalog.pg_roles
	WHERE rolname = wanted AND pg_catalog.pg_has_role(oid, 'brownie_pooled', 'MEMBER')
		AND (rolvaliduntil IS NULL OR rolvaliduntil > pg_catalog.now())
$$;
REVOKE ALL ON FUNCTION brownie.pooler_lookup FROM PUBLIC;
GRANT EXECUTE ON FUNCTION brownie.pooler_lookup TO brownie_pooler;
`

// startPooler starts a server with a pooler that lets in who is pooled.
func startPooler(t *testing.T, o devstack.Options) (*devstack.Postgres, *devstack.Pooler) {
	t.Helper()
	server := start(t, o)
	execute(t, server.URL("postgres"), lookup)
	pooler, err := server.StartPooler(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return server, pooler
}

// listener is a server or a pooler.
type listener interface {
	Host() string
	Port() int
}

// address is the URL of a role's login. Without a certificate it has a password, which must not help.
func address(server *devstack.Postgres, at listener, role, sslmode string, certificate devstack.Certificate) string {
	query := url.Values{"sslmode": {sslmode}, "connect_timeout": {"10"}}
	if sslmode != "disable" {
		query["sslrootcert"] = []string{server.CAFile()}
	}
	user := url.UserPassword(role, "secret")
	if certificate.CertFile != "" {
		query["sslcert"], query["sslkey"] = []string{certificate.CertFile}, []string{certificate.KeyFile}
		user = url.User(role)
	}
	there := url.URL{
		Scheme: "postgres", User: user, Path: "/postgres", RawQuery: query.Encode(),
		Host: net.JoinHostPort(at.Host(), strconv.Itoa(at.Port())),
	}
	return there.String()
}

// whoami logs in and returns who the server says that is.
func whoami(ctx context.Context, address string) (who string, err error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(context.Background()) }()
	// PgBouncer 1.18 keeps no prepared statements.
	err = conn.QueryRow(ctx, `SELECT session_user::text`, pgx.QueryExecModeExec).Scan(&who)
	return who, err
}

func issue(t *testing.T, server *devstack.Postgres, r devstack.CertificateRequest) devstack.Certificate {
	t.Helper()
	certificate, err := server.IssueCertificate(r)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// mustLogin and mustNotLogin try a certificate.
func mustLogin(t *testing.T, server *devstack.Postgres, at listener, role string, certificate devstack.Certificate) {
	t.Helper()
	if who, err := whoami(t.Context(), address(server, at, role, "verify-full", certificate)); err != nil || who != role {
		t.Errorf("%s: session_user is %q (%v)", role, who, err)
	}
}

func mustNotLogin(t *testing.T, server *devstack.Postgres, at listener, role string, certificate devstack.Certificate) {
	t.Helper()
	who, err := whoami(t.Context(), address(server, at, role, "verify-full", certificate))
	if err == nil || !strings.Contains(err.Error(), "certificate authentication failed") {
		t.Errorf("%s: session_user is %q (%v), want a refusal", role, who, err)
	}
}

func TestPoolerKeepsIdentity(t *testing.T) {
	server, pooler := startPooler(t, devstack.Options{PoolSize: 3})
	execute(t, server.URL("postgres"), `
		CREATE ROLE "acme-app" LOGIN IN ROLE brownie_pooled;
		CREATE ROLE "other-app" LOGIN IN ROLE brownie_pooled;
		CREATE ROLE "direct" LOGIN;
		CREATE ROLE "expired" LOGIN IN ROLE brownie_pooled VALID UNTIL '2020-01-01';
		CREATE ROLE "superuser" LOGIN SUPERUSER;`)
	named := func(name string) devstack.Certificate {
		return issue(t, server, devstack.CertificateRequest{CommonName: name})
	}
	for _, role := range []string{"acme-app", "other-app", "acme-app"} {
		mustLogin(t, server, pooler, role, named(role))
	}
	mustNotLogin(t, server, pooler, "acme-app", named("other-app"))
	mustNotLogin(t, server, pooler, "acme-app", named("pgbouncer"))
	for _, role := range []string{"direct", "expired", "nobody-knows"} {
		mustNotLogin(t, server, pooler, role, named(role))
	}
	// The console knows the administrator. The server does not let the pooler in as a superuser.
	mustNotLogin(t, server, pooler, "postgres", named("postgres"))

	// A role that is created, or loses its pooling, while the pooler runs. PgBouncer 1.23 and newer remember it.
	execute(t, server.URL("postgres"), `CREATE ROLE "later" LOGIN IN ROLE brownie_pooled`)
	mustLogin(t, server, pooler, "later", named("later"))
	execute(t, server.URL("postgres"), `REVOKE brownie_pooled FROM "later"`)
	mustNotLogin(t, server, pooler, "later", named("later"))
	mustNotLogin(t, server, pooler, "(refused)", named("(refused)"))
	execute(t, server.URL("postgres"), `GRANT brownie_pooled TO "later"`)
	mustLogin(t, server, pooler, "later", named("later"))
	execute(t, server.URL("postgres"), `DROP ROLE "later"`)
	mustNotLogin(t, server, pooler, "later", named("later"))

	// The pooler's own certificate, should somebody get hold of it.
	own := named("pgbouncer")
	mustLogin(t, server, server, "acme-app", own)
	mustLogin(t, server, server, "pgbouncer", own)
	for _, role := range []string{"direct", "postgres", "superuser"} {
		mustNotLogin(t, server, server, role, own)
	}

	// The group opens its members, whoever they are: a superuser must not be made a member.
	execute(t, server.URL("postgres"), `GRANT brownie_pooled TO "superuser"`)
	mustLogin(t, server, server, "superuser", own)

	console, err := pgx.Connect(t.Context(), pooler.ConsoleURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = console.Close(context.Background()) }()
	shown, err := console.PgConn().Exec(t.Context(), "SHOW CONFIG").ReadAll()
	if err != nil || !contains(shown[0].Rows, "default_pool_size", "3") {
		t.Errorf("the pool size is another (%v)", err)
	}
}

func contains(rows [][][]byte, name, value string) bool {
	for _, row := range rows {
		if string(row[0]) == name && string(row[1]) == value {
			return true
		}
	}
	return false
}

// Neither the server nor the pooler takes a password, speaks without TLS, or accepts a certificate that is not good.
func TestBadLogins(t *testing.T) {
	server, pooler := startPooler(t, devstack.Options{})
	execute(t, server.URL("postgres"), `CREATE ROLE app LOGIN PASSWORD 'secret' IN ROLE brownie_pooled`)
	good := issue(t, server, devstack.CertificateRequest{CommonName: "app"})
	for name, at := range map[string]listener{"server": server, "pooler": pooler} {
		mustLogin(t, server, at, "app", good)
		for _, sslmode := range []string{"disable", "require", "verify-full"} {
			if _, err := whoami(t.Context(), address(server, at, "app", sslmode, devstack.Certificate{})); err == nil {
				t.Errorf("the %s takes a password with sslmode=%s", name, sslmode)
			}
		}
		for what, bad := range map[string]devstack.CertificateRequest{
			"expired":           {CommonName: "app", NotAfter: time.Now().Add(-time.Minute)},
			"not valid yet":     {CommonName: "app", NotBefore: time.Now().Add(time.Hour)},
			"another authority": {CommonName: "app", ForeignCA: true},
			"for servers":       {CommonName: "app", ServerUsage: true},
			"without a name":    {},
		} {
			if _, err := whoami(t.Context(), address(server, at, "app", "verify-full", issue(t, server, bad))); err == nil {
				t.Errorf("the %s takes a certificate: %s", name, what)
			}
		}
	}
}

// Names that need quotes somewhere reach the server unchanged on both ways.
func TestOddNames(t *testing.T) {
	server, pooler := startPooler(t, devstack.Options{})
	long := strings.Repeat("n", 63)
	for _, name := range []string{
		`with "quotes" and 'quotes'`, "a, b", "CN=x/y\\z", "/^.*$", "+brownie_pooled", "all", "größe 数", "#", " x ", "%{a}", long,
	} {
		execute(t, server.URL("postgres"), `CREATE ROLE `+pgx.Identifier{name}.Sanitize()+` LOGIN IN ROLE brownie_pooled`)
		certificate := issue(t, server, devstack.CertificateRequest{CommonName: name})
		mustLogin(t, server, server, name, certificate)
		mustLogin(t, server, pooler, name, certificate)
	}
	// PostgreSQL shortens the name that it is asked for, and not the certificate's.
	tooLong := issue(t, server, devstack.CertificateRequest{CommonName: long + "n"})
	mustNotLogin(t, server, server, long, tooLong)
	mustNotLogin(t, server, pooler, long, tooLong)
	for _, name := range []string{"same", `same "one"`} {
		one, err := server.ClientCertificate(name)
		if err != nil {
			t.Fatal(err)
		}
		if two, err := server.ClientCertificate(name); err != nil || one != two {
			t.Errorf("%s: another certificate each time (%v)", name, err)
		}
	}
}

// How PgBouncer compares names is its own, and a reason for what the certificate authority must not sign. A newer one
// that compares exactly makes this test fail, and the module's README is to be corrected then.
func TestNamesThatThePoolerConfuses(t *testing.T) {
	server, pooler := startPooler(t, devstack.Options{})
	for _, role := range []string{"acme", "Acme", "a.example.com", "b"} {
		execute(t, server.URL("postgres"), `CREATE ROLE `+pgx.Identifier{role}.Sanitize()+` LOGIN IN ROLE brownie_pooled`)
	}
	for role, request := range map[string]devstack.CertificateRequest{
		"acme":          {CommonName: "Acme"},
		"Acme":          {CommonName: "acme"},
		"a.example.com": {CommonName: "*.example.com"},
		"b":             {CommonName: "acme", DNSNames: []string{"b"}},
	} {
		certificate := issue(t, server, request)
		mustNotLogin(t, server, server, role, certificate)
		mustLogin(t, server, pooler, role, certificate)
	}
	mustNotLogin(t, server, pooler, "a.example.com", issue(t, server, devstack.CertificateRequest{CommonName: "*"}))
}

func TestPoolerStops(t *testing.T) {
	server, pooler := startPooler(t, devstack.Options{})
	second, err := server.StartPooler(t.Context(), devstack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if second.Port() == pooler.Port() {
		t.Errorf("both listen on port %d", second.Port())
	}
	for range 2 {
		if err := second.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	leavesNothing(t, "no such folder", second.Port())
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	leavesNothing(t, filepath.Dir(server.CAFile()), pooler.Port())
	if err := pooler.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	_, err = server.StartPooler(t.Context(), devstack.Options{})
	if err == nil || !strings.Contains(err.Error(), "the server was stopped") {
		t.Errorf("a pooler for a server that was stopped: got %v", err)
	}
}

// A parent that is killed leaves neither pooler nor server, also while the pooler starts.
func TestKilledParentOfPooler(t *testing.T) {
	own(t)
	for _, delay := range []time.Duration{time.Millisecond, 30 * time.Millisecond, time.Second} {
		temporary := temporaryFolder(t)
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "DEVSTACK_TEST_CHILD=pooler", "TMPDIR="+temporary)
		output, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(output).ReadString('\n'); err != nil || line != "server\n" {
			t.Fatalf("the child said %q (%v)", line, err)
		}
		var made []string
		for deadline := time.Now().Add(time.Minute); len(made) == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			// The folder is certain to be removed once its watchdog runs.
			if found, _ := filepath.Glob(filepath.Join(temporary, "brownie-pgbouncer-*")); len(found) > 0 && uses(t, found[0]) {
				made = found
			}
		}
		time.Sleep(delay)
		_ = child.Process.Kill()
		_ = child.Wait()
		if len(made) != 1 {
			t.Fatalf("got folders %v, want one", made)
		}
		leavesNothing(t, made[0], 0)
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if left, _ := os.ReadDir(temporary); len(left) == 0 && !uses(t, temporary) {
				break
			}
		}
		if left, _ := os.ReadDir(temporary); len(left) != 0 || uses(t, temporary) {
			t.Errorf("killed after %s, it left %v", delay, left)
		}
	}
}
