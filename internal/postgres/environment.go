package postgres

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgpassfile"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// WithEnvironment fills what was not given from those of libpq's environment variables that count (PostgreSQL manual, section
// 32.15; the guide "Connect to your PostgreSQL" lists them). All others change nothing.
func (c Config) WithEnvironment(getenv func(string) string) (Config, error) {
	if getenv("PGSERVICE") != "" && c.Host == "" && !slices.Contains(c.Unknown, "host") {
		// libpq prefers the service to PGHOST, so that psql and the provider would change different servers.
		return c, &ConfigError{"host", "is missing, and PGSERVICE is set, which the provider does not follow. Set host in the provider " +
			"block, or unset PGSERVICE and set PGHOST"}
	}
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
		{&c.SSLNegotiation, "", "PGSSLNEGOTIATION"},
		{&c.ChannelBinding, "", "PGCHANNELBINDING"},
		{&c.RequireAuth, "", "PGREQUIREAUTH"},
	}
	for _, t := range texts {
		// An unknown value must not be replaced by the environment's: it may differ from it once it is known.
		if *t.field == "" && !slices.Contains(c.Unknown, t.attribute) {
			*t.field = getenv(t.variable)
		}
	}
	if !slices.Contains(c.Unknown, "password") {
		c.PassFile = passFile(getenv)
	}
	if port := getenv("PGPORT"); c.Port == 0 && port != "" && !slices.Contains(c.Unknown, "port") {
		number, err := strconv.Atoi(port)
		if err != nil {
			return c, &ConfigError{"port", fmt.Sprintf("is taken from PGPORT, which is %q and not a number", port)}
		}
		c.Port = number
	}
	if limit := getenv("PGCONNECT_TIMEOUT"); c.ConnectTimeout == 0 && limit != "" && !slices.Contains(c.Unknown, "connect_timeout") {
		seconds, err := strconv.ParseUint(limit, 10, 31)
		if err != nil {
			return c, &ConfigError{
				"connect_timeout", fmt.Sprintf("is taken from PGCONNECT_TIMEOUT, which is %q and not a number of seconds", limit),
			}
		}
		c.ConnectTimeout = time.Duration(seconds) * time.Second // 0 leaves the default: to wait for ever helps nobody.
	}
	return c, nil
}

// validateEnvironment checks what has no provider argument.
func (c Config) validateEnvironment() error {
	for _, v := range []struct {
		name, value string
		allowed     []string
	}{
		{"PGSSLNEGOTIATION", c.SSLNegotiation, []string{"postgres", "direct"}},
		{"PGCHANNELBINDING", c.ChannelBinding, []string{"disable", "prefer", "require"}},
	} {
		if v.value != "" && !slices.Contains(v.allowed, v.value) {
			return &ConfigError{Problem: fmt.Sprintf("environment variable %s is %q; it must be one of %s", v.name, v.value,
				strings.Join(v.allowed, ", "))}
		}
	}
	for method := range strings.SplitSeq(c.RequireAuth, ",") {
		method = strings.TrimPrefix(strings.TrimSpace(method), "!")
		if c.RequireAuth != "" && !slices.Contains(authMethods, method) {
			return &ConfigError{Problem: fmt.Sprintf("environment variable PGREQUIREAUTH names the method %q; it may name %s", method,
				strings.Join(authMethods, ", "))}
		}
	}
	if c.SSLNegotiation == "direct" && !slices.Contains([]string{"require", "verify-ca", "verify-full"}, c.SSLMode) &&
		!slices.Contains(c.Unknown, "sslmode") {
		return &ConfigError{"sslmode", fmt.Sprintf("is %q, but environment variable PGSSLNEGOTIATION is \"direct\", which needs "+
			"require, verify-ca or verify-full", c.SSLMode)}
	}
	return nil
}

// authMethods are those of libpq's require_auth.
var authMethods = []string{"password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none"}

// passFile is where libpq looks for passwords (PostgreSQL manual, section 32.16).
func passFile(getenv func(string) string) string {
	if file := getenv("PGPASSFILE"); file != "" {
		return file
	}
	if folder := getenv("APPDATA"); runtime.GOOS == "windows" && folder != "" {
		return filepath.Join(folder, "postgresql", "pgpass.conf")
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".pgpass")
	}
	return ""
}

// passwordsOfFile finds the password of each host that has one, as libpq does (PostgreSQL manual, section 32.16). A file that
// others may read does not count; ignored tells of one.
func (c Config) passwordsOfFile() (passwords map[string]string, ignored string) {
	if c.PassFile == "" {
		return nil, ""
	}
	about, err := os.Stat(c.PassFile)
	if err != nil {
		return nil, "" // Most people have none.
	}
	switch {
	case !about.Mode().IsRegular():
		return nil, "the password file is not a plain file and was ignored"
	case runtime.GOOS != "windows" && about.Mode().Perm()&0o077 != 0:
		return nil, "the password file was ignored, since others may read it (chmod 0600 makes it private)"
	}
	file, err := pgpassfile.ReadPassfile(c.PassFile)
	if err != nil {
		return nil, "the password file cannot be read"
	}
	passwords = map[string]string{}
	for _, host := range c.hosts() {
		names := []string{host}
		if isSocket(host) {
			names = append(names, "localhost")
		}
		for _, name := range names {
			if password := file.FindPassword(name, strconv.Itoa(c.Port), c.Database, c.Username); password != "" && passwords[host] == "" {
				passwords[host] = password
			}
		}
	}
	return passwords, ""
}

// givePasswords has each host get its own password. The library has one for all, and tells nobody which host it is about to ask,
// only its address.
func givePasswords(config *pgconn.Config, hosts []string, passwords map[string]string) {
	if config.Password = passwords[hosts[0]]; len(hosts) == 1 || len(passwords) == 0 {
		return
	}
	var byAddress sync.Map
	lookup := config.LookupFunc
	config.LookupFunc = func(ctx context.Context, host string) ([]string, error) {
		addresses, err := lookup(ctx, host)
		for _, address := range addresses {
			byAddress.LoadOrStore(address, passwords[host])
		}
		return addresses, err
	}
	config.AfterNetConnect = func(_ context.Context, attempt *pgconn.Config, conn net.Conn) (net.Conn, error) {
		remote := conn.RemoteAddr()
		if remote.Network() == "unix" {
			attempt.Password = passwords[filepath.Dir(remote.String())]
			return conn, nil
		}
		address, _, err := net.SplitHostPort(remote.String())
		if password, ok := byAddress.Load(address); ok {
			attempt.Password, _ = password.(string)
		}
		return conn, err
	}
}

// blank returns the library's settings as they are without any environment.
func blank() *pgxpool.Config { return blankConfig.Copy() }

// blankConfig is made while nothing else runs in the process: the library always reads the environment, and fails on a PGSERVICE
// that it does not find, whatever is given explicitly.
var blankConfig = withoutEnvironment(func() (*pgxpool.Config, error) {
	return pgxpool.ParseConfig("host=localhost port=5432 user=x dbname=x sslmode=disable passfile='' sslrootcert='' sslcert='' sslkey=''")
})

func withoutEnvironment(parse func() (*pgxpool.Config, error)) *pgxpool.Config {
	environment := os.Environ()
	for _, variable := range environment {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "PG") {
			_ = os.Unsetenv(name)
		}
	}
	config, err := parse()
	for _, variable := range environment {
		if name, value, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "PG") {
			_ = os.Setenv(name, value)
		}
	}
	if err != nil {
		panic(err) // A constant is wrong.
	}
	return config
}
