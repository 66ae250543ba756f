// Package postgres is the provider's way to a PostgreSQL server: a bounded pool that connects on first use, changes
// sent as one transaction in one round trip, reads that are batched, and errors worded for people.
package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
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
	// SSLMode is one of libpq's modes, see [SSLModes].
	SSLMode string
	// SSLRootCert, SSLCert and SSLKey each hold either PEM text or the path of a PEM file. SSLRootCert "system" means
	// the operating system's certificate authorities.
	SSLRootCert, SSLCert, SSLKey string
	// ClientCertificate gives the certificate and key of each new connection, in place of SSLCert and SSLKey.
	ClientCertificate func(context.Context) (*tls.Certificate, error)
	// ConnectTimeout bounds the attempt to connect to one host.
	ConnectTimeout time.Duration
	// MaxConnections is the upper bound on server connections of this process.
	MaxConnections int
	// ApplicationName is shown in pg_stat_activity and the server's log.
	ApplicationName string
	// Unknown names the attributes whose values are not known yet, as happens while Terraform plans a server and what
	// is inside it together. Such a configuration never connects.
	Unknown []string
}

// SSLModes are the accepted values of [Config.SSLMode], with libpq's meaning (PostgreSQL manual, section 32.19.3).
var SSLModes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

// ConfigError is a connection argument that cannot be used. It names the provider's attribute.
type ConfigError struct {
	Attribute string
	Problem   string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("provider argument %q %s", e.Attribute, e.Problem)
}

// WithEnvironment fills what was not given from libpq's environment variables (PostgreSQL manual, section 32.15).
func (c Config) WithEnvironment(getenv func(string) string) (Config, error) {
	texts := []struct {
		field     *string
		attribute string
		variable  string
	}{
		{&c.Host, "host", "PGHOST"},
		{&c.Database, "database", "PGDATABASE"},
		{&c.Username, "username", "PGUSER"},
		{&c.Password, "password", "PGPASSWORD"},
		{&c.SSLMode, "sslmode", "PGSSLMODE"},
		{&c.SSLRootCert, "sslrootcert", "PGSSLROOTCERT"},
		{&c.SSLCert, "sslcert", "PGSSLCERT"},
		{&c.SSLKey, "sslkey", "PGSSLKEY"},
	}
	for _, t := range texts {
		// An unknown value must not be replaced by the environment's: it may differ from it once it is known.
		if *t.field == "" && !slices.Contains(c.Unknown, t.attribute) {
			*t.field = getenv(t.variable)
		}
	}
	if port := getenv("PGPORT"); c.Port == 0 && port != "" && !slices.Contains(c.Unknown, "port") {
		number, err := strconv.Atoi(port)
		if err != nil {
			return c, &ConfigError{"port", fmt.Sprintf("is taken from PGPORT, which is %q and not a number", port)}
		}
		c.Port = number
	}
	return c, nil
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
	case c.Port < 1 || c.Port > 65535:
		return &ConfigError{"port", fmt.Sprintf("is %d; it must be between 1 and 65535", c.Port)}
	case !slices.Contains(SSLModes, c.SSLMode):
		return &ConfigError{"sslmode", fmt.Sprintf("is %q; it must be one of %s", c.SSLMode, strings.Join(SSLModes, ", "))}
	case c.ConnectTimeout < 0:
		return &ConfigError{"connect_timeout", "must be a positive duration such as \"10s\""}
	case c.MaxConnections < 1:
		return &ConfigError{"max_connections", fmt.Sprintf("is %d; it must be at least 1", c.MaxConnections)}
	case c.SSLCert != "" && c.SSLKey == "" && !slices.Contains(c.Unknown, "sslkey"):
		return &ConfigError{"sslkey", "is missing, but sslcert is set; a certificate login needs both"}
	case c.SSLKey != "" && c.SSLCert == "" && !slices.Contains(c.Unknown, "sslcert"):
		return &ConfigError{"sslcert", "is missing, but sslkey is set; a certificate login needs both"}
	}
	return nil
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
	"datestyle": "ISO", "intervalstyle": "postgres", "timezone": "UTC",
	// A statement sees what was committed while it waited for a lock.
	"default_transaction_isolation": "read committed",
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
	pool, err := pgxpool.ParseConfig(
		"host=localhost port=5432 user=x dbname=x sslmode=disable sslrootcert='' sslcert='' sslkey=''")
	if err != nil {
		// The library's text shows a connection string that nobody gave.
		return nil, fmt.Errorf("one of libpq's environment variables that have no provider argument (PGSERVICE, PGPASSFILE, "+
			"PGSSLPASSWORD, …) cannot be used: %w. Unset it", errors.Unwrap(err))
	}
	pool.MaxConns = int32(min(c.MaxConnections, 1<<15)) //nolint:gosec // Bounded by the line itself.
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
	// Also when it is empty: the library would take PGPASSWORD, which is in c.Password where it is wanted.
	conn.Password = c.Password
	conn.ConnectTimeout = c.ConnectTimeout
	conn.RuntimeParams["application_name"] = c.ApplicationName
	maps.Copy(conn.RuntimeParams, sessionSettings)
	// A named statement of the session is one that code which runs in it can replace.
	conn.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn.ValidateConnect = requireWritable
	conn.OnNotice = deliverNotice
	if c.ClientCertificate != nil {
		pool.BeforeConnect = c.presentCertificate
	}
	return pool, nil
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
