// Command devstack manages the servers of the demo, and fetches what tests need.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

const usage = `usage:
  devstack fetch                     fetch the server programs, if they are needed
  devstack up [-database NAME] DIR CLIENT...
                                     start a server, a pooler and a Vault that outlive this command, and print their settings
                                     for a shell; the Vault can issue certificates for the clients
  devstack secret DIR CLIENT         write what Vault stores for a client into DIR/clients/CLIENT
  devstack down DIR                  stop them and remove everything of them`

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
		database := flags.String("database", "brownie_metadata", "database to create")
		if err := flags.Parse(arguments[1:]); err != nil || flags.NArg() < 1 {
			return errors.New(usage)
		}
		options.Detached, options.Dir = true, flags.Arg(0)
		return up(ctx, options, *database, flags.Args()[1:])
	case len(arguments) == 3 && arguments[0] == "secret":
		return fetchSecret(ctx, arguments[1], arguments[2])
	case len(arguments) == 2 && arguments[0] == "down":
		return down(ctx, arguments[1])
	}
	return errors.New(usage)
}

// down stops what runs in a folder, if anything does.
func down(ctx context.Context, dir string) error {
	server, err := devstack.Attach(dir)
	if err == nil {
		err = server.Stop(ctx)
	}
	vault, vaultErr := devstack.AttachVault(dir)
	if vaultErr == nil {
		vaultErr = vault.Stop(ctx)
	}
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if errors.Is(vaultErr, os.ErrNotExist) {
		vaultErr = nil
	}
	return errors.Join(err, vaultErr)
}

func up(ctx context.Context, options devstack.Options, database string, clients []string) error {
	// What a demo left is replaced, so that each begins with an empty database.
	if err := down(ctx, options.Dir); err != nil {
		return err
	}
	server, err := devstack.StartPostgres(ctx, options)
	if err != nil {
		return err
	}
	var refused *pgconn.PgError
	err = server.CreateDatabase(ctx, database, "")
	if err != nil && (!errors.As(err, &refused) || refused.Code != duplicateDatabase) {
		return errors.Join(err, server.Stop(context.WithoutCancel(ctx)))
	}
	settings := server.Env(database)
	pooler, err := server.StartPooler(ctx, options)
	switch {
	case err == nil:
		settings = append(settings, "BROWNIE_POOLER_HOST="+pooler.Host(), "BROWNIE_POOLER_PORT="+strconv.Itoa(pooler.Port()))
	case errors.Is(err, devstack.ErrNoPooler) || errors.Is(err, devstack.ErrForeignServer):
		options.Log("Going on without a pooler: %s", err) // the rest works all the same
	default:
		return errors.Join(err, server.Stop(context.WithoutCancel(ctx)))
	}
	vault, err := startVault(ctx, options, server, clients)
	if err != nil {
		return errors.Join(err, server.Stop(context.WithoutCancel(ctx)))
	}
	export(append(settings, "VAULT_ADDR="+vault.Address)...)
	// The token itself is not printed.
	fmt.Printf("VAULT_TOKEN=$(cat '%s')\nexport VAULT_TOKEN\n", vault.TokenFile())
	return nil
}

// export prints settings, each a name and a value, for a shell.
func export(settings ...string) {
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		fmt.Printf("export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
}
