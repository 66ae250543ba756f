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
	"runtime/debug"
	"testing/fstest"
	"text/template"
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
	gooseModule   = "github.com/pressly/goose/v3"
)

func main() {
	rounds := flag.Int("rounds", 25, "how often each side migrates an empty database")
	flag.Parse()
	if os.Getenv(childVariable) != "" {
		if err := child(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	benchmark.Main(func(ctx context.Context, server *devstack.Postgres) error { return run(ctx, server, *rounds) })
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
		files[fmt.Sprintf("%04d_step.sql", i+1)] = &fstest.MapFile{Data: fmt.Appendf(nil, "-- +goose Up\nCREATE TABLE t%d AS SELECT 1 AS n FROM pg_sleep(0.2);\n", i)}
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

type results struct {
	Environment, Goose             string
	Files, Rounds                  int
	Ours, Theirs, Ours95, Theirs95 time.Duration
	Crowds                         []comparison
}

// comparison is of several engines at once with one alone.
type comparison struct {
	Name           string
	Alone, Crowded time.Duration
}

func (r results) Ratio() float64    { return float64(r.Ours) / float64(r.Theirs) }
func (c comparison) Ratio() float64 { return float64(c.Crowded) / float64(c.Alone) }

func run(ctx context.Context, server *devstack.Postgres, rounds int) error {
	folder, err := os.MkdirTemp("", "brownie-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	goose, version, err := installGoose(ctx, folder)
	if err != nil {
		return err
	}
	names, err := migrations.Files.ReadDir(".")
	if err == nil {
		err = os.CopyFS(filepath.Join(folder, "migrations"), migrations.Files)
	}
	if err != nil {
		return err
	}
	m := measurement{server: server, goose: goose, files: filepath.Join(folder, "migrations")}
	var ours, theirs []time.Duration
	benchmark.Progress("%d rounds", rounds)
	for round := range rounds {
		// Who comes first changes from round to round.
		for _, side := range [][]string{{"ours", "theirs"}, {"theirs", "ours"}}[round%2] {
			took, err := m.one(ctx, side)
			if err != nil {
				return err
			}
			if side == "ours" {
				ours = append(ours, took)
			} else {
				theirs = append(theirs, took)
			}
		}
	}
	crowds := make([]comparison, 0, 2)
	for _, c := range []struct {
		name   string
		source migrate.Source
		rounds int
	}{{"the platform's migrations", migrate.Platform, rounds}, {"migrations that take two seconds", slow(), min(rounds, 3)}} {
		benchmark.Progress("%s: %d engines at once", c.name, crowd)
		compared, err := m.crowd(ctx, c.source, c.rounds)
		if err != nil {
			return err
		}
		compared.Name = c.name
		crowds = append(crowds, compared)
	}
	environment, err := benchmark.Environment(ctx, server)
	if err != nil {
		return err
	}
	r := results{
		Environment: environment, Goose: version, Files: len(names), Rounds: rounds,
		Ours: benchmark.Percentile(ours, 50), Theirs: benchmark.Percentile(theirs, 50),
		Ours95: benchmark.Percentile(ours, 95), Theirs95: benchmark.Percentile(theirs, 95),
		Crowds: crowds,
	}
	return cmp.Or(page.Execute(os.Stdout, r), r.judge())
}

// installGoose builds goose's own program in the version that the provider uses, with the driver for PostgreSQL only.
func installGoose(ctx context.Context, folder string) (program, version string, err error) {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == gooseModule {
			version = dependency.Version
		}
	}
	benchmark.Progress("Building goose %s", version)
	install := exec.CommandContext(ctx, "go", "install",
		"-tags=no_clickhouse no_duckdb no_libsql no_mssql no_mysql no_spanner no_sqlite3 no_turso no_vertica no_ydb", gooseModule+"/cmd/goose@"+version)
	install.Env = append(os.Environ(), "GOBIN="+folder)
	if output, err := install.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("cannot build goose: %w\n%s", err, output)
	}
	return filepath.Join(folder, "goose"), version, nil
}

type measurement struct {
	server       *devstack.Postgres
	goose, files string
	databases    int
}

// database makes an empty one. goose makes its table, but not the schema that it is in.
func (m *measurement) database(ctx context.Context) (string, error) {
	m.databases++
	name := fmt.Sprintf("migrate_%d", m.databases)
	return name, m.server.CreateDatabase(ctx, name, "")
}

func (m *measurement) one(ctx context.Context, side string) (time.Duration, error) {
	name, err := m.database(ctx)
	if err != nil {
		return 0, err
	}
	command := m.ours(ctx, name)
	if side == "theirs" {
		conn, err := pgx.Connect(ctx, m.server.URL(name))
		if err != nil {
			return 0, err
		}
		_, err = conn.Exec(ctx, "CREATE SCHEMA brownie")
		if err := cmp.Or(err, conn.Close(ctx)); err != nil {
			return 0, err
		}
		command = exec.CommandContext(ctx, m.goose, "-dir", m.files, "-table", "brownie.goose_db_version", "postgres", m.server.URL(name), "up")
	}
	took, err := timed(command)
	return took, cmp.Or(err, m.server.DropDatabase(ctx, name))
}

func (m *measurement) ours(ctx context.Context, database string) *exec.Cmd {
	command := exec.CommandContext(ctx, os.Args[0])
	command.Env = append(os.Environ(), append(m.server.Env(database), childVariable+"=1")...)
	return command
}

// crowd compares several engines with one.
func (m *measurement) crowd(ctx context.Context, source migrate.Source, rounds int) (comparison, error) {
	took := map[int][]time.Duration{}
	for range rounds {
		for _, number := range []int{1, crowd} {
			duration, err := m.engines(ctx, number, source)
			if err != nil {
				return comparison{}, err
			}
			took[number] = append(took[number], duration)
		}
	}
	return comparison{Alone: benchmark.Percentile(took[1], 50), Crowded: benchmark.Percentile(took[crowd], 50)}, nil
}

// engines is how long it takes until several runs on one empty database have ended. They are in this process, because
// the start of so many processes would take longer on a few processors than what is measured.
func (m *measurement) engines(ctx context.Context, number int, source migrate.Source) (time.Duration, error) {
	name, err := m.database(ctx)
	if err != nil {
		return 0, err
	}
	config, err := m.server.Config(name)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	var group errgroup.Group
	for range number {
		group.Go(func() error { return up(ctx, config, source) })
	}
	err = group.Wait()
	return time.Since(began), cmp.Or(err, m.server.DropDatabase(ctx, name))
}

func timed(command *exec.Cmd) (time.Duration, error) {
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	began := time.Now()
	if err := command.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", filepath.Base(command.Path), err, output.String())
	}
	return time.Since(began), nil
}

var page = template.Must(template.New("").Funcs(template.FuncMap{
	"ms": func(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) },
}).Parse(`<!-- Written by: go run ./bench/migrate > bench/migrate/results.md -->
# How long migrations take

The {{.Files}} migrations of the platform on an empty database, each side as a process of its own, {{.Rounds}} rounds, against goose
{{.Goose}}, {{.Environment}}.

| from an empty database to the latest version | median | 95th percentile |
|---|---|---|
| this provider's engine | {{ms .Ours}} | {{ms .Ours95}} |
| goose's own program | {{ms .Theirs}} | {{ms .Theirs95}} |
| **ratio** | **{{printf "%.2f" .Ratio}}** | |

Several engines begin on the same empty database at the same moment: one migrates, the others wait for it.

| | one alone | {{.Crowd}} at once, until the last has ended | ratio |
|---|---|---|---|
{{range .Crowds -}}
| {{.Name}} | {{ms .Alone}} | {{ms .Crowded}} | **{{printf "%.2f" .Ratio}}** |
{{end}}`))

func (r results) Crowd() int { return crowd }

// judge returns an error if a ratio is above its limit. Where migrations take no longer than it takes to connect, the
// number of processors decides how long several take, so that only the last comparison counts.
func (r results) judge() error {
	if last := r.Crowds[len(r.Crowds)-1]; r.Ratio() > limit || last.Ratio() > crowdLimit {
		return fmt.Errorf("the ratios are %.2f and %.2f; the limits are %.2f and %.2f", r.Ratio(), last.Ratio(), limit, crowdLimit)
	}
	return nil
}
