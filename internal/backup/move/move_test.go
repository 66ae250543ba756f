package move_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/move"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/tenant"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// write inserts a row of org-2, and fails as a client sees it.
func write(ctx context.Context, db *postgres.DB, organization, title string) error {
	_, err := postgres.Change[struct{ Done bool }](ctx, db, postgres.Statement{
		SQL: `INSERT INTO public.incidents (organization_id, team_id, title)
			SELECT $1, id, $2 FROM public.teams WHERE organization_id = $1 AND slug = 'team-1' RETURNING true AS done`,
		Args: []any{organization, title},
	})
	return err
}

func isReadOnly(err error) bool {
	var told *pgconn.PgError
	return errors.As(err, &told) && told.Code == "25006"
}

// has checks that a move is over: the rows are in the target alone for clients, its roles log in there, and only there.
func (c *cells) hasMoved(want string) {
	c.t.Helper()
	source, target := c.source.admin(c.t), c.target.admin(c.t)
	if got := rows(c.t, target, c.id, "="); got != want {
		c.t.Errorf("the target has\n%s\nwant\n%s", got, want)
	}
	app := c.target.as(c.t, c.role("app"))
	if err := write(c.t.Context(), app, c.id, "after the move"); err != nil {
		c.t.Errorf("a writer in the target: %s", err)
	}
	if err := write(c.t.Context(), c.target.as(c.t, c.role("service")), c.id, "by a service role"); err != nil {
		c.t.Errorf("a service role in the target: %s", err)
	}
	for _, role := range []string{"app", "viewer", "locked"} {
		there := testdb.Must(c.target.roles.Role(c.t.Context(), c.role(role)))(c.t)
		here := testdb.Must(c.source.roles.Role(c.t.Context(), c.role(role)))(c.t)
		if !here.Locked {
			c.t.Errorf("%s can log in to the source", role)
		}
		if there.Access != here.Access || there.Pooled != here.Pooled || there.ConnectionLimit != here.ConnectionLimit ||
			slices.Contains(there.Attributes, "LOGIN") != (role != "locked") || *there.OrganizationID != c.id ||
			(there.StatementTimeout == nil) != (here.StatementTimeout == nil) || (there.ValidUntil == nil) != (here.ValidUntil == nil) {
			c.t.Errorf("%s is %+v in the target, and %+v in the source", role, there, here)
		}
	}
	if err := write(c.t.Context(), c.source.as(c.t, c.role("service")), c.id, "too late"); !isReadOnly(err) {
		c.t.Errorf("a service role in the source: %v", err)
	}
	if _, err := source.Exec(c.t.Context(), `DELETE FROM public.teams WHERE organization_id = $1`, c.id); !isReadOnly(err) {
		c.t.Errorf("a superuser in the source: %v", err)
	}
	if _, err := source.Exec(c.t.Context(), `UPDATE public.organizations SET name = 'x' WHERE id = $1`, c.id); !isReadOnly(err) {
		c.t.Errorf("a superuser in the source: %v", err)
	}
}

