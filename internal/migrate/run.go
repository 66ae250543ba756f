package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/sethvargo/go-retry"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// run is one run of migrations, on one connection from its beginning to its end.
type run struct {
	*Engine

	conn  *pgx.Conn
	now   Migration         // the one that runs
	began time.Time         // when it did
	heard []postgres.Notice // what the server said of it, each once: a file that starts anew says it again
	ran   []string          // what was applied before it
	at    int64             // the version that the database has, as far as this run knows
	// blockers is who kept it waiting when somebody last looked.
	blockers []string
}

// Run does what a plan says. A database that is where the plan leads already is left alone; one that is elsewhere than
// where the plan begins is a [*StalePlanError]. It returns the version that the database has afterwards, also beside
// an error.
func (e *Engine) Run(ctx context.Context, plan Plan) (int64, error) {
	if _, err := e.known(); err != nil || len(plan.Steps) == 0 && plan.Adopts == 0 {
		return plan.To, err
	}
	// The parser takes long to load: nobody is to wait for that behind the lock.
	for _, step := range plan.Steps {
		if _, err := e.analysed(step.Version, step.Down); err != nil {
			return plan.From, err
		}
	}
	r := &run{Engine: e, at: plan.From}
	err := e.db.Borrow(ctx, func(said postgres.Notice) { r.hear(ctx, said) }, func(conn *pgx.Conn) error {
		r.conn = conn
		return r.migrate(ctx, plan)
	})
	if err == nil {
		return r.at, nil
	}
	return r.explain(ctx, plan, err)
}

// explain finds out where an error leaves the database, and words it.
func (r *run) explain(ctx context.Context, plan Plan, err error) (int64, error) {
	current := r.at
	applied, readErr := postgres.AwaitRead(ctx, r.Applied)
	if readErr == nil {
		current = Current(applied)
	}
	failed := new(failedStepError)
	switch isStep := errors.As(err, &failed); {
	case !isStep && errors.Is(err, context.Canceled):
		return current, interruptedError(current, err)
	case !isStep:
		return current, r.db.Explain(err)
	}
	if postgres.Interrupted(err) && readErr == nil && (current >= failed.migration.Version) != failed.down {
		// The connection broke while the answer to COMMIT was on its way.
		if current == plan.To {
			return current, nil
		}
		what := stepName(failed.migration, failed.down)
		if errors.Is(err, context.Canceled) {
			return current, problem.New(fmt.Sprintf("the run was interrupted after %s was done. The database is at version %d", what,
				current), "Apply again").Because(err)
		}
		return current, fmt.Errorf("%s was done, and then %w. The database is at version %d; apply again", what,
			r.db.Explain(failed.cause), current)
	}
	failed.ran, failed.current, failed.unread = r.ran, current, readErr != nil
	return current, stepError(*failed)
}

// failedStepError is why a step ended early; where that leaves the database is yet to be read.
type failedStepError struct {
	migration Migration
	down      bool
	cause     error

	ran     []string // what was applied before it
	current int64    // where it leaves the database
	unread  bool     // nobody answered what version that is
}

func (e *failedStepError) Error() string { return e.cause.Error() }
func (e *failedStepError) Unwrap() error { return e.cause }

// migrate is the loop.
func (r *run) migrate(ctx context.Context, plan Plan) error {
	if err := r.lock(ctx); err != nil {
		return err
	}
	defer r.unlock(context.WithoutCancel(ctx))
	current, err := r.prepare(ctx, plan)
	if err != nil {
		return err
	}
	r.at = current
	steps, err := r.Steps(current, plan.To)
	if err != nil {
		return err
	}
	if len(steps) > 0 {
		r.setRestorePoint(ctx, steps[0].Version)
	}
	for i, step := range steps {
		if step.Down && plan.upOnly {
			break // Somebody else went further.
		}
		r.now, r.began, r.heard = r.migration(step.Version), time.Now(), nil
		r.log(ctx, "migration begins", map[string]any{"file": step.Name, "version": step.Version})
		if err := r.step(ctx, step.Down); err != nil {
			return &failedStepError{migration: r.now, down: step.Down, cause: err}
		}
		r.at = after(steps[i:], plan.To)
		r.log(ctx, "migration ended", map[string]any{"file": step.Name, "version": step.Version, "seconds": time.Since(r.began).Seconds()})
		if step.Down {
			r.ran = append(r.ran, "down of "+step.Name)
		} else {
			r.ran = append(r.ran, step.Name)
		}
	}
	return nil
}

// after is the version that the first of some steps leads to.
func after(steps []Step, to int64) int64 {
	switch {
	case !steps[0].Down:
		return steps[0].Version
	case len(steps) > 1:
		return steps[1].Version
	}
	return to
}

