// Package benchmark is what the benchmarks have in common: a server of their own, progress on standard error and a
// report in Markdown on standard output.
package benchmark

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

// Main starts a PostgreSQL server, runs the benchmark and ends the process.
func Main(run func(ctx context.Context, server *devstack.Postgres) error) {
	Run(func(ctx context.Context) error {
		// The line makes it a server of our own: an existing one would not admit roles that have certificates only.
		server, err := devstack.StartPostgres(ctx, devstack.Options{Log: Progress, HBA: []string{"# benchmark"}})
		if err != nil {
			return err
		}
		return errors.Join(run(ctx, server), server.Stop(context.WithoutCancel(ctx)))
	})
}

// Run runs a benchmark that starts its servers itself, and ends the process.
func Run(run func(ctx context.Context) error) {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		os.Exit(1) //nolint:gocritic // Nothing is left for the deferred cancel to do.
	}
}

// Progress tells what a benchmark does.
func Progress(format string, args ...any) { fmt.Fprintf(os.Stderr, "==> "+format+"\n", args...) }

// Environment describes what was measured on.
func Environment(ctx context.Context, server *devstack.Postgres) (string, error) {
	conn, err := pgx.Connect(ctx, server.URL("postgres"))
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	var version string
	err = conn.QueryRow(ctx, "SELECT split_part(current_setting('server_version'), ' ', 1)").Scan(&version)
	return fmt.Sprintf("PostgreSQL %s, %s", version, Machine()), err
}

// Machine describes the machine, without its name.
func Machine() string {
	return fmt.Sprintf("%d processors, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
}

// Percentile of durations, in percent; 50 is the median.
func Percentile(durations []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(durations))
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}
