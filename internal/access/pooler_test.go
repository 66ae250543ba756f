package access_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// pooled is a database behind PgBouncer, with the pooler's role as brownie_role makes it.
type pooled struct {
	database string
	store    *access.Store
	pooler   *devstack.Pooler
}

// The role of that name belongs to the cluster, so that one test has all that goes through the pooler.
func newPooled(t *testing.T) pooled {
	t.Helper()
	database := testdb.Migrated(t, testdb.Certificates)
	// Its clients do not try again what cannot be serialized.
	testdb.Exec(t, database, `ALTER DATABASE `+database+` SET default_transaction_isolation = 'read committed'`)
	p := pooled{database, access.New(testdb.DB(t, database)), testdb.Pooler(t, database)}
	testdb.Must(p.store.UpdateRole(t.Context(), access.Role{Name: "pgbouncer"},
		access.Role{Name: "pgbouncer", Access: "pooler", ConnectionLimit: -1}))(t)
	return p
}

// at is how a role reaches the database, directly or through the pooler.
func (p pooled) at(t *testing.T, role string, throughPooler bool) postgres.Config {
	t.Helper()
	config := testdb.ConfigAs(t, p.database, role)
	if throughPooler {
		config.Host, config.Port = p.pooler.Host(), p.pooler.Port()
	}
	return config
}

func TestThroughThePooler(t *testing.T) {
	t.Parallel()
	p := newPooled(t)
	t.Run("interleaved tenants", p.testInterleavedTenants)
	t.Run("refused logins", p.testRefusedLogins)
	t.Run("a new role at once", p.testNewRole)
	t.Run("expired roles", p.testExpiredRole)
	t.Run("a locked role", p.testLockedRole)
	t.Run("the provider itself", p.testProviderIsRefused)
}

// The provider's own sessions are what poolers share or change, in each mode, and also when the pooler drops what it does not know.
func (p pooled) testProviderIsRefused(t *testing.T) {
	role := testdb.Must(p.store.CreateRole(t.Context(), access.Role{
		Name: "through_the_pooler", Access: "admin", Pooled: true, ConnectionLimit: -1,
	}))(t)
	dropped := "ignore_startup_parameters=search_path, brownie.direct"
	for name, settings := range map[string][]string{
		"transaction": nil, "session": {"pool_mode=session"},
		"transaction, dropping": {dropped}, "session, dropping": {"pool_mode=session", dropped},
	} {
		t.Run(name, func(t *testing.T) {
			pooler := testdb.Must(testdb.Server(t, p.database).StartPooler(t.Context(), devstack.Options{Settings: settings}))(t)
			config := p.at(t, role.Name, false)
			config.Host, config.Port = pooler.Host(), pooler.Port()
			if login, err := access.ProveLogin(t.Context(), config); err != nil || !login.LoggedIn {
				t.Fatalf("the way there is broken: %+v, %v", login, err)
			}
			db := postgres.New(config)
			defer db.Close()
			_, err := postgres.Query[struct{}](t.Context(), db, `SELECT`)
			for _, want := range []string{"a pooler such as PgBouncer answers there", "set its arguments host and port"} {
				if !strings.Contains(fmt.Sprint(err), want) {
					t.Errorf("%v does not contain %q", err, want)
				}
			}
		})
	}
}

