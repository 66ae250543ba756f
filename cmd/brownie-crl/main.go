// Command brownie-crl keeps the file with certificate revocation lists that a PostgreSQL server reads (ssl_crl_file) up to
// date: it fetches the lists from the authorities, checks them, replaces the file, and makes the server read it.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/cmd/internal/program"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/crl"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

const usage = `usage: brownie-crl -ca FILE -mount URL ... -file FILE [flags]

Keeps PostgreSQL's ssl_crl_file up to date. The server is found, and logged in to, with PGHOST, PGPORT, PGDATABASE, PGUSER,
PGSSLROOTCERT, PGSSLCERT and PGSSLKEY, to make it read the file and to see that it still lets people in. The role needs:

  GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO the_role;

Once a list has expired, the server refuses this command's certificate as well. Only a unix socket (PGHOST) or -pidfile
repairs that without a person.

For Vault, with a mount named pki below a mount named pki-root:

  brownie-crl -ca root.pem -mount https://vault.example:8200/v1/pki -mount https://vault.example:8200/v1/pki-root \
    -file /var/lib/postgresql/crl/crl.pem -interval 30s -listen :9644

All issuers of a mount count, old ones too, whose certificates are still in use; no token is needed. For other authorities, give
-list for each, and -issuers for those that -ca does not name, as a URL or the path of a file.

It ends with 1 when the lists cannot be refreshed, or expire too soon; with -interval it goes on instead, logs that as an
error, and shows it at /healthz (503) and /metrics (brownie_crl_problem).

`

// settings are what the flags say.
type settings struct {
	crl.Settings
	interval         time.Duration
	listen, serverCA string
}

func main() { program.Main("brownie-crl", run) }

// run refreshes the file once, or until the context ends.
func run(ctx context.Context, arguments []string, getenv func(string) string, log io.Writer) error {
	s, err := parse(arguments, log)
	if err != nil {
		return err
	}
	server, err := postgres.Config{ApplicationName: "brownie-crl"}.WithEnvironment(getenv)
	if err != nil {
		return err
	}
	if server.Host == "" && s.PIDFile == "" {
		return errors.New("no server would read the file: name it by PGHOST, with PGUSER and, but for a unix socket, PGSSLROOTCERT, " +
			"PGSSLCERT and PGSSLKEY; or by -pidfile")
	}
	s.Server, s.Log = server.WithDefaults(), slog.New(slog.NewTextHandler(log, nil))
	k := crl.NewKeeper(s.Settings)
	if s.interval == 0 {
		return k.Update(ctx)
	}
	if s.listen != "" {
		stop, err := program.Serve(ctx, s.listen, k.Handler(), s.Log)
		if err != nil {
			return err
		}
		defer stop()
	}
	for {
		// What is wrong is shown; it may be right the next time.
		if err := k.Update(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("The revocation lists are not up to date", "problem", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(s.interval):
		}
	}
}

func parse(arguments []string, output io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("brownie-crl", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.Usage = func() {
		_, _ = io.WriteString(output, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&s.Path, "file", "", "the server's ssl_crl_file, which is replaced")
	flags.StringVar(&s.Authorities, "ca", "", "PEM file with the authorities that the server trusts, its ssl_ca_file")
	flags.Func("mount", "URL of a PKI mount of Vault's; may be given several times, for all mounts whose issuers sign each other",
		program.Texts(&s.Mounts))
	flags.Func("issuers",
		"where the certificates of authorities below those are, in PEM; may be given several times", program.Texts(&s.Issuers))
	flags.Func("list", "where a revocation list is, in PEM or DER; may be given several times", program.Texts(&s.Lists))
	flags.StringVar(&s.serverCA, "server-ca", "", "PEM file with the authorities that sign the certificates of the sources' servers "+
		"(default the operating system's)")
	flags.StringVar(&s.PIDFile, "pidfile", "", "postmaster.pid of a server on this machine, which is told by a signal; the login is "+
		"then only a check, and left out without PGHOST")
	flags.DurationVar(&s.interval, "interval", 0, "how long to wait between two refreshes; 0 refreshes once")
	flags.DurationVar(&s.AlarmBefore, "alarm-before", 24*time.Hour, "raise the alarm when a list expires in less than this; make it "+
		"less than what the authority leaves a list")
	flags.StringVar(&s.listen, "listen", "", "address of /metrics (Prometheus) and /healthz, such as :9644; needs -interval")
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	for name, missing := range map[string]bool{
		"-file": s.Path == "", "-ca": s.Authorities == "",
		"-mount": len(s.Mounts)+len(s.Lists) == 0,
	} {
		if missing {
			return s, fmt.Errorf("%s is missing; brownie-crl -h explains it", name)
		}
	}
	for _, mount := range s.Mounts {
		if !strings.Contains(mount, "://") {
			return s, fmt.Errorf("-mount is %q; it must be a URL, such as https://vault.example:8200/v1/pki", mount)
		}
	}
	if flags.NArg() > 0 || s.interval < 0 || s.listen != "" && s.interval == 0 {
		return s, errors.New("there are arguments too many, -interval is negative, or -listen is given without -interval")
	}
	err := s.makeClient()
	return s, err
}

// makeClient makes what asks the sources.
func (s *settings) makeClient() error {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert,errcheck // It is documented to be one.
	if s.serverCA != "" {
		text, err := os.ReadFile(s.serverCA)
		if err != nil {
			return err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return fmt.Errorf("%s holds no certificate", s.serverCA)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	s.Client = &http.Client{Transport: transport, Timeout: 30 * time.Second}
	return nil
}
