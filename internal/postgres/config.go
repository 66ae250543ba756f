// Package postgres is the provider's way to a PostgreSQL server: a bounded pool that connects on first use, changes
// sent as one transaction in one round trip, reads that are batched, and errors worded for people.
package postgres

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Defaults of the connection arguments that have one.
const (
	DefaultPort           = 5432
	DefaultDatabase       = "brownie_metadata"
	DefaultUsername       = "brownie-terraform"
	DefaultConnectTimeout = 10 * time.Second
	DefaultMaxConnections = 4
)

// Config says how to reach the server. The zero value of a field means "not given": [Config.WithEnvironment] and
// [Config.WithDefaults] fill it.
type Config struct {
	// Host is a host name, an address, the absolute path of a unix socket's folder, or several of them separated by
	// commas; the one that accepts writes is used.
	Host string
	Port int
	// Database and Username are the database's and the login role's name.
	Database, Username string
	// Password is for bootstrapping a server only; everything else logs in with a certificate.
	Password string
	// PassFile is libpq's password file, read when there is no Password; see [Config.passwordsOfFile].
	PassFile string
	// SSLMode is one of libpq's modes, see [SSLModes].
	SSLMode string
	// SSLRootCert, SSLCert and SSLKey each hold either PEM text or the path of a PEM file. SSLRootCert "system" means
	// the operating system's certificate authorities.
	SSLRootCert, SSLCert, SSLKey string
	// SSLNegotiation, ChannelBinding and RequireAuth are libpq's parameters of these names, from the environment only.
	SSLNegotiation, ChannelBinding, RequireAuth string
	// ClientCertificate gives the certificate and key of each new connection, in place of SSLCert and SSLKey.
	ClientCertificate func(context.Context) (*tls.Certificate, error)
	// Way is how the server is reached, when not over the network of this machine. Host then only says whose certificate the server
	// must have.
	Way Way
	// ConnectTimeout bounds the attempt to connect to one host.
	ConnectTimeout time.Duration
	// TargetSessionAttrs says on which servers data is read that nothing depends on being the latest: [ReadWrite], [AnyServer] or
	// [PreferStandby], with libpq's meaning. Changes, and the reads for them, always go to the server that accepts writes.
	TargetSessionAttrs string
	// MaxConnections is the upper bound on server connections of this process.
	MaxConnections int
	// ApplicationName is shown in pg_stat_activity and the server's log.
	ApplicationName string
	// Unknown names the attributes whose values are not known yet, as happens while Terraform plans a server and what
	// is inside it together. Such a configuration never connects.
	Unknown []string

	reading bool // see [DB.Reader]
}

