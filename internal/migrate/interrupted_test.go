package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// upgrade is 20 migrations. Each of them leaves a row, so that running one twice shows; every fourth runs without a
// transaction and can be repeated.
func upgrade() fstest.MapFS {
	files := fstest.MapFS{"0001_log.sql": file("CREATE TABLE log (version int NOT NULL);\nCREATE TABLE data AS SELECT i AS n FROM " +
		"generate_series(1, 20000) i;\nINSERT INTO log VALUES (1);")}
	for i := 2; i <= 20; i++ {
		name := fmt.Sprintf("%04d_step.sql", i)
		if i%4 == 0 {
			files[name] = &fstest.MapFile{Data: fmt.Appendf(nil, "-- +goose NO TRANSACTION\n-- +goose Up\nDROP INDEX CONCURRENTLY "+
				"IF EXISTS data_%[1]d;\n"+
				"CREATE INDEX CONCURRENTLY data_%[1]d ON data (n);\nDELETE FROM log WHERE version = %[1]d;\nINSERT INTO log VALUES "+
				"(%[1]d);\n", i)}
			continue
		}
		files[name] = file(fmt.Sprintf("ALTER TABLE data ADD COLUMN c%[1]d int DEFAULT %[1]d;\nUPDATE data SET n = n WHERE n <= "+
			"500;\nINSERT INTO log VALUES (%[1]d);", i))
	}
	return files
}

func upgradeEngine(db *postgres.DB) *migrate.Engine {
	return migrate.New(db, migrate.Source{Name: "app", Files: upgrade()}, migrate.Options{})
}

const (
	victimVariable  = "BROWNIE_TEST_VICTIM"
	victimName      = "victim"
	killedRuns      = 20 // Each child loads the parser, which takes seconds under the race detector.
	killedRunsShort = 5
)

// victim is the process that is killed: what a provider does, on the database that the environment names.
func victim() error {
	config, err := postgres.Config{ApplicationName: victimName}.WithEnvironment(os.Getenv)
	if err != nil {
		return err
	}
	_, err = upgradeEngine(postgres.New(config.WithDefaults())).Up(context.Background(), 20)
	return err
}

// Whatever is killed at whatever moment, the provider, the server's side of its connection or the whole server: the next
// apply goes on. The server is the test's own, since it crashes.
func TestKilledUpgradesConverge(t *testing.T) {
	t.Parallel()
	runs := killedRuns
	if testing.Short() {
		runs = killedRunsShort
	}
	server := testdb.Must(devstack.StartPostgres(t.Context(), devstack.Options{HBA: []string{"# makes it a server of our own"}}))(t)
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	moments := map[int64]int{}
	whole := time.Duration(0)
	for run := range runs + 1 {
		database := fmt.Sprintf("upgrade_%d", run)
		if err := server.CreateDatabase(t.Context(), database, ""); err != nil {
			t.Fatal(err)
		}
		k := killedUpgrade{server: server, database: database, config: testdb.Must(server.Config(database))(t)}
		if run == 0 {
			began := time.Now()
			k.converge(t)
			whole = time.Since(began)
			continue
		}
		t.Run(fmt.Sprint(run), func(t *testing.T) {
			k.kill(t, run, whole)
			moments[k.converge(t)]++
		})
	}
	t.Logf("one upgrade takes %s; versions at which it was killed: %v", whole, moments)
	if len(moments) < min(runs/5, 5) {
		t.Errorf("all were killed at nearly the same moment: %v", moments)
	}
}

type killedUpgrade struct {
	server   *devstack.Postgres
	database string
	config   postgres.Config
}