// step runs one section of a file and changes the history: in one transaction, unless the file has none. When a statement does
// not get a lock in time, all locks are given up, so that whoever waits behind them goes on, and the file starts anew.
func (r *run) step(ctx context.Context, down bool) error {
	section, err := r.analysed(r.now.Version, down)
	if err != nil {
		return err
	}
	var statements []statement
	for _, at := range section.Statements {
		statements = append(statements, r.now.statement(at))
	}
	if !r.now.transaction {
		return r.oneByOne(ctx, statements, down)
	}
	statements = slices.Concat(sql("BEGIN"), r.settings(), sql(lockTimeout(r.options.LockTimeout)), statements, resets)
	size := len(statements)
	if section.Several {
		size = 1 // Which of several statements failed is told by how many did not.
	}
	return r.untilLocked(ctx, func(ctx context.Context) error {
		for batch := range slices.Chunk(statements, size) {
			if err := r.send(ctx, batch...); err != nil {
				return err
			}
		}
		_, err := r.asOwner(ctx, "COMMIT", r.change(down))
		return err
	})
}

// concurrently tells statements that wait for transactions to end, but let everybody read and write meanwhile; to give
// up would leave an INVALID index.
var concurrently = regexp.MustCompile(`(?is)^(?:CREATE\s+(?:UNIQUE\s+)?INDEX|DROP\s+INDEX|REINDEX\s+(?:\([^)]*\)\s*)?\w+)\s+CONCURRENTLY\b`)

// oneByOne runs the statements of a file that has no transaction, and then changes the history in one.
func (r *run) oneByOne(ctx context.Context, statements []statement, down bool) error {
	if err := r.send(ctx, r.settings()...); err != nil {
		return err
	}
	timeout := time.Duration(-1)
	for _, st := range statements {
		wanted := r.options.LockTimeout
		if concurrently.MatchString(st.sql) {
			wanted = 0 // for ever
		}
		if wanted != timeout {
			if err := r.send(ctx, sql(lockTimeout(wanted))...); err != nil {
				return err
			}
		}
		timeout = wanted
		if err := r.untilLocked(ctx, func(ctx context.Context) error { return r.send(ctx, st) }); err != nil {
			return errors.Join(err, r.checkIndexes(ctx))
		}
	}
	if err := cmp.Or(r.checkIndexes(ctx), r.send(ctx, resets...)); err != nil {
		return err
	}
	_, err := r.asOwner(ctx, "", r.change(down))
	return err
}

// send runs statements in one round trip, and finds the one that failed, if it is of the file.
func (r *run) send(ctx context.Context, statements ...statement) error {
	var text strings.Builder
	begins := make([]int, len(statements))
	for i, st := range statements {
		begins[i] = text.Len()
		text.WriteString(st.sql + "\n;\n") // It may end with a comment.
	}
	results := r.conn.PgConn().Exec(ctx, text.String())
	done := 0
	for results.NextResult() {
		if _, err := results.ResultReader().Close(); err == nil {
			done++
		}
	}
	err := results.Close()
	if err == nil {
		return nil
	}
	failed, lines := min(done, len(statements)-1), 0
	var server *pgconn.PgError
	if errors.As(err, &server) && server.Position > 0 {
		runes := []rune(text.String()) // The server counts characters.
		at := len(string(runes[:min(int(server.Position)-1, len(runes))]))
		after, _ := slices.BinarySearch(begins, at+1)
		failed = max(after-1, 0)
		lines = strings.Count(text.String()[begins[failed]:at], "\n")
	}
	st := statements[failed]
	if st.line == 0 {
		return err
	}
	st.line += lines
	return &statementError{st, serverMessage(err), err}
}

// attempts is how often a lock is waited for.
const attempts = 30

// untilLocked repeats what the server has rolled back. It pauses between attempts, at last for as long as one takes: with the
// default lock_timeout, all of them take about five minutes.
func (r *run) untilLocked(ctx context.Context, attempt func(context.Context) error) error {
	longest := r.options.LockTimeout
	var stop func()
	backoff := retry.WithMaxRetries(attempts-1, retry.WithJitterPercent(30,
		retry.WithCappedDuration(longest, retry.NewExponential(min(200*time.Millisecond, longest)))))
	err := retry.Do(ctx, backoff, func(ctx context.Context) error {
		err := attempt(ctx)
		if err != nil {
			r.rollback(ctx)
		}
		if !postgres.RolledBack(err) {
			return err
		}
		fields := map[string]any{"file": r.now.Name, "answer": serverMessage(err)}
		if failed := new(statementError); errors.As(err, &failed) {
			fields["line"] = failed.line
		}
		r.log(ctx, "migration waits for a lock", fields)
		if stop == nil {
			stop = r.watch(ctx)
		}
		return retry.RetryableError(err)
	})
	if stop != nil {
		stop()
	}
	if failed := new(statementError); postgres.RolledBack(err) && errors.As(err, &failed) {
		failed.text = fmt.Sprintf("no lock was to be had in %d attempts of %s", attempts, longest)
		failed.text += r.inTheWay(ctx)
	}
	return err
}

// hear passes on what the server says while a migration runs.
func (r *run) hear(ctx context.Context, said postgres.Notice) {
	if slices.Contains(r.heard, said) {
		return
	}
	r.heard = append(r.heard, said)
	r.log(ctx, "server says", map[string]any{"file": r.now.Name, "severity": said.Severity, "text": said.Text})
	if said.Severity == "WARNING" && r.options.Warn != nil {
		r.options.Warn(r.now.Name, said.Text)
	}
}