// 50 clients of 10 tenants through the pooler, and one of each directly, send statements for 30 seconds, each of which
// is checked.
func (p pooled) testInterleavedTenants(t *testing.T) {
	const tenants, clientsOfEach = 10, 5
	duration := 30 * time.Second
	if testing.Short() {
		duration = 2 * time.Second
	}
	type client struct {
		role, organization string
		pooled             bool
	}
	var clients []client
	var organizations []string
	for n := range tenants {
		organization := newOrganization(t, p.database, fmt.Sprintf("tenant-%d", n))
		testdb.Exec(t, p.database, `INSERT INTO incidents (organization_id, team_id, title)
			SELECT organization_id, id, 'old ' || n FROM teams, generate_series(1, 20) AS n WHERE organization_id = $1`, organization)
		role := testdb.Must(p.store.CreateRole(t.Context(), newRole(t, p.database, fmt.Sprintf("tenant-%d", n), "writer",
			&organization)))(t)
		for range clientsOfEach {
			clients = append(clients, client{role.Name, organization, true})
		}
		clients = append(clients, client{role.Name, organization, false})
		organizations = append(organizations, organization)
	}
	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	var statements, busy atomic.Int64
	var group sync.WaitGroup
	for number, c := range clients {
		config := p.at(t, c.role, c.pooled)
		foreign := organizations[(number/(clientsOfEach+1)+1)%tenants]
		group.Go(func() {
			conn, err := connect(context.WithoutCancel(ctx), config)
			if err != nil {
				t.Errorf("%s: %s", c.role, err)
				return
			}
			defer func() { _ = conn.Close(context.Background()) }()
			session := tenantSession{conn: conn, role: c.role, own: c.organization, foreign: foreign}
			sent := int64(0)
			for ctx.Err() == nil && !t.Failed() {
				if err := session.step(); err != nil {
					t.Errorf("%s (through the pooler: %t): %s", c.role, c.pooled, err)
					return
				}
				sent++
			}
			statements.Add(sent)
			if sent > 0 {
				busy.Add(1)
			}
		})
	}
	group.Wait()
	t.Logf("%d statements by %d clients of %d tenants in %s", statements.Load(), len(clients), tenants, duration)
	if int(busy.Load()) != len(clients) {
		t.Errorf("only %d of %d clients sent statements", busy.Load(), len(clients))
	}
	if mixed := testdb.Value[int](t, p.database, `SELECT count(*) FROM incidents WHERE title LIKE 'by %' AND title <> 'by ' || `+
		`organization_id`); mixed != 0 {
		t.Errorf("%d rows were written into another tenant", mixed)
	}
}

func connect(ctx context.Context, c postgres.Config) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d dbname=%s user=%s sslmode=verify-full sslrootcert=%s sslcert=%s sslkey=%s "+
		"client_encoding=UTF8", c.Host, c.Port, c.Database, c.Username, c.SSLRootCert, c.SSLCert, c.SSLKey))
	if err != nil {
		return nil, err
	}
	// PgBouncer 1.18 keeps no prepared statements between transactions.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	return pgx.ConnectConfig(ctx, config)
}

// tenantSession sends statements of one tenant and checks each answer.
type tenantSession struct {
	conn               *pgx.Conn
	role, own, foreign string
}

func (s tenantSession) step() error {
	ctx := context.Background()
	switch rand.IntN(8) {
	case 0:
		return s.want(ctx, s.role+" "+s.own, `SELECT session_user || ' ' || organization_id FROM brownie.current_binding`)
	case 1:
		return s.want(ctx, s.own, `SELECT string_agg(DISTINCT organization_id::text, ',') FROM incidents`)
	case 2:
		return s.want(ctx, s.own, `SELECT string_agg(id::text, ',') FROM organizations`)
	case 3:
		return s.want(ctx, s.own, `INSERT INTO incidents (organization_id, team_id, title)
			SELECT organization_id, id, 'by ' || organization_id FROM teams RETURNING organization_id::text`)
	case 4:
		return s.want(ctx, s.own, `WITH u AS (UPDATE incidents SET description = 'x' WHERE id IN (SELECT id FROM incidents LIMIT 3 FOR
			UPDATE SKIP LOCKED)
			RETURNING organization_id) SELECT coalesce(string_agg(DISTINCT organization_id::text, ','), $1) FROM u`, s.own)
	case 5:
		return s.want(ctx, "0", `WITH d AS (DELETE FROM incidents WHERE organization_id = $1 RETURNING 1) SELECT count(*)::text FROM d`,
			s.foreign)
	case 6:
		// The setting of one client must not become that of another.
		return s.want(ctx, s.own, `SELECT organization_id::text FROM (SELECT set_config('app.organization_id', $1, false)) AS spoof, `+
			`organizations AS o (organization_id)`, s.foreign)
	default:
		_, err := s.conn.Exec(ctx, `INSERT INTO incidents (organization_id, team_id, title) SELECT $1, id, 'theft' FROM teams`, s.foreign)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "42501" {
			return fmt.Errorf("inserting into another tenant: %w", err)
		}
		return nil
	}
}