// kill starts an upgrade in another process and kills it after a part of the time that one takes.
func (k killedUpgrade) kill(t *testing.T, run int, whole time.Duration) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), append(k.server.Env(k.database), victimVariable+"=1")...)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	conn := testdb.Must(pgx.Connect(t.Context(), k.server.URL("postgres")))(t)
	defer func() { _ = conn.Close(t.Context()) }()
	// Its time begins when it has the lock.
	for begun := false; !begun; time.Sleep(time.Millisecond) {
		if err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
			AND d.datname = $1
			WHERE l.locktype = 'advisory' AND l.granted)`, k.database).Scan(&begun); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Duration(rand.Int64N(int64(whole))))
	var err error
	switch run % 3 {
	case 0:
		_ = child.Process.Kill()
	case 1:
		_, err = conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, k.database)
	case 2:
		err = k.server.Restart(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // It may have come to its end before.
}

// converge applies, looks at what came of it, and returns the version that there was before.
func (k killedUpgrade) converge(t *testing.T) int64 {
	t.Helper()
	db := postgres.New(k.config)
	defer db.Close()
	engine := upgradeEngine(db)
	reached := migrate.Current(testdb.Must(engine.Applied(t.Context()))(t))
	current, err := engine.Up(t.Context(), 20)
	if err != nil || current != 20 {
		t.Fatalf("killed at version %d: the next apply reached version %d: %v", reached, current, err)
	}
	type facts struct {
		Log     string
		Invalid int64
	}
	found := testdb.Must(postgres.QueryOne[facts](t.Context(), db,
		`SELECT (SELECT string_agg(version::text, ' ' ORDER BY version) FROM public.log) AS log,
		(SELECT count(*) FROM pg_index WHERE NOT indisvalid) AS invalid`))(t)
	if want := (facts{strings.Trim(fmt.Sprint(numbers(20)), "[]"), 0}); found != want {
		t.Errorf("killed at version %d: ran and invalid are %+v", reached, found)
	}
	known := testdb.Must(engine.Known())(t)
	for i, applied := range testdb.Must(engine.Applied(t.Context()))(t) {
		if applied.Version != int64(i+1) || applied.SHA256 != known[i].SHA256 {
			t.Errorf("killed at version %d: recorded is %+v", reached, applied)
		}
	}
	return reached
}

func numbers(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i + 1
	}
	return list
}

func TestAnInvalidIndexIsNamed(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	testdb.Exec(t, database, `CREATE TABLE data (n int); INSERT INTO data VALUES (1), (1)`)
	concurrently := func(option string) fstest.MapFS {
		return fstest.MapFS{"0001_index.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nCREATE UNIQUE INDEX " +
			"CONCURRENTLY " + option + "data_n_key ON data (n);\n")}}
	}
	for _, attempt := range []struct{ option, says string }{
		{"", "could not create unique index"},
		{"", `relation "data_n_key" already exists`},
		{"IF NOT EXISTS ", "INVALID"}, // The server says that all is well.
	} {
		current, err := newEngine(t, database, concurrently(attempt.option)).Up(t.Context(), 1)
		var invalid *migrate.InvalidIndexError
		if !errors.As(err, &invalid) || current != 0 {
			t.Fatalf("%q: got version %d, %v", attempt.option, current, err)
		}
		for _, want := range []string{attempt.says, "DROP INDEX CONCURRENTLY public.data_n_key;", "runs without a transaction"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not contain %q", err, want)
			}
		}
	}
	testdb.Exec(t, database, `DROP INDEX data_n_key; TRUNCATE data`)
	if current, err := newEngine(t, database, concurrently("")).Up(t.Context(), 1); err != nil || current != 1 {
		t.Errorf("after the repair: got version %d, %v", current, err)
	}
}

// A failure tells the file, the line, the statement, and what ran.
func TestAFailureTellsWhere(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	engine := newEngine(t, database, fstest.MapFS{
		"0001_a.sql": file(`CREATE TABLE a (n int);`),
		"0002_b.sql": file("CREATE TABLE b (n int);\n\n-- What follows is wrong.\nINSERT INTO b\nSELECT m\nFROM a;"),
	})
	_, err := engine.Up(t.Context(), 2)
	for _, want := range []string{
		"migration 0002_b.sql failed at line 6: column \"m\" does not exist", "    INSERT INTO b\n    SELECT m\n    FROM a;",
		"Applied before it: 0001_a.sql.", "Nothing of 0002_b.sql was applied.", "stays at version 1",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not contain %q", err, want)
		}
	}
}

// 8 applies at once on an empty database: one migrates, the others wait and find nothing to do.
func TestConcurrentUpsQueue(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	config := testdb.Config(t, database)
	config.MaxConnections = 1 // the engine needs no second connection beside the one that holds the lock
	latest := testdb.Must(platform(t, database).Latest())(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			db := postgres.New(config)
			defer db.Close()
			engine := migrate.New(db, migrate.Platform, migrate.Options{})
			plan, err := engine.Plan(t.Context(), latest, false)
			if err != nil {
				t.Error(err)
			}
			if current, err := engine.Run(t.Context(), plan); err != nil || current != latest {
				t.Errorf("got version %d, %v", current, err)
			}
		})
	}
	group.Wait()
	applied := testdb.Value[string](t, database, `SELECT string_agg(version_id::text, ' ' ORDER BY id) FROM brownie.goose_db_version`)
	if applied != "0 "+strings.Trim(fmt.Sprint(numbers(int(latest))), "[]") {
		t.Errorf("applied %s", applied)
	}
}

// What is between two migrations of a run is no state to plan for.
func TestAPlanWaitsForARunThatIsUnderWay(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	files := fstest.MapFS{
		"0001_a.sql": file(`SELECT 1;`), "0002_b.sql": file(`SELECT pg_sleep(0.5);`),
		"0003_c.sql": file(`SELECT pg_sleep(0.5);`),
	}
	ended := make(chan error, 1)
	go func() {
		_, err := newEngine(t, database, files).Up(t.Context(), 3)
		ended <- err
	}()
	engine := newEngine(t, database, files)
	for len(testdb.Must(engine.Applied(t.Context()))(t)) != 1 {
		time.Sleep(time.Millisecond)
	}
	if plan := testdb.Must(engine.Plan(t.Context(), 3, false))(t); plan.From != 3 || len(plan.Steps) != 0 {
		t.Errorf("planned %+v", plan)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A plan that is made while somebody else runs the first migration does not take what that makes for a schema to adopt.
func TestAPlanBesideTheFirstRun(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	var group sync.WaitGroup
	var planned atomic.Int64
	ran := make(chan struct{})
	for range 8 {
		db := testdb.DB(t, database)
		group.Go(func() {
			for running := true; running; {
				select {
				case <-ran:
					running = false
				default:
				}
				plan, err := migrate.New(db, migrate.Platform, migrate.Options{}).Plan(t.Context(), latest(t), false)
				if err != nil || plan.Adopts > 0 || plan.From > 0 && plan.From < latest(t) {
					t.Errorf("planned from %d, adopting %d: %v", plan.From, plan.Adopts, err)
				}
				planned.Add(1)
			}
		})
	}
	for planned.Load() < 8 {
		time.Sleep(time.Millisecond)
	}
	up(t, database, latest(t))
	close(ran)
	group.Wait()
}

func TestAStalePlanIsRefused(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	engine := newEngine(t, database, fstest.MapFS{
		"0001_a.sql": file(`SELECT 1;`), "0002_b.sql": file(`SELECT 1;`),
		"0003_c.sql": file(`SELECT 1;`),
	})
	plan := testdb.Must(engine.Plan(t.Context(), 3, false))(t)
	testdb.Must(engine.Up(t.Context(), 2))(t)
	current, err := engine.Run(t.Context(), plan)
	var stale *migrate.StalePlanError
	if !errors.As(err, &stale) || stale.Planned != 0 || stale.Found != 2 || stale.Wanted != 3 || current != 2 {
		t.Errorf("got version %d, %v", current, err)
	}
}