func TestMove(t *testing.T) {
	t.Parallel()
	c := newCells(t)
	c.mover.Grace = time.Hour
	source, target := c.source.admin(t), c.target.admin(t)
	want, others, residents := rows(t, source, c.id, "="), rows(t, source, c.id, "<>"), rows(t, target, c.id, "<>")
	moved := testdb.Must(c.mover.Move(t.Context(), "org-2"))(t)
	if moved.Step != "left" || moved.Rows["public.incidents"] != 2400 || moved.Rows["public.months"] != 12 || len(moved.Roles) != 3 ||
		moved.ReadOnlySeconds <= 0 || moved.KeepUntil == nil {
		t.Errorf("it tells %+v", moved)
	}
	t.Logf("read-only for %.2f s", moved.ReadOnlySeconds)
	if rows(t, source, c.id, "=") != want {
		t.Error("the source's copy is another one")
	}
	c.hasMoved(want)
	if rows(t, source, c.id, "<>") != others || rows(t, target, c.id, "<>") != residents {
		t.Error("rows of others were changed")
	}
	if got := value(t, target, `INSERT INTO public.reports (organization_id) VALUES ($1) RETURNING (id > (SELECT max(id) FROM public.reports))::text`,
		c.id); got != "true" {
		t.Error("the sequence did not go on after the rows that came")
	}
	// Again: nothing more happens.
	if again := testdb.Must(c.mover.Move(t.Context(), "org-2"))(t); again.ID != moved.ID || again.Step != "left" {
		t.Errorf("the second time it tells %+v", again)
	}

	// Another tenant is not told that an organization moves.
	other := c.source.as(t, c.role("other"))
	_, err := postgres.Change[struct{ Done bool }](t.Context(), other, postgres.Statement{
		SQL:  `INSERT INTO public.incidents (organization_id, team_id, title) VALUES ($1, gen_random_uuid(), 'x') RETURNING true AS done`,
		Args: []any{c.id},
	})
	if err == nil || isReadOnly(err) {
		t.Errorf("another tenant is told: %v", err)
	}
	for name, sql := range map[string]string{
		"one that goes":  `UPDATE public.months SET organization_id = (SELECT id FROM public.organizations WHERE slug = 'org-1') WHERE organization_id = $1`,
		"one that comes": `UPDATE public.months SET organization_id = $1 WHERE organization_id <> $1`,
		"one that stays": `UPDATE public.months SET month = 2 WHERE month = 1 AND organization_id = $1`,
		"one of many":    `DELETE FROM public.stats WHERE $1::uuid IS NOT NULL`,
		"an upsert": `INSERT INTO public.teams (id, organization_id, name, slug) SELECT id, organization_id, name, slug FROM public.teams
			WHERE organization_id = $1 ON CONFLICT (id) DO UPDATE SET name = 'x'`,
	} {
		if _, err := source.Exec(t.Context(), sql, c.id); !isReadOnly(err) {
			t.Errorf("a row, %s: %v", name, err)
		}
	}
	// A backup that is older than the move does not bring it back here, and one that is younger lets it be purged.
	if n := value(t, source, `SELECT count(*)::text FROM brownie.backup_ledger WHERE name = $1 AND event = 'deleted' AND slug = 'org-2'`, c.id); n != "1" {
		t.Errorf("the ledger has %s entries", n)
	}
	tx := testdb.Must(source.Begin(t.Context()))(t)
	if err := errors.Join(tenant.Purge(t.Context(), tx, []string{c.id}), tx.Rollback(t.Context())); err != nil {
		t.Error(err)
	}

	c.refuses(c.mover.Abort, "the switch has happened")
	c.refuses(c.mover.Finish, "is kept until")
	testdb.Must(source.Exec(t.Context(), `UPDATE brownie.moves SET keep_until = clock_timestamp()`))(t)
	run(t, target, `UPDATE brownie.moves SET id = gen_random_uuid()`)
	c.refuses(c.mover.Finish, "the target has no copy")
	testdb.Must(target.Exec(t.Context(), `UPDATE brownie.moves SET id = $1`, moved.ID))(t)
	run(t, source, `GRANT SELECT ON public.teams TO "`+c.role("viewer")+`"; CREATE TABLE public.blocks (); ALTER TABLE public.blocks OWNER TO "`+
		c.role("viewer")+`"`)
	c.refuses(c.mover.Finish, "cannot be dropped")
	run(t, source, `DROP TABLE public.blocks`)
	for range 2 { // Again: nothing more happens.
		if done := testdb.Must(c.mover.Finish(t.Context(), "org-2"))(t); done.Step != "dropped" {
			t.Errorf("finishing tells %+v", done)
		}
	}
	if got := value(t, source, `SELECT count(*)::text FROM public.incidents WHERE organization_id = $1`, c.id); got != "0" {
		t.Errorf("%s rows are left", got)
	}
	if rows(t, source, c.id, "<>") != others {
		t.Error("finishing changed rows of others")
	}
	if _, err := c.source.roles.Role(t.Context(), c.role("app")); !errors.Is(err, problem.ErrNotFound) {
		t.Errorf("the role is left in the source: %v", err)
	}
	c.refuses(c.mover.Move, "has moved to another cell")

	// And back.
	back := *c.mover
	back.Source, back.Target = c.target.db, c.source.db
	want = rows(t, target, c.id, "=")
	testdb.Must(back.Move(t.Context(), "org-2"))(t)
	if got := rows(t, source, c.id, "="); got != want {
		t.Errorf("it came back as\n%s\nand was\n%s", got, want)
	}
	if err := write(t.Context(), c.source.as(t, c.role("app")), c.id, "at home"); err != nil {
		t.Error(err)
	}
}

func (c *cells) refuses(do func(context.Context, string) (move.Moved, error), problemText string) {
	c.t.Helper()
	_, err := do(c.t.Context(), "org-2")
	var told problem.Error
	if err == nil || !strings.Contains(err.Error(), problemText) ||
		!errors.As(err, &told) || (told.Remedy() == "" && !strings.Contains(err.Error(), "cannot be dropped")) {
		c.t.Errorf("the error is %v", err)
	}
}

// inTransaction begins a transaction that has written, and returns what ends it.
func inTransaction(t *testing.T, db *postgres.DB, sql string, args ...any) (commit func() error) {
	t.Helper()
	begun, end, ended := make(chan error), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- db.Borrow(context.Background(), nil, func(conn *pgx.Conn) error {
			tx, err := conn.Begin(context.Background())
			if err == nil {
				_, err = tx.Exec(context.Background(), sql, args...)
			}
			begun <- err
			if err != nil {
				return err
			}
			<-end
			return tx.Commit(context.Background())
		})
	}()
	if err := <-begun; err != nil {
		t.Fatal(err)
	}
	return func() error {
		close(end)
		return <-ended
	}
}