func (s tenantSession) want(ctx context.Context, want, sql string, args ...any) error {
	var got string
	if err := s.conn.QueryRow(ctx, sql, args...).Scan(&got); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	if got != want {
		return fmt.Errorf("%s: got %s, want %s", sql, got, want)
	}
	return nil
}

// Whatever does not prove the role with a certificate is refused, directly and pooled.
func (p pooled) testRefusedLogins(t *testing.T) {
	acme := newOrganization(t, p.database, "refused")
	role := testdb.Must(p.store.CreateRole(t.Context(), newRole(t, p.database, "refused", "writer", &acme)))(t).Name
	direct := newRole(t, p.database, "direct-only", "writer", &acme)
	direct.Pooled = false
	testdb.Must(p.store.CreateRole(t.Context(), direct))(t)
	// Even a role that has a password cannot use it.
	testdb.Exec(t, p.database, `ALTER ROLE `+pgx.Identifier{role}.Sanitize()+` PASSWORD 'secret'`)

	issue := func(r devstack.CertificateRequest) func(*postgres.Config) {
		certificate, err := testdb.Server(t, p.database).IssueCertificate(r)
		if err != nil {
			t.Fatal(err)
		}
		return func(c *postgres.Config) { c.SSLCert, c.SSLKey = certificate.CertFile, certificate.KeyFile }
	}
	for _, attempt := range []struct {
		name   string
		change func(*postgres.Config)
	}{
		{"password", func(c *postgres.Config) { c.Password, c.SSLCert, c.SSLKey = "secret", "", "" }},
		{"no TLS", func(c *postgres.Config) { c.SSLMode, c.Password, c.SSLCert, c.SSLKey = "disable", "secret", "", "" }},
		{"no certificate", func(c *postgres.Config) { c.SSLCert, c.SSLKey = "", "" }},
		{
			"expired",
			issue(devstack.CertificateRequest{
				CommonName: role, NotBefore: time.Now().Add(-2 * time.Hour),
				NotAfter: time.Now().Add(-time.Hour),
			}),
		},
		{
			"not valid yet",
			issue(devstack.CertificateRequest{
				CommonName: role, NotBefore: time.Now().Add(time.Hour),
				NotAfter: time.Now().Add(2 * time.Hour),
			}),
		},
		{"another CA", issue(devstack.CertificateRequest{CommonName: role, ForeignCA: true})},
		{"for servers only", issue(devstack.CertificateRequest{CommonName: role, ServerUsage: true})},
		{"another role's", issue(devstack.CertificateRequest{CommonName: direct.Name})},
		{"single quote", issue(devstack.CertificateRequest{CommonName: role + "'"})},
		{"double quotes", issue(devstack.CertificateRequest{CommonName: `"` + role + `"`})},
		{"space", issue(devstack.CertificateRequest{CommonName: role + " "})},
		{"space in front", issue(devstack.CertificateRequest{CommonName: " " + role})},
		{"comma", issue(devstack.CertificateRequest{CommonName: role + ",CN=x"})},
		{"64 characters", issue(devstack.CertificateRequest{CommonName: role + strings.Repeat("x", 64-len(role))})},
		{
			"Unicode",
			issue(devstack.CertificateRequest{CommonName: strings.Replace(role, "e", "е", 1)}),
		}, // a Cyrillic letter that looks the same
		{"newline", issue(devstack.CertificateRequest{CommonName: role + "\nx"})},
		{"group", issue(devstack.CertificateRequest{CommonName: "+brownie_pooled"})},
		{"all", issue(devstack.CertificateRequest{CommonName: "all"})},
		{"empty", issue(devstack.CertificateRequest{})},
	} {
		for _, throughPooler := range []bool{false, true} {
			config := p.at(t, role, throughPooler)
			attempt.change(&config)
			login, err := access.ProveLogin(t.Context(), config)
			if err != nil {
				t.Errorf("%s (through the pooler: %t): %s", attempt.name, throughPooler, err)
			} else if login.LoggedIn || login.Problem == "" {
				t.Errorf("%s (through the pooler: %t): logged in as %s", attempt.name, throughPooler, login.SessionUser)
			}
		}
	}
	p.wantLogin(t, direct.Name, false, true)
	p.wantLogin(t, direct.Name, true, false)
	p.testCapitals(t, role)
	p.testPoolersOwnCertificate(t, role, direct.Name)
}

