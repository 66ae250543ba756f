package postgres_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

type one struct{ Value string }

func value(t *testing.T, config postgres.Config, query string) (string, error) {
	t.Helper()
	db := postgres.New(config)
	defer db.Close()
	row, err := postgres.QueryOne[one](t.Context(), db, query)
	return row.Value, err
}

func TestCertificatesAsPathOrPEM(t *testing.T) {
	t.Parallel()
	paths := testdb.Config(t, testdb.Empty(t, testdb.Certificates))
	pem := paths
	for _, field := range []*string{&pem.SSLRootCert, &pem.SSLCert, &pem.SSLKey} {
		content, err := os.ReadFile(*field)
		if err != nil {
			t.Fatal(err)
		}
		*field = string(content)
	}
	for name, config := range map[string]postgres.Config{"path": paths, "PEM": pem} {
		for _, mode := range []string{"verify-full", "verify-ca", "require", "prefer", "allow"} {
			config.SSLMode = mode
			got, err := value(t, config, `SELECT version AS value FROM pg_stat_ssl WHERE pid = pg_backend_pid()`)
			if err != nil || !strings.HasPrefix(got, "TLS") {
				t.Errorf("%s with sslmode %s: got %q, %v", name, mode, got, err)
			}
		}
	}
}

// PostgreSQL 17 and newer speak TLS from the first byte; older ones do not know it.
func TestDirectTLS(t *testing.T) {
	t.Parallel()
	config := testdb.Config(t, testdb.Empty(t, testdb.Certificates))
	version, err := value(t, config, `SELECT current_setting('server_version_num') AS value`)
	if err != nil {
		t.Fatal(err)
	}
	config.SSLNegotiation = "direct"
	if _, err := value(t, config, `SELECT '' AS value`); (err == nil) != (version >= "170000") {
		t.Errorf("version %s: %v", version, err)
	}
}

func TestConnectionErrors(t *testing.T) {
	t.Parallel()
	closed := freePort(t)
	database := testdb.Empty(t, testdb.Certificates)
	other := testdb.ConfigAs(t, database, "somebody-else")
	for name, test := range map[string]struct {
		change func(*postgres.Config)
		want   []string
	}{
		"no host":        {func(c *postgres.Config) { c.Host = "" }, []string{`"host"`, "PGHOST"}},
		"unknown host":   {func(c *postgres.Config) { c.Unknown = []string{"host"} }, []string{`"host" is not known yet`, "-target"}},
		"refused":        {func(c *postgres.Config) { c.Port = closed }, []string{"connection refused", "Check that the server runs"}},
		"unresolvable":   {func(c *postgres.Config) { c.Host = "nowhere.invalid" }, []string{"nowhere.invalid", "does not resolve"}},
		"no database":    {func(c *postgres.Config) { c.Database = "missing" }, []string{`"missing"`, "Create the database"}},
		"other role":     {func(c *postgres.Config) { c.Username = "nobody-known" }, []string{`role "nobody-known"`, "common name"}},
		"no certificate": {func(c *postgres.Config) { c.SSLCert, c.SSLKey = "", "" }, []string{"certificate", "Set sslcert and sslkey"}},
		"unknown CA":     {func(c *postgres.Config) { c.SSLRootCert = "system" }, []string{"unknown authority", "sslrootcert"}},
		"untrusted issuer": {func(c *postgres.Config) {
			c.SSLCert, c.SSLKey, c.ClientCertificate = "", "", selfSigned(t)
		}, []string{"certificate", "ssl_ca_file"}},
		"missing file": {func(c *postgres.Config) { c.SSLCert = "/missing.pem" }, []string{`"sslcert"`, "no such file"}},
		"mixed pair":   {func(c *postgres.Config) { c.SSLKey = other.SSLKey }, []string{`"sslcert"`, "usable pair"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := testdb.Config(t, database)
			test.change(&config)
			_, err := value(t, config, `SELECT 'x' AS value`)
			if err == nil {
				t.Fatal("there was no error")
			}
			for _, want := range append(test.want, "") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not contain %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "SQLSTATE") || strings.Contains(err.Error(), "PRIVATE KEY") {
				t.Errorf("the message is not for people: %s", err)
			}
		})
	}
}

