// Command devstack manages the servers of the demo, and fetches what tests need.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

const usage = `usage:
  devstack fetch                     fetch or build the server programs, if they are needed
  devstack up [-database NAME] [-build-vault] DIR CLIENT...
                                     start a server, a pooler and, if one is at hand or is to be built, a Vault that can issue
                                     certificates for the clients; without a Vault write certificates of the server's own
                                     authority into DIR/clients/CLIENT. Then write the settings for a shell into DIR/env, and
                                     go on until a signal comes; nothing is left after that
  devstack secret DIR CLIENT         write what the Vault of VAULT_ADDR stores for a client into DIR/clients/CLIENT`

// duplicateDatabase is PostgreSQL's code for a database that exists already, on a server that devstack did not start.
const duplicateDatabase = "42P04"

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "devstack:", err)
		os.Exit(1) //nolint:gocritic // Nothing is left for the deferred cancel to do.
	}
}

func run(ctx context.Context, arguments []string) error {
	options := devstack.Options{Log: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	switch {
	case len(arguments) == 1 && arguments[0] == "fetch":
		return devstack.Fetch(ctx, options)
	case len(arguments) >= 2 && arguments[0] == "up":
		flags := flag.NewFlagSet("up", flag.ContinueOnError)
		d := demo{options: options}
		flags.StringVar(&d.database, "database", "brownie_metadata", "database to create")
		flags.BoolVar(&d.buildVault, "build-vault", false, "build a Vault if none is at hand")
		if err := flags.Parse(arguments[1:]); err != nil || flags.NArg() < 1 {
			return errors.New(usage)
		}
		d.dir, d.clients = flags.Arg(0), flags.Args()[1:]
		return d.up(ctx)
	case len(arguments) == 3 && arguments[0] == "secret":
		return fetchSecret(ctx, arguments[1], arguments[2])
	}
	return errors.New(usage)
}

// demo is the servers of the demo.
type demo struct {
	options       devstack.Options
	database, dir string
	clients       []string
	buildVault    bool
}

// up starts everything, tells how to use it, and ends it with this process.
func (d demo) up(ctx context.Context) (err error) {
	server, err := devstack.StartPostgres(ctx, d.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop(context.WithoutCancel(ctx))) }()
	var refused *pgconn.PgError
	if err := server.CreateDatabase(ctx, d.database, ""); err != nil && (!errors.As(err, &refused) || refused.Code != duplicateDatabase) {
		return err
	}
	settings := server.Env(d.database)
	pooler, err := server.StartPooler(ctx, d.options)
	switch {
	case err == nil:
		settings = append(settings, "BROWNIE_POOLER_HOST="+pooler.Host(), "BROWNIE_POOLER_PORT="+strconv.Itoa(pooler.Port()))
	case errors.Is(err, devstack.ErrNoPooler) || errors.Is(err, devstack.ErrForeignServer):
		d.options.Log("Going on without a pooler: %s", err) // the rest works all the same
	default:
		return err
	}
	if !d.buildVault && !devstack.VaultIsHere() {
		d.options.Log("Going on without Vault, which is not installed")
		if err := writeCertificates(server, d.dir, d.clients); err != nil {
			return err
		}
	} else {
		vault, startErr := startVault(ctx, d.options, server, d.clients)
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, vault.Stop(context.WithoutCancel(ctx))) }()
		settings = append(settings, vault.Env()...)
	}
	if err := writeSettings(filepath.Join(d.dir, "env"), settings); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// writeSettings writes settings, each a name and a value, for a shell. The file is there when it is whole, and only for its owner,
// since a setting may be a token.
func writeSettings(file string, settings []string) error {
	var text strings.Builder
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		fmt.Fprintf(&text, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	if err := os.WriteFile(file+".new", []byte(text.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