// Way is a way to the server.
type Way interface {
	// Find returns where the port of the server leads at the moment, each as host:port.
	Find(ctx context.Context, port int) ([]string, error)
	// Dial connects to one of these.
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// SSLModes are the accepted values of [Config.SSLMode], with libpq's meaning (PostgreSQL manual, section 32.19.3).
var SSLModes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

// ConfigError is a connection argument that cannot be used. It names the provider's attribute, or none when an environment
// variable that has no attribute is wrong.
type ConfigError struct {
	Attribute string
	Problem   string
}

func (e *ConfigError) Error() string {
	if e.Attribute == "" {
		return e.Problem
	}
	return fmt.Sprintf("provider argument %q %s", e.Attribute, e.Problem)
}

// WithDefaults fills what neither the configuration nor the environment gave. The host has no default, so that a
// forgotten one is an error instead of a change to the wrong server.
func (c Config) WithDefaults() Config {
	if c.Port == 0 {
		c.Port = DefaultPort
	}
	if c.Database == "" {
		c.Database = DefaultDatabase
	}
	if c.Username == "" {
		c.Username = DefaultUsername
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = DefaultConnectTimeout
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = DefaultMaxConnections
	}
	if c.TargetSessionAttrs == "" {
		c.TargetSessionAttrs = ReadWrite
	}
	if c.SSLMode == "" {
		c.SSLMode = "verify-full"
		// TLS is not spoken over a unix socket; with several hosts the stricter mode holds for all others.
		if hosts := c.hosts(); len(hosts) > 0 && !slices.ContainsFunc(hosts, func(h string) bool { return !isSocket(h) }) {
			c.SSLMode = "disable"
		}
	}
	return c
}

// Validate checks the values without reading a file or the network. It returns a [*ConfigError].
func (c Config) Validate() error {
	switch {
	case slices.ContainsFunc(c.hosts(), notAHost):
		// The value is not shown: people paste whole connection strings with passwords into the wrong place.
		return &ConfigError{"host", "holds something that is no host name, address or absolute path. It must not be a URL, and the " +
			"port and the user name have arguments of their own"}
	case c.Way != nil && (len(c.hosts()) > 1 || slices.ContainsFunc(c.hosts(), isSocket)):
		return &ConfigError{"host", "must be one name: with kubernetes it is the name in the server's certificate, and the Service says " +
			"which server that is"}
	case c.Port < 1 || c.Port > 65535:
		return &ConfigError{"port", fmt.Sprintf("is %d; it must be between 1 and 65535", c.Port)}
	case !slices.Contains(SSLModes, c.SSLMode):
		return &ConfigError{"sslmode", fmt.Sprintf("is %q; it must be one of %s", c.SSLMode, strings.Join(SSLModes, ", "))}
	case c.ConnectTimeout < 0:
		return &ConfigError{"connect_timeout", "must be a positive duration such as \"10s\""}
	case c.MaxConnections < 1:
		return &ConfigError{"max_connections", fmt.Sprintf("is %d; it must be at least 1", c.MaxConnections)}
	case c.MaxConnections == 1 && c.readsElsewhere():
		return &ConfigError{"max_connections", fmt.Sprintf("is 1; with target_session_attrs = %q it must be at least 2, because reads "+
			"of a standby have a connection of their own", c.TargetSessionAttrs)}
	case c.TargetSessionAttrs != "" && !slices.Contains(TargetSessionAttrs, c.TargetSessionAttrs):
		return &ConfigError{"target_session_attrs", fmt.Sprintf("is %q; it must be one of %s", c.TargetSessionAttrs,
			strings.Join(TargetSessionAttrs, ", "))}
	case c.SSLCert != "" && c.SSLKey == "" && !slices.Contains(c.Unknown, "sslkey"):
		return &ConfigError{"sslkey", "is missing, but sslcert is set; a certificate login needs both"}
	case c.SSLKey != "" && c.SSLCert == "" && !slices.Contains(c.Unknown, "sslcert"):
		return &ConfigError{"sslcert", "is missing, but sslkey is set; a certificate login needs both"}
	}
	return c.validateEnvironment()
}

func (c Config) hosts() []string {
	var hosts []string
	for host := range strings.SplitSeq(c.Host, ",") {
		if host = strings.TrimSpace(host); host != "" {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

func notAHost(host string) bool {
	if isSocket(host) || net.ParseIP(host) != nil {
		return false
	}
	return strings.ContainsAny(host, "/@:?= \t\n\\")
}

func isSocket(host string) bool {
	return strings.HasPrefix(host, "/")
}

// sessionSettings hold whatever is set for the role or the database. RESET ALL goes back to them.
var sessionSettings = map[string]string{
	// What others can plant in a schema is found by no unqualified name.
	"search_path": "pg_catalog, pg_temp",
	// What statements mean, and how values are written.
	"standard_conforming_strings": "on", "transform_null_equals": "off", "array_nulls": "on", "quote_all_identifiers": "off",
	"datestyle": "ISO", "intervalstyle": "postgres", "timezone": "UTC", "client_encoding": "UTF8",
	// Who makes a tenant's role has no rights of it (manual, section 20.11.1).
	"createrole_self_grant": "",
	// What a change or a migration may take, and how long it waits for a lock, says whoever makes it.
	"statement_timeout": "0", "lock_timeout": "0",
	// A statement sees what was committed while it waited for a lock.
	"default_transaction_isolation": "read committed",
	direct:                          "on",
}

// poolConfig translates to pgx. Every setting is given explicitly, so that no environment variable or default of the
// library (localhost, the operating system's user) decides where a change goes.
func (c Config) poolConfig() (*pgxpool.Config, error) {
	if len(c.Unknown) > 0 {
		return nil, &ConfigError{c.Unknown[0], "is not known yet, so nothing can be read from the server. Apply what " +
			"it comes from first (terraform apply -target=…), or give a value that is known while planning"}
	}
	hosts := c.hosts()
	if len(hosts) == 0 {
		return nil, &ConfigError{"host", "is missing. Set it in the provider block or by the environment variable PGHOST"}
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	files, err := c.loadTLS()
	if err != nil {
		return nil, err
	}
	pool := blank()
	pool.MaxConns = int32(min(c.share(), 1<<15)) //nolint:gosec // Bounded by the line itself.
	// An idle connection is given back to the server soon: plans pause for people, and others need connections too.
	pool.MaxConnIdleTime, pool.HealthCheckPeriod = 10*time.Second, 5*time.Second
	conn := pool.ConnConfig
	conn.Fallbacks = nil
	for _, host := range hosts {
		for _, tlsConfig := range files.attempts(c.SSLMode, host) {
			conn.Fallbacks = append(conn.Fallbacks,
				&pgconn.FallbackConfig{Host: host, Port: uint16(c.Port), TLSConfig: tlsConfig}) //nolint:gosec // Validated above.
		}
	}
	first := conn.Fallbacks[0]
	conn.Host, conn.Port, conn.TLSConfig, conn.Fallbacks = first.Host, first.Port, first.TLSConfig, conn.Fallbacks[1:]
	conn.Database, conn.User = c.Database, c.Username
	if conn.Password = c.Password; conn.Password == "" {
		passwords, _ := c.passwordsOfFile() // Why it gives none is told if the server wants one.
		givePasswords(&conn.Config, hosts, passwords)
	}
	if c.Way != nil {
		conn.DialFunc, conn.LookupFunc = c.Way.Dial, c.find
	}
	conn.ConnectTimeout = c.ConnectTimeout
	conn.SSLNegotiation, conn.ChannelBinding, conn.RequireAuth = c.SSLNegotiation, c.ChannelBinding, c.RequireAuth
	conn.RuntimeParams["application_name"] = c.ApplicationName
	maps.Copy(conn.RuntimeParams, sessionSettings)
	// A named statement of the session is one that code which runs in it can replace.
	conn.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn.ValidateConnect = c.accept
	conn.OnNotice = deliverNotice
	if c.ClientCertificate != nil {
		pool.BeforeConnect = c.presentCertificate
	}
	return pool, nil
}

// find stands in for the resolution of the host's name, which only means something where the way leads.
func (c Config) find(ctx context.Context, _ string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
	defer cancel()
	return c.Way.Find(ctx, c.Port)
}

// presentCertificate gives a connection that is about to be made the certificate of the moment.
func (c Config) presentCertificate(ctx context.Context, conn *pgx.ConnConfig) error {
	pair, err := c.ClientCertificate(ctx)
	if err != nil {
		return err
	}
	settings := []*tls.Config{conn.TLSConfig}
	for _, fallback := range conn.Fallbacks {
		settings = append(settings, fallback.TLSConfig)
	}
	for _, each := range settings {
		if each != nil {
			each.Certificates = []tls.Certificate{*pair} // The settings are this connection's own.
		}
	}
	return nil
}