// PgBouncer compares a common name with the role's as it would a host's, without regard to case. So no two roles may
// differ by case alone.
func (p pooled) testCapitals(t *testing.T, role string) {
	t.Helper()
	certificate, err := testdb.Server(t, p.database).IssueCertificate(devstack.CertificateRequest{CommonName: strings.ToUpper(role)})
	if err != nil {
		t.Fatal(err)
	}
	config := p.at(t, role, false)
	config.SSLCert, config.SSLKey = certificate.CertFile, certificate.KeyFile
	if login, err := access.ProveLogin(t.Context(), config); err != nil || login.LoggedIn {
		t.Errorf("PostgreSQL compares without regard to case: %+v, %v", login, err)
	}
	var duplicate *access.DuplicateError
	other := access.Role{Name: strings.ToUpper(role), Access: "reader", ConnectionLimit: -1}
	if _, err := p.store.CreateRole(t.Context(), other); !errors.As(err, &duplicate) || !strings.Contains(err.Error(), role) {
		t.Errorf("creating %s beside %s: %v", other.Name, role, err)
	}
}

// Who has the pooler's key can be any pooled role, but nobody else.
func (p pooled) testPoolersOwnCertificate(t *testing.T, pooledRole, direct string) {
	t.Helper()
	for role, want := range map[string]bool{pooledRole: true, "pgbouncer": true, direct: false, "postgres": false} {
		config := p.at(t, "pgbouncer", false)
		config.Username = role
		login, err := access.ProveLogin(t.Context(), config)
		if err != nil || login.LoggedIn != want {
			t.Errorf("the pooler's certificate as %s: %+v, %v", role, login, err)
		}
	}
}

func (p pooled) wantLogin(t *testing.T, role string, throughPooler, want bool) access.Login {
	t.Helper()
	login, err := access.ProveLogin(t.Context(), p.at(t, role, throughPooler))
	if err != nil || login.LoggedIn != want || want && login.SessionUser != role {
		t.Errorf("%s (through the pooler: %t): %+v, %v", role, throughPooler, login, err)
	}
	return login
}

// Nothing has to be reloaded for a role that was just made, renamed or dropped.
func (p pooled) testNewRole(t *testing.T) {
	acme := newOrganization(t, p.database, "new-role")
	role := newRole(t, p.database, "new-role", "reader", &acme)
	p.wantLogin(t, role.Name, true, false)
	testdb.Must(p.store.CreateRole(t.Context(), role))(t)
	login := p.wantLogin(t, role.Name, true, true)
	if login.OrganizationID == nil || *login.OrganizationID != acme || login.AllTenants || *login.Access != "reader" ||
		login.TLSVersion != "TLS 1.3" {
		t.Errorf("got %+v", login)
	}
	if err := p.store.DropRole(t.Context(), role, ""); err != nil {
		t.Fatal(err)
	}
	p.wantLogin(t, role.Name, true, false)
}

func (p pooled) testExpiredRole(t *testing.T) {
	acme := newOrganization(t, p.database, "expiring")
	role := newRole(t, p.database, "expiring", "reader", &acme)
	testdb.Must(p.store.CreateRole(t.Context(), role))(t)
	past := time.Now().Add(-time.Second)
	expired := role
	expired.ValidUntil = &past
	testdb.Must(p.store.UpdateRole(t.Context(), role, expired))(t)
	p.wantLogin(t, role.Name, true, false)
	if login := p.wantLogin(t, role.Name, false, true); login.OrganizationID != nil {
		t.Errorf("an expired role still sees organization %s", *login.OrganizationID)
	}
	testdb.Exec(t, p.database, `ALTER ROLE `+pgx.Identifier{role.Name}.Sanitize()+` VALID UNTIL 'infinity' NOLOGIN; UPDATE `+
		`brownie.role_bindings SET valid_until = NULL`)
	p.wantLogin(t, role.Name, true, false)
	p.wantLogin(t, role.Name, false, false)
}