// selfSigned gives a client certificate whose issuer no server knows.
func selfSigned(t *testing.T) func(context.Context) (*tls.Certificate, error) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "postgres"}, NotAfter: time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return func(context.Context) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: key}, nil
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}

func TestEnvironmentAndDefaults(t *testing.T) {
	t.Parallel()
	environment := map[string]string{
		"PGHOST": "db-0", "PGPORT": "6432", "PGDATABASE": "d", "PGUSER": "u", "PGPASSWORD": "p",
		"PGSSLMODE": "require", "PGSSLROOTCERT": "ca", "PGSSLCERT": "crt", "PGSSLKEY": "key",
	}
	getenv := func(name string) string { return environment[name] }
	got, err := postgres.Config{}.WithEnvironment(getenv)
	want := postgres.Config{
		Host: "db-0", Port: 6432, Database: "d", Username: "u", Password: "p", SSLMode: "require",
		SSLRootCert: "ca", SSLCert: "crt", SSLKey: "key",
	}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, _ := (postgres.Config{Host: "mine", Port: 1}).WithEnvironment(getenv); got.Host != "mine" || got.Port != 1 {
		t.Errorf("the environment replaced what was given: %+v", got)
	}
	if got, _ := (postgres.Config{Unknown: []string{"host"}}).WithEnvironment(getenv); got.Host != "" {
		t.Error("the environment replaced an unknown host")
	}
	for host, mode := range map[string]string{"db": "verify-full", "/run/postgresql": "disable", "/run/postgresql,db": "verify-full"} {
		if got := (postgres.Config{Host: host}).WithDefaults(); got.SSLMode != mode || got.Port != 5432 || got.MaxConnections != 4 {
			t.Errorf("host %s: got %+v", host, got)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for attribute, change := range map[string]func(*postgres.Config){
		"host":            func(c *postgres.Config) { c.Host = "db,postgres://u:secret@db" },
		"port":            func(c *postgres.Config) { c.Port = 70000 },
		"sslmode":         func(c *postgres.Config) { c.SSLMode = "on" },
		"connect_timeout": func(c *postgres.Config) { c.ConnectTimeout = -time.Second },
		"max_connections": func(c *postgres.Config) { c.MaxConnections = -1 },
		"sslkey":          func(c *postgres.Config) { c.SSLCert = "x" },
		"sslcert":         func(c *postgres.Config) { c.SSLKey = "x" },
	} {
		config := postgres.Config{Host: "db"}.WithDefaults()
		change(&config)
		var wrong *postgres.ConfigError
		if err := config.Validate(); !errors.As(err, &wrong) || wrong.Attribute != attribute {
			t.Errorf("%s: got %v", attribute, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the message repeats what may be a password: %s", err)
		}
	}
	for _, host := range []string{"db", "db.example,db-1.example", "10.0.0.1", "::1", "/run/postgresql"} {
		if err := (postgres.Config{Host: host}).WithDefaults().Validate(); err != nil {
			t.Errorf("host %s: %v", host, err)
		}
	}
}

// Two real servers behind one port on two addresses; the first is read-only, as a standby is.
func TestOfSeveralHostsTheWritableOneIsUsed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	start := func() *devstack.Postgres {
		server, err := devstack.StartPostgres(ctx, devstack.Options{HBA: []string{"hostssl all pwuser 127.0.0.1/32 scram-sha-256"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Stop(context.Background()) })
		conn, err := pgx.Connect(ctx, server.URL("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(ctx) }()
		if _, err := conn.Exec(ctx, `CREATE ROLE pwuser LOGIN PASSWORD 'secret'`); err != nil {
			t.Fatal(err)
		}
		return server
	}
	standby, primary := start(), start()
	conn, err := pgx.Connect(ctx, standby.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, `ALTER DATABASE postgres SET default_transaction_read_only = on`); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(ctx)
	relay(t, fmt.Sprintf("127.0.0.2:%d", primary.Port()), fmt.Sprintf("127.0.0.1:%d", standby.Port()))

	config := postgres.Config{
		Host: "127.0.0.2,127.0.0.1", Port: primary.Port(), Database: "postgres", Username: "pwuser", Password: "secret", SSLMode: "require",
	}.WithDefaults()
	got, err := value(t, config, `SELECT inet_server_port()::text AS value`)
	if err != nil || got != fmt.Sprint(primary.Port()) {
		t.Errorf("got port %s, %v; want the writable server's, %d", got, err, primary.Port())
	}

	withFile := config
	withFile.Password, withFile.PassFile = "", passwordFile(t, "*:*:postgres:pwuser:secret")
	if got, err = value(t, withFile, `SELECT inet_server_port()::text AS value`); err != nil || got != fmt.Sprint(primary.Port()) {
		t.Errorf("with a password file: got %s, %v", got, err)
	}
	// Each host has a line of its own, as for libpq.
	if conn, err = pgx.Connect(ctx, primary.URL("postgres")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, `ALTER ROLE pwuser PASSWORD 'other'`); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(ctx)
	withFile.PassFile = passwordFile(t, "127.0.0.2:*:postgres:pwuser:secret\nlocalhost:*:postgres:pwuser:other")
	withFile.Host = "127.0.0.2,localhost"
	if got, err = value(t, withFile, `SELECT inet_server_port()::text AS value`); err != nil || got != fmt.Sprint(primary.Port()) {
		t.Errorf("with a password for each host: got %s, %v", got, err)
	}
	// What proves the login by a certificate must not succeed by a password.
	if _, _, err := postgres.Login[one](ctx, withFile, `SELECT 'x' AS value`); !postgres.Unreachable(err) {
		t.Errorf("the proof of a login read the password file: %v", err)
	}

	config.Host = "127.0.0.2"
	_, err = value(t, config, `SELECT 'x' AS value`)
	if err == nil || !strings.Contains(err.Error(), "does not accept writes") {
		t.Errorf("only a standby: got %v", err)
	}
	config.Password = "wrong-and-secret"
	if _, err = value(t, config, `SELECT 'x' AS value`); err == nil || strings.Contains(err.Error(), "wrong-and-secret") {
		t.Errorf("wrong password: got %v", err)
	}
}

func passwordFile(t *testing.T, line string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pgpass")
	if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// relay passes connections on to another address.
func relay(t *testing.T, from, to string) {
	t.Helper()
	listener, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
			go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
		}
	}()
}

func TestConnectionsStayWithinTheBound(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	config := testdb.Config(t, database)
	config.MaxConnections, config.ApplicationName = 3, "bounded/1.2.3"
	db := postgres.New(config)
	defer db.Close()
	if open := testdb.Value[int](t, database, `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bounded/1.2.3'`); open != 0 {
		t.Errorf("%d connections before the first use", open)
	}
	var group sync.WaitGroup
	for range 30 {
		group.Go(func() {
			if _, err := postgres.Query[one](t.Context(), db, `SELECT pg_sleep(0.02)::text AS value`); err != nil {
				t.Error(err)
			}
		})
	}
	open := 0
	for range 10 {
		open = max(open, testdb.Value[int](t, database, `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bounded/1.2.3'`))
	}
	group.Wait()
	if open < 1 || open > 3 {
		t.Errorf("saw %d connections, want 1 to 3", open)
	}
}

func TestDeadlocksAreTriedAgain(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	testdb.Exec(t, database, `CREATE TABLE pair (id int PRIMARY KEY, n int NOT NULL)`)
	testdb.Exec(t, database, `INSERT INTO pair VALUES (1, 0), (2, 0)`)
	db := testdb.DB(t, database)
	add := func(id int) postgres.Statement {
		return postgres.Statement{
			SQL:  `UPDATE public.pair SET n = n + 1 WHERE id = $1 RETURNING pg_sleep(0.01)::text AS value`,
			Args: []any{id},
		}
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() { // half of them lock the rows in the other order
			if _, err := postgres.Change[one](t.Context(), db, add(1+i%2), add(2-i%2)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if sum := testdb.Value[int](t, database, `SELECT sum(n)::int FROM pair`); sum != 16 {
		t.Errorf("the sum is %d, want 16: a change was lost or made twice", sum)
	}
}

func TestAChangeIsAllOrNothing(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	testdb.Exec(t, database, `CREATE TABLE numbers (n int PRIMARY KEY)`)
	db := testdb.DB(t, database)
	insert := postgres.Statement{SQL: `INSERT INTO public.numbers VALUES (1) RETURNING n::text AS value`}
	_, err := postgres.Change[one](t.Context(), db, insert, insert)
	if constraint, code := postgres.Constraint(err); constraint != "numbers_pkey" || code != postgres.CodeUniqueViolation {
		t.Errorf("got %v", err)
	}
	if n := testdb.Value[int](t, database, `SELECT count(*) FROM numbers`); n != 0 {
		t.Errorf("%d rows stayed", n)
	}
}

func TestLoaderMergesReads(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var calls [][]string
	started, release := make(chan struct{}, 12), make(chan struct{})
	loader := postgres.Loader[string]{Load: func(_ context.Context, ids []string) (map[string]string, error) {
		mu.Lock()
		calls = append(calls, ids)
		mu.Unlock()
		started <- struct{}{}
		<-release
		rows := map[string]string{}
		for _, id := range ids {
			if id != "missing" {
				rows[id] = "row " + id
			}
		}
		return rows, nil
	}}
	var group sync.WaitGroup
	get := func(id string) {
		group.Go(func() {
			row, err := loader.Get(t.Context(), id)
			if id == "missing" {
				if !errors.Is(err, postgres.ErrNotFound) {
					t.Errorf("missing: got %v", err)
				}
			} else if err != nil || row != "row "+id {
				t.Errorf("%s: got %q, %v", id, row, err)
			}
		})
	}
	// The second starts because the first takes long.
	for i := range 2 {
		get(fmt.Sprint(i))
		<-started
	}
	for i := range 8 {
		get(fmt.Sprint(i + 2))
	}
	get("missing")
	// A caller that gives up does not take the others' answer away.
	impatient, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := loader.Get(impatient, "11"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	close(release)
	group.Wait()
	if len(calls) != 3 || len(calls[2]) != 10 {
		t.Errorf("12 reads made the statements %v, want one for each of the first two and one for all others", calls)
	}
}

// A change goes on while anybody wants it, and who asked for it waits for what becomes of it.
func TestMergerEndsWhenNobodyWaits(t *testing.T) {
	t.Parallel()
	started, ended := make(chan struct{}), make(chan struct{})
	merger := postgres.Merger[int]{Run: func(ctx context.Context, items []int) bool {
		if len(items) == 2 {
			close(started)
			<-ctx.Done()
			close(ended)
		}
		return false
	}}
	var group sync.WaitGroup
	var cancels [2]context.CancelFunc
	for merged := false; !merged; {
		group.Wait()
		for i := range cancels {
			ctx, cancel := context.WithCancel(t.Context())
			cancels[i] = cancel
			group.Go(func() { merger.Do(ctx, i) })
		}
		select {
		case <-started:
			merged = true
		case <-time.After(50 * time.Millisecond): // The second came too late to be served with the first.
		}
	}
	cancels[0]()
	select {
	case <-ended:
		t.Error("the change ended although somebody wants it")
	case <-time.After(50 * time.Millisecond):
	}
	cancels[1]()
	group.Wait()
	select {
	case <-ended:
	default:
		t.Error("a caller was told before the change ended")
	}
}

// A run waits for more only while there may be more: not once all ten that Terraform works on wait, whatever they ask for.
func TestMergerWaitsForNobodyElse(t *testing.T) {
	t.Parallel()
	for callers, want := range map[int]time.Duration{9: 10 * time.Millisecond, 10: 0} {
		synctest.Test(t, func(t *testing.T) {
			inFlight := postgres.New(postgres.Config{}).InFlight()
			run := func(context.Context, []int) bool { return false }
			one, two := postgres.Merger[int]{Run: run, InFlight: inFlight}, postgres.Merger[int]{Run: run, InFlight: inFlight}
			began := time.Now()
			var group sync.WaitGroup
			for i := range callers {
				group.Go(func() {
					if i%2 == 0 {
						one.Do(t.Context(), i)
					} else {
						two.Do(t.Context(), i)
					}
				})
			}
			group.Wait()
			if took := time.Since(began); took != want {
				t.Errorf("%d callers waited %s, want %s", callers, took, want)
			}
			time.Sleep(time.Second) // Whoever still waits for more gives up.
		})
	}
}

// Where several are refused, each is served alone, and none waits for the slowest. A near server is asked by one run at a time.
func TestMergerServesEachAlone(t *testing.T) {
	t.Parallel()
	release, together := make(chan struct{}), make(chan int, 100)
	merger := postgres.Merger[int]{Distant: func() bool { return false }, Run: func(_ context.Context, items []int) bool {
		if len(items) > 1 {
			together <- len(items)
			return true
		}
		if items[0] == 0 {
			<-release
		}
		return false
	}}
	slowest := make(chan struct{})
	go func() { merger.Do(t.Context(), 0); close(slowest) }()
	var group sync.WaitGroup
	for i := range 9 {
		group.Go(func() { merger.Do(t.Context(), i+1) })
	}
	group.Wait() // although the first is not served yet
	select {
	case <-slowest:
		t.Error("the first was served")
	default:
	}
	close(release)
	<-slowest
}

func TestParametersHaveNames(t *testing.T) {
	t.Parallel()
	db := testdb.DB(t, testdb.Empty(t))
	type row struct {
		Text  string   `db:"text"`
		Twice string   `db:"twice"`
		Names []string `db:"names"`
	}
	const query = `SELECT @text::text AS text, @text || @text AS twice, @names::text[] AS names`
	rows, err := postgres.Query[row](t.Context(), db, query, pgx.StrictNamedArgs{"text": "a@b $1", "names": []string{"x", "y"}})
	if err != nil || len(rows) != 1 || rows[0].Twice != "a@b $1a@b $1" || !slices.Equal(rows[0].Names, []string{"x", "y"}) {
		t.Errorf("%+v, %v", rows, err)
	}
	for wrong, args := range map[string]pgx.StrictNamedArgs{
		"names": {"text": "a"}, "more": {"text": "a", "names": []string{}, "more": 1},
	} {
		if _, err := postgres.Query[row](t.Context(), db, query, args); !strings.Contains(fmt.Sprint(err), "argument "+wrong) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// Whatever is set for the database, statements mean the same, and see what was committed while they waited; also after RESET ALL.
func TestSessionsMeanTheSameInEveryDatabase(t *testing.T) {
	t.Parallel()
	db := testdb.DB(t, testdb.Migrated(t, testdb.Odd))
	for _, db := range []*postgres.DB{db, db.AsOwner(), db} {
		got, err := postgres.QueryOne[struct{ Settings string }](t.Context(), db, `SELECT concat_ws(' ', current_setting('intervalstyle'),
			current_setting('quote_all_identifiers'), current_setting('standard_conforming_strings'), current_setting('array_nulls'),
			current_setting('transform_null_equals'), current_setting('transaction_isolation'), date '2026-02-01', '\') AS settings`)
		if want := `postgres off on on off read committed 2026-02-01 \`; err != nil || got.Settings != want {
			t.Errorf("got %q, %v", got.Settings, err)
		}
	}
}
