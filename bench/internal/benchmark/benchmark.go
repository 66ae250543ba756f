// Package benchmark is what the benchmarks have in common: servers of their own, rounds in which contenders take turns, and a
// report in Markdown on standard output, with the command and the machine. Progress is told on standard error.
package benchmark

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

// Main runs the benchmark of a folder below bench/ and ends the process. A figure above its limit fails it, and is reported
// all the same.
func Main(folder, title string, run func(ctx context.Context, r *Report) error) {
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	r := newReport(folder, title)
	err := run(ctx, r)
	if err == nil {
		_, err = os.Stdout.WriteString(r.String())
	}
	if err = cmp.Or(err, errors.Join(r.excesses...)); err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		os.Exit(1) //nolint:gocritic // Nothing is left for the deferred cancel to do.
	}
}

// Progress tells what a benchmark does.
func Progress(format string, args ...any) { fmt.Fprintf(os.Stderr, "==> "+format+"\n", args...) }

// WithPostgres runs something on a server of its own, which the report names.
func WithPostgres(ctx context.Context, r *Report, run func(server *devstack.Postgres) error) error {
	// The line makes it a server of our own: an existing one would not admit roles that have certificates only.
	server, err := devstack.StartPostgres(ctx, devstack.Options{Log: Progress, HBA: []string{"# benchmark"}})
	if err != nil {
		return err
	}
	version, err := postgresVersion(ctx, server)
	if err == nil {
		r.On("PostgreSQL " + version)
		err = run(server)
	}
	return errors.Join(err, server.Stop(context.WithoutCancel(ctx)))
}

func postgresVersion(ctx context.Context, server *devstack.Postgres) (version string, err error) {
	conn, err := pgx.Connect(ctx, server.URL("postgres"))
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	err = conn.QueryRow(ctx, "SELECT split_part(current_setting('server_version'), ' ', 1)").Scan(&version)
	return version, err
}
