// Command devstack runs the servers of the demo, and fetches what tests need.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

const usage = `usage:
  devstack fetch                fetch the server programs that tests need
  devstack client-tools         print the folder of PostgreSQL's client programs that tests use, or fail
  devstack up [-vault none|build] DIR CLIENT...
                                run PostgreSQL, PgBouncer and, if one is at hand, Vault, with certificates for the clients;
                                DIR/servers.env then has their settings for a shell, and they run until it is removed
  devstack secret DIR CLIENT    write what Vault stores for a client into DIR/clients/CLIENT
  devstack down DIR             end what runs, and wait until nothing of it is left`

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
	case len(arguments) == 1 && arguments[0] == "client-tools":
		folder, err := devstack.ClientTools(ctx)
		if err == nil {
			fmt.Println(folder)
		}
		return err
	case len(arguments) >= 2 && arguments[0] == "up":
		flags := flag.NewFlagSet("up", flag.ContinueOnError)
		vault := flags.String("vault", "", `"none", or "build" to build one if none is at hand`)
		if err := flags.Parse(arguments[1:]); err != nil || flags.NArg() < 1 || *vault != "" && *vault != "none" && *vault != "build" {
			return errors.New(usage)
		}
		return up(ctx, options, *vault, demo(flags.Arg(0)), flags.Args()[1:])
	case len(arguments) == 3 && arguments[0] == "secret":
		return fetchSecret(ctx, options, demo(arguments[1]), arguments[2])
	case len(arguments) == 2 && arguments[0] == "down":
		unlock, err := demo(arguments[1]).end(ctx)
		if err == nil {
			unlock()
		}
		return err
	}
	return errors.New(usage)
}
