package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/zclconf/go-cty/cty"
)

// Pooler is a running PgBouncer in front of a server.
type Pooler struct {
	server  *Postgres
	process *process
}

// ErrNoPooler says that there is no PgBouncer on this machine, and how to get one.
var ErrNoPooler = errors.New("no PgBouncer can be had: install it, for example with apt-get install pgbouncer or brew install pgbouncer")

// poolerProgram finds PgBouncer.
func poolerProgram() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} { // where packages put it, and not on everybody's PATH
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNoPooler
}

// StartPooler starts the machine's PgBouncer in front of a server that devstack started. It serves every database, and asks
// the server who may log in as the role "pgbouncer", which the caller makes. [Postgres.Stop] ends it, too. Of the options
// Log, PoolSize and Settings matter.
func (p *Postgres) StartPooler(ctx context.Context, o Options) (*Pooler, error) {
	if p.ca == nil {
		return nil, ErrForeignServer
	}
	if _, err := os.Stat(p.CAFile()); err != nil {
		return nil, fmt.Errorf("the server was stopped, and no pooler can be started for it: %w", err)
	}
	program, err := poolerProgram()
	if err != nil {
		return nil, err
	}
	return onFreePort(func(port int) (*Pooler, error) { return p.startPooler(ctx, o, program, port) })
}

func (p *Postgres) startPooler(ctx context.Context, o Options, program string, port int) (*Pooler, error) {
	credential, err := ordinaryUser()
	if err != nil {
		return nil, err
	}
	f, err := newFolder("brownie-pgbouncer-", credential)
	if err != nil {
		return nil, err
	}
	// From here on the watchdog removes the folder, whatever happens.
	watched, err := watch(f, port, command{functions: plainProgram, arguments: []string{program, filepath.Join(f.dir, "pgbouncer.ini")}})
	if err != nil {
		return nil, err
	}
	if err := p.configurePooler(o, f, port); err != nil {
		return nil, errors.Join(err, watched.stop(context.WithoutCancel(ctx)))
	}
	pooler := &Pooler{server: p, process: watched}
	if err := watched.start(ctx, o, "PgBouncer", pooler.answers); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.poolers = append(p.poolers, pooler)
	return pooler, nil
}

// configurePooler writes the pooler's certificates and configuration. It is started in its folder, so that the names of the
// files need no path, which could hold characters that its configuration cannot.
func (p *Postgres) configurePooler(o Options, f folder, port int) error {
	content, err := p.ca.serverFiles()
	if err != nil {
		return err
	}
	if content["client.crt"], content["client.key"], err = p.ca.Issue(CertificateRequest{CommonName: poolerName}.template()); err != nil {
		return err
	}
	configured, err := poolerConfiguration(o, p.port, port)
	if err != nil {
		return err
	}
	for _, name := range []string{"pgbouncer.ini", "userlist.txt"} {
		if content[name], err = configured.render(name); err != nil {
			return err
		}
	}
	content["pgbouncer.ini"] += strings.Join(append(slices.Clone(o.Settings), ""), "\n")
	return f.write("", content)
}

func poolerConfiguration(o Options, server, port int) (configuration, error) {
	variable := map[string]cty.Value{
		"common_name": cty.StringVal(poolerName),
		"fallback": cty.ObjectVal(map[string]cty.Value{
			"host": cty.StringVal("127.0.0.1"), "port": cty.NumberIntVal(int64(server)),
		}),
		"listen_addr":          cty.StringVal("127.0.0.1"),
		"listen_port":          cty.NumberIntVal(int64(port)),
		"admin_users":          stringsValue(administrator),
		"auth_file":            cty.StringVal("userlist.txt"),
		"client_tls_cert_file": cty.StringVal("server.crt"),
		"client_tls_key_file":  cty.StringVal("server.key"),
		"client_tls_ca_file":   cty.StringVal("ca.crt"),
		"server_tls_cert_file": cty.StringVal("client.crt"),
		"server_tls_key_file":  cty.StringVal("client.key"),
		"server_tls_ca_file":   cty.StringVal("ca.crt"),
	}
	if o.PoolSize > 0 {
		variable["default_pool_size"] = cty.NumberIntVal(int64(o.PoolSize))
	}
	return configure(map[string]cty.Value{"pooler": cty.ObjectVal(variable)})
}

// Host is the address of the pooler.
func (b *Pooler) Host() string { return b.server.host }

// Port is the TCP port of the pooler.
func (b *Pooler) Port() int { return b.process.port }

// ConsoleURL is the administrator's libpq URL for the pooler's console, which takes commands such as SHOW POOLS, as
// simple queries only.
func (b *Pooler) ConsoleURL() string {
	there, err := url.Parse(b.server.URL("pgbouncer"))
	if err != nil {
		return "" // cannot be: it was made by net/url
	}
	there.Host = net.JoinHostPort(b.Host(), strconv.Itoa(b.Port()))
	return there.String()
}

// answers tells whether the pooler accepts the administrator.
func (b *Pooler) answers(ctx context.Context) error {
	conn, err := pgconn.Connect(ctx, b.ConsoleURL())
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// Stop ends the pooler and removes everything of it. It may be called again.
func (b *Pooler) Stop(ctx context.Context) error { return b.process.stop(ctx) }
