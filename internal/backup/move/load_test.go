package move_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// process returns the command of [child].
func (c *cells) process(at int, what string) *exec.Cmd {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), testdb.Must(os.Executable())(c.t))
	cmd.Env = []string{fmt.Sprintf("MOVE_CHILD=%d", at), "MOVE_RUN=" + what, "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	for prefix, each := range map[string]cell{"SOURCE_": c.source, "TARGET_": c.target} {
		config := testdb.ConfigOn(c.t, each.Postgres, each.database, login)
		for name, value := range map[string]string{
			"PGHOST": config.Host, "PGPORT": fmt.Sprint(config.Port), "PGDATABASE": config.Database, "PGUSER": login,
			"PGSSLMODE": config.SSLMode, "PGSSLROOTCERT": config.SSLRootCert, "PGSSLCERT": config.SSLCert, "PGSSLKEY": config.SSLKey,
		} {
			cmd.Env = append(cmd.Env, prefix+name+"="+value)
		}
	}
	return cmd
}

// steps runs a process, which kills itself at a step, and returns the steps that it told.
func (c *cells) steps(at int, what string) (told []string, err error) {
	c.t.Helper()
	cmd := c.process(at, what)
	var out bytes.Buffer
	cmd.Stderr = &out
	err = cmd.Run()
	return strings.Split(strings.TrimSpace(out.String()), "\n"), err
}

// attempt is one try to write on one side.
type attempt struct {
	title      string
	inTarget   bool
	start, end time.Time
	ok         bool
}

// load writes rows of the organization all the time, on both sides, as its own role and as a service role; and another tenant's.
type load struct {
	c      *cells
	stop   context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	all    []attempt
	others []error
	reads  int
}

func (c *cells) load() *load {
	c.t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(c.t.Context()))
	l := &load{c: c, stop: stop}
	c.t.Cleanup(stop)
	for _, role := range []string{"app", "service"} {
		for _, each := range []cell{c.source, c.target} {
			db := each.as(c.t, c.role(role))
			l.done.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					a := attempt{title: fmt.Sprintf("%s %s %d", role, each.database, n), inTarget: each.Postgres == c.target.Postgres, start: time.Now()}
					if a.inTarget {
						a.title += " in the target"
					}
					rows, err := postgres.Change[struct{ Done bool }](context.WithoutCancel(ctx), db, postgres.Statement{
						SQL: `INSERT INTO public.incidents (organization_id, team_id, title)
							SELECT $1, id, $2 FROM public.teams WHERE organization_id = $1 AND slug = 'team-1' RETURNING true AS done`,
						Args: []any{c.id, a.title},
					})
					a.ok, a.end = err == nil && len(rows) == 1, time.Now()
					l.mu.Lock()
					l.all = append(l.all, a)
					l.mu.Unlock()
					time.Sleep(5 * time.Millisecond)
				}
			})
		}
	}
	other := c.source.as(c.t, c.role("other"))
	l.done.Go(func() {
		for ctx.Err() == nil {
			rows, err := postgres.Change[struct{ Done bool }](context.WithoutCancel(ctx), other, postgres.Statement{
				SQL: `INSERT INTO public.incidents (organization_id, team_id, title)
					SELECT organization_id, id, 'of another' FROM public.teams WHERE slug = 'team-1' RETURNING true AS done`,
			})
			if err == nil && len(rows) != 1 {
				err = fmt.Errorf("%d rows", len(rows))
			}
			l.mu.Lock()
			if l.reads++; err != nil {
				l.others = append(l.others, err)
			}
			l.mu.Unlock()
			time.Sleep(5 * time.Millisecond)
		}
	})
	return l
}

// sound ends it, and checks that no row was lost or doubled, and that never both sides could be written.
func (l *load) sound() {
	t := l.c.t
	t.Helper()
	l.stop()
	l.done.Wait()
	if len(l.others) > 0 || l.reads == 0 {
		t.Errorf("of %d writes of another tenant %d failed: %v", l.reads, len(l.others), l.others)
	}
	there := map[string]int{}
	conn := l.c.target.admin(t)
	rows, err := conn.Query(t.Context(), `SELECT title FROM public.incidents WHERE organization_id = $1 AND (title LIKE 'app %' OR title LIKE 'service %')`, l.c.id)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var title string
		if err := rows.Scan(&title); err != nil {
			t.Fatal(err)
		}
		there[title]++
	}
	var lastInSource, firstInTarget time.Time
	counts := map[bool]int{}
	for _, a := range l.all {
		n := there[a.title]
		if n > 1 || a.ok && n != 1 {
			t.Errorf("%q was written (%v) and is there %d times", a.title, a.ok, n)
		}
		delete(there, a.title)
		if !a.ok {
			continue
		}
		counts[a.inTarget]++
		if !a.inTarget && a.start.After(lastInSource) {
			lastInSource = a.start
		}
		if a.inTarget && (firstInTarget.IsZero() || a.end.Before(firstInTarget)) {
			firstInTarget = a.end
		}
	}
	if len(there) > 0 {
		t.Errorf("nobody wrote %v", there)
	}
	if firstInTarget.Before(lastInSource) {
		t.Errorf("a write to the target ended at %s, and a later one to the source succeeded, at %s", firstInTarget, lastInSource)
	}
	if counts[false] == 0 || counts[true] == 0 {
		t.Errorf("%d writes in the source, %d in the target", counts[false], counts[true])
	}
	t.Logf("%d attempts: %d written in the source, %d in the target; nobody could for %.2f s", len(l.all), counts[false], counts[true],
		firstInTarget.Sub(lastInSource).Seconds())
}

