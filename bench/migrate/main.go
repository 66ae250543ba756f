// Command migrate measures how long the platform's migrations take on an empty database, against goose's own program on
// the same files, and how long eight runs at once take against one. It starts a server of its own and writes a report
// in Markdown.
package main

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/migrations"
)

const (
	// limit is the highest ratio of our time to goose's that is accepted, crowdLimit that of eight at once to one.
	limit, crowdLimit = 1.1, 1.5
	crowd             = 8
	// childVariable makes the process one that migrates, so that both sides start a process.
	childVariable = "BROWNIE_BENCH_MIGRATE"
)

var rounds = flag.Int("rounds", 25, "how often each side migrates an empty database")

func main() {
	if os.Getenv(childVariable) != "" {
		if err := child(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	benchmark.Main("migrate", "How long migrations take", func(ctx context.Context, r *benchmark.Report) error {
		return benchmark.WithPostgres(ctx, r, func(server *devstack.Postgres) error {
			m := &measurement{server: server}
			return cmp.Or(m.programs(ctx, r), m.crowds(ctx, r))
		})
	})
}

// child migrates the database that the environment names.
func child(ctx context.Context) error {
	config, err := postgres.Config{ApplicationName: "benchmark"}.WithEnvironment(os.Getenv)
	if err != nil {
		return err
	}
	return up(ctx, config.WithDefaults(), migrate.Platform)
}

// slow are migrations that take two seconds altogether, so that the time to connect hardly counts.
func slow() migrate.Source {
	files := fstest.MapFS{}
	for i := range 10 {
		text := fmt.Appendf(nil, "-- +goose Up\nCREATE TABLE t%d AS SELECT 1 AS n FROM pg_sleep(0.2);\n", i)
		files[fmt.Sprintf("%04d_step.sql", i+1)] = &fstest.MapFile{Data: text}
	}
	return migrate.Source{Name: "slow", Files: files}
}

// up migrates to the latest version.
func up(ctx context.Context, config postgres.Config, source migrate.Source) error {
	db := postgres.New(config) //nolint:contextcheck // It connects later, with the context of a request.
	defer db.Close()
	engine := migrate.New(db, source, migrate.Options{})
	latest, err := engine.Latest()
	if err != nil {
		return err
	}
	_, err = engine.Up(ctx, latest)
	return err
}

type measurement struct {
	server    *devstack.Postgres
	databases int
}

// programs compares a process of ours with goose's own program.
func (m *measurement) programs(ctx context.Context, r *benchmark.Report) error {
	folder, err := os.MkdirTemp("", "brownie-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	benchmark.Progress("Building goose")
	goose, err := devstack.BuildGoose(ctx, folder)
	if err != nil {
		return err
	}
	version, err := exec.CommandContext(ctx, goose, "--version").Output()
	if err != nil {
		return err
	}
	files := filepath.Join(folder, "migrations")
	if err := os.CopyFS(files, migrations.Files); err != nil {
		return err
	}
	names, err := os.ReadDir(files)
	if err != nil {
		return err
	}
	ours := m.onEmpty("this provider's engine", "", func(ctx context.Context, database string) error {
		command := exec.CommandContext(ctx, os.Args[0])
		command.Env = append(os.Environ(), append(m.server.Env(database), childVariable+"=1")...)
		return run(command)
	})
	// goose makes its table, but not the schema that it is in.
	theirs := m.onEmpty("goose's own program", "CREATE SCHEMA brownie", func(ctx context.Context, database string) error {
		to := []string{"-dir", files, "-table", "brownie.goose_db_version", "postgres", m.server.URL(database)}
		return run(exec.CommandContext(ctx, goose, append(to, "up")...))
	})
	benchmark.Progress("%d rounds", *rounds)
	all, err := benchmark.Rounds(ctx, 0, *rounds, ours, theirs)
	if err != nil {
		return err
	}
	ratio := all[0][0].Ratio(all[1][0])
	r.Text("The %d migrations of the platform on an empty database, each side as a process of its own, %d rounds (%s).",
		len(names), *rounds, bytes.TrimSpace(version))
	table := [][]string{{"from an empty database to the latest version", "median", "95th percentile"}}
	for i, contender := range []benchmark.Contender{ours, theirs} {
		table = append(table, []string{contender.Name, benchmark.Millis(all[i][0].Median()), benchmark.Millis(all[i][0].Percentile95())})
	}
	r.Table(append(table, []string{"**ratio**", "**" + benchmark.Times(ratio) + "**", ""})...)
	r.Limit("our time ÷ goose's", ratio, limit)
	return nil
}

// crowds compares several engines at once with one. They are in this process, because the start of so many processes would take
// longer on a few processors than what is measured.
func (m *measurement) crowds(ctx context.Context, r *benchmark.Report) error {
	engines := func(number int, source migrate.Source) benchmark.Contender {
		return m.onEmpty(fmt.Sprintf("%d engines", number), "", func(ctx context.Context, database string) error {
			config, err := m.server.Config(database)
			if err != nil {
				return err
			}
			var group errgroup.Group
			for range number {
				group.Go(func() error { return up(ctx, config, source) })
			}
			return group.Wait()
		})
	}
	table := [][]string{{"", "one alone", fmt.Sprintf("%d at once, until the last has ended", crowd), "ratio"}}
	for _, c := range []struct {
		name   string
		source migrate.Source
		rounds int
		judged bool // Where migrations take no longer than it takes to connect, the number of processors decides.
	}{
		{"the platform's migrations", migrate.Platform, *rounds, false},
		{"migrations that take two seconds", slow(), min(*rounds, 3), true},
	} {
		benchmark.Progress("%s: %d engines at once", c.name, crowd)
		all, err := benchmark.Rounds(ctx, 0, c.rounds, engines(1, c.source), engines(crowd, c.source))
		if err != nil {
			return err
		}
		alone, crowded := all[0][0], all[1][0]
		ratio := crowded.Ratio(alone)
		row := []string{c.name, benchmark.Millis(alone.Median()), benchmark.Millis(crowded.Median())}
		table = append(table, append(row, "**"+benchmark.Times(ratio)+"**"))
		if c.judged {
			r.Limit("several engines at once ÷ one alone", ratio, crowdLimit)
		}
	}
	r.Text("Several engines begin on the same empty database at the same moment: one migrates, the others wait for it.")
	r.Table(table...)
	return nil
}

// onEmpty migrates a database of its own in each round, which is made before and dropped after what is timed.
func (m *measurement) onEmpty(name, prepare string, migrates func(ctx context.Context, database string) error) benchmark.Contender {
	return benchmark.Contender{Name: name, Round: func(ctx context.Context, _ int) ([]time.Duration, error) {
		m.databases++
		name := fmt.Sprintf("migrate_%d", m.databases)
		if err := m.server.CreateDatabase(ctx, name, ""); err != nil {
			return nil, err
		}
		conn, err := pgx.Connect(ctx, m.server.URL(name))
		if err != nil {
			return nil, err
		}
		_, err = conn.Exec(ctx, prepare)
		if err := cmp.Or(err, conn.Close(ctx)); err != nil {
			return nil, err
		}
		took, err := benchmark.Timed(func() error { return migrates(ctx, name) })
		return took, cmp.Or(err, m.server.DropDatabase(ctx, name))
	}}
}

func run(command *exec.Cmd) error {
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(command.Path), err, output)
	}
	return nil
}