const insertSQL = `INSERT INTO public.incidents (organization_id, team_id, title)
	SELECT $1, id, 'in a transaction' FROM public.teams WHERE organization_id = $1 AND slug = 'team-1'`

// TestOpenTransactions waits for those that began before.
func TestOpenTransactions(t *testing.T) {
	t.Parallel()
	t.Run("one that ends in time", func(t *testing.T) {
		t.Parallel()
		c := newCells(t)
		commit := inTransaction(t, c.source.as(t, c.role("app")), insertSQL, c.id)
		service := inTransaction(t, c.source.as(t, c.role("service")), insertSQL, c.id)
		// A snapshot that is older than the move sees no move.
		old := inTransaction(t, c.source.as(t, c.role("service")), `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`)
		reader := inTransaction(t, c.source.as(t, c.role("viewer")), `SELECT count(*) FROM public.incidents`)
		other := inTransaction(t, c.source.as(t, c.role("other")), `INSERT INTO public.incidents (organization_id, team_id, title)
			SELECT organization_id, id, 'of another' FROM public.teams LIMIT 1`)
		done := make(chan error, 1)
		go func() {
			_, err := c.mover.Move(context.Background(), "org-2")
			done <- err
		}()
		conn := c.source.admin(t)
		for value(t, conn, `SELECT count(*)::text FROM brownie.moves WHERE closed`) == "0" {
			time.Sleep(10 * time.Millisecond)
		}
		if err := write(t.Context(), c.source.as(t, c.role("app")), c.id, "refused"); !isReadOnly(err) {
			t.Errorf("a writer in the source: %v", err)
		}
		if n := testdb.Must(postgres.Query[struct{ ID string }](t.Context(), c.source.as(t, c.role("app")), `SELECT id::text FROM public.users`))(t); len(n) != 6 {
			t.Errorf("it reads %d users", len(n))
		}
		select {
		case err := <-done:
			t.Fatalf("it did not wait: %v", err)
		case <-time.After(300 * time.Millisecond):
		}
		for _, end := range []func() error{commit, service, old} {
			if err := end(); err != nil {
				t.Error(err)
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n := value(t, c.target.admin(t), `SELECT count(*)::text FROM public.incidents WHERE title = 'in a transaction'`); n != "2" {
			t.Errorf("%s of 2 rows arrived", n)
		}
		_ = reader() // Its session was ended when the roles were locked.
		if err := other(); err != nil {
			t.Errorf("another tenant: %s", err)
		}
	})
	t.Run("one of the organization that takes too long", func(t *testing.T) {
		t.Parallel()
		c := newCells(t)
		c.mover.Wait = 100 * time.Millisecond
		want := rows(t, c.source.admin(t), c.id, "=")
		commit := inTransaction(t, c.source.as(t, c.role("app")), insertSQL, c.id)
		testdb.Must(c.mover.Move(t.Context(), "org-2"))(t)
		if err := commit(); err == nil {
			t.Error("it was committed")
		}
		c.hasMoved(want)
	})
	for _, role := range []string{"service", "prepared"} {
		t.Run("one of everybody that takes too long: "+role, func(t *testing.T) {
			t.Parallel()
			c := newCells(t)
			c.mover.Wait = 100 * time.Millisecond
			var commit func() error
			if conn := c.source.admin(t); role == "prepared" {
				run(t, conn, `BEGIN; SELECT 1 FROM public.teams; PREPARE TRANSACTION 'x`+c.id+`'`)
				commit = func() error {
					_, err := conn.Exec(t.Context(), `COMMIT PREPARED 'x`+c.id+`'`)
					return err
				}
			} else {
				commit = inTransaction(t, c.source.as(t, c.role("service")), insertSQL, c.id)
			}
			before := rows(t, c.target.admin(t), c.id, "<>")
			c.refuses(c.mover.Move, "are not over: ")
			c.isHome(before)
			if err := commit(); err != nil {
				t.Error(err)
			}
			testdb.Must(c.mover.Move(t.Context(), "org-2"))(t)
		})
	}
}

// isHome checks that the organization is where it was, and that nothing is left in the target.
func (c *cells) isHome(residents string) {
	c.t.Helper()
	if err := write(c.t.Context(), c.source.as(c.t, c.role("app")), c.id, "at home"); err != nil {
		c.t.Errorf("a writer in the source: %s", err)
	}
	target := c.target.admin(c.t)
	if got := rows(c.t, target, c.id, "<>"); got != residents {
		c.t.Errorf("the target has\n%s\nand had\n%s", got, residents)
	}
	if n := value(c.t, target, `SELECT count(*)::text FROM public.organizations WHERE id = $1`, c.id); n != "0" {
		c.t.Error("the organization is in the target")
	}
	if _, err := c.target.roles.Role(c.t.Context(), c.role("app")); !errors.Is(err, problem.ErrNotFound) {
		c.t.Errorf("a role is left in the target: %v", err)
	}
}

func TestMoveIsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change  func(c *cells)
		problem string
	}{
		"an organization with that slug": {func(c *cells) {
			run(c.t, c.target.admin(c.t), `INSERT INTO public.organizations (name, slug) VALUES ('x', 'org-2')`)
		}, "an organization with the same slug"},
		"an organization with that ID": {func(c *cells) {
			run(c.t, c.target.admin(c.t), `INSERT INTO public.organizations (id, name, slug) VALUES ('`+c.id+`', 'x', 'x')`)
		}, "an organization with the same ID"},
		"a unique value that is taken": {func(c *cells) {
			run(c.t, c.target.admin(c.t), `UPDATE public.reports SET title = 'org-23' WHERE id = (SELECT min(id) FROM public.reports)`)
		}, "table a deferred constraint cannot be copied: duplicate key"},
		"a row that is taken": {func(c *cells) {
			id := value(c.t, c.source.admin(c.t), `SELECT min(id::text) FROM public.stats WHERE organization_id = $1`, c.id)
			run(c.t, c.target.admin(c.t), `UPDATE public.stats SET id = '`+id+`' WHERE id = (SELECT min(id::text)::uuid FROM public.stats)`)
		}, "table public.stats cannot be copied: duplicate key"},
		"another migration": {func(c *cells) {
			run(c.t, c.target.admin(c.t), `UPDATE brownie.goose_db_version SET version_id = 28 WHERE version_id = 27`)
		}, "the source is at migration 27, and the target at 28"},
		"no schema": {func(c *cells) {
			run(c.t, c.target.admin(c.t), `DROP TABLE brownie.moves`)
		}, "has not the schema for moves"},
		"a role of that name": {func(c *cells) {
			run(c.t, c.target.admin(c.t), `CREATE ROLE "`+c.role("viewer")+`" LOGIN`)
		}, "already has a role"},
		"no right to make roles": {func(c *cells) {
			run(c.t, c.target.admin(c.t), `CREATE ROLE "`+c.role("weak")+`" LOGIN; GRANT "`+login+`", brownie_migrator TO "`+c.role("weak")+`"`)
			c.mover.Target = c.target.as(c.t, c.role("weak"))
		}, "may not create roles"},
		"a table that others may write": {func(c *cells) {
			run(c.t, c.source.admin(c.t), `CREATE TABLE public.notes (id uuid, organization_id uuid NOT NULL)`)
		}, "these tables can be written while an organization moves: public.notes"},
		"a table that is missing": {func(c *cells) {
			run(c.t, c.source.admin(c.t), `CREATE TABLE public.notes (id uuid, organization_id uuid NOT NULL); ALTER TABLE public.notes OWNER TO "`+login+
				`"; SELECT brownie.isolate_table('public.notes')`)
		}, "the target has no table public.notes"},
		"a trigger that changes rows": {func(c *cells) {
			run(c.t, c.target.admin(c.t), `CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS
				$$ BEGIN NEW.title := upper(NEW.title); RETURN NEW; END $$; CREATE TRIGGER f BEFORE INSERT ON public.incidents
				FOR EACH ROW EXECUTE FUNCTION public.f()`)
		}, "the rows of table public.incidents are others in the target"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCells(t)
			test.change(c)
			target := c.target.admin(t)
			before := rows(t, target, c.id, "<>") + rows(t, target, c.id, "=")
			c.refuses(c.mover.Move, test.problem)
			if after := rows(t, target, c.id, "<>") + rows(t, target, c.id, "="); after != before {
				t.Error("rows of the target were changed")
			}
			if err := write(t.Context(), c.source.as(t, c.role("app")), c.id, "at home"); err != nil {
				t.Errorf("a writer in the source: %s", err)
			}
			if n := value(t, c.source.admin(t), `SELECT count(*)::text FROM brownie.moves`); n != "0" {
				t.Error("a move began")
			}
		})
	}
	t.Run("no organization", func(t *testing.T) {
		t.Parallel()
		c := newCells(t)
		if _, err := c.mover.Move(t.Context(), "org-9"); err == nil || !strings.Contains(err.Error(), `no organization "org-9"`) {
			t.Errorf("the error is %v", err)
		}
		c.mover.Target = c.source.db
		c.refuses(c.mover.Move, "an organization with the same ID")
	})
}