func (l *load) awaitTarget() {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		l.mu.Lock()
		for _, a := range l.all {
			if a.inTarget && a.ok {
				l.mu.Unlock()
				return
			}
		}
		l.mu.Unlock()
	}
}

func TestMoveUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCells(t)
	l := c.load()
	time.Sleep(300 * time.Millisecond)
	testdb.Must(c.mover.Move(t.Context(), "org-2"))(t)
	l.awaitTarget()
	l.sound()
}

// goesOn runs the command until it is through. What a killed one left may be in the way for a moment.
func (c *cells) goesOn(do func(context.Context, string) error) {
	c.t.Helper()
	err := do(c.t.Context(), "org-2")
	for deadline := time.Now().Add(30 * time.Second); err != nil && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		c.t.Logf("not yet: %v", err)
		err = do(c.t.Context(), "org-2")
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// TestKilledAtEachStep kills the command there, and lets it go on, or back.
func TestKilledAtEachStep(t *testing.T) {
	t.Parallel()
	told, err := newCells(t).steps(0, "move")
	if err != nil {
		t.Fatal(told)
	}
	for at := 1; at <= len(told); at++ {
		t.Run("going on after "+told[at-1], func(t *testing.T) {
			c := newCells(t)
			want := rows(t, c.source.admin(t), c.id, "=")
			if told, err := c.steps(at, "move"); err == nil || len(told) != at {
				t.Fatalf("it was not killed: %v", told)
			}
			c.goesOn(func(ctx context.Context, slug string) error {
				_, err := c.mover.Move(ctx, slug)
				return err
			})
			c.hasMoved(want)
		})
		if at%2 == 1 {
			continue
		}
		t.Run("going back after "+told[at-1], func(t *testing.T) {
			c := newCells(t)
			residents := rows(t, c.target.admin(t), c.id, "<>")
			_, _ = c.steps(at, "move")
			_, err := c.mover.Abort(t.Context(), "org-2")
			step := value(t, c.source.admin(t), `SELECT coalesce(max(step), '') FROM brownie.moves`)
			switch {
			case step == "" && err != nil: // It had not begun.
			case step == "left" && err != nil: // The switch has happened.
				return
			case err != nil || step != "aborted":
				t.Fatalf("at step %s: %v", step, err)
			}
			c.isHome(residents)
			if at%4 == 0 {
				testdb.Must(c.mover.Move(t.Context(), "org-2"))(t)
			}
		})
	}
}

// TestKilledWhileItEnds kills the command while it aborts, and while it finishes.
func TestKilledWhileItEnds(t *testing.T) {
	t.Parallel()
	for at := 1; at <= 2; at++ {
		t.Run(fmt.Sprint("aborting ", at), func(t *testing.T) {
			c := newCells(t)
			residents := rows(t, c.target.admin(t), c.id, "<>")
			_, _ = c.steps(8, "move")
			if told, err := c.steps(at, "abort"); err == nil || len(told) != at {
				t.Fatalf("it was not killed: %v", told)
			}
			c.goesOn(func(ctx context.Context, slug string) error {
				_, err := c.mover.Abort(ctx, slug)
				return err
			})
			c.isHome(residents)
		})
	}
	t.Run("finishing", func(t *testing.T) {
		c := newCells(t)
		testdb.Must(c.mover.Move(t.Context(), "org-2"))(t)
		cmd := c.process(0, "finish")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		c.goesOn(func(ctx context.Context, slug string) error {
			_, err := c.mover.Finish(ctx, slug)
			return err
		})
		if n := value(t, c.source.admin(t), `SELECT count(*)::text FROM public.teams WHERE organization_id = $1`, c.id); n != "0" {
			t.Errorf("%s rows are left", n)
		}
	})
}

// TestKilledAnywhere kills the command ten times at random moments, while everybody goes on writing.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	c := newCells(t)
	began := time.Now()
	testdb.Must(newCells(t).steps(0, "move"))(t)
	usual := time.Since(began)
	l := c.load()
	for kills := range 10 {
		cmd := c.process(0, "move")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(usual/20 + time.Duration(rand.Int64N(int64(usual)/2))) // So that most come before the switch.
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Logf("kill %d at step %q", kills+1, value(t, c.source.admin(t), `SELECT coalesce(max(step), '') FROM brownie.moves`))
	}
	c.goesOn(func(ctx context.Context, slug string) error {
		_, err := c.mover.Move(ctx, slug)
		return err
	})
	l.awaitTarget()
	l.sound()
}
