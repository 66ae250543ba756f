package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/tenant"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

var errSwitched = problem.New("the switch has happened: the target accepts writes",
	"Run the command without --abort to end the move; to bring the organization back, finish this move and then move it the other way")

// Abort gives writing back to the source, before the switch, and removes what is in the target.
func (m *Mover) Abort(ctx context.Context, slug string) (Moved, error) {
	r, err := m.findMove(ctx, slug)
	if err != nil {
		return Moved{}, err
	}
	switch r.Step {
	case left, dropped:
		return r.moved(), errSwitched
	case aborted:
		return r.moved(), nil
	}
	if err := m.abort(ctx, r); err != nil {
		return r.moved(), err
	}
	r.Step = aborted
	return r.moved(), nil
}

// findMove finds a move that is not over.
func (m *Mover) findMove(ctx context.Context, slug string) (record, error) {
	if err := m.checkSchemas(ctx); err != nil {
		return record{}, err
	}
	r, err := m.find(ctx, slug)
	if err == nil && !slices.Contains([]string{begun, closed, left, dropped, aborting, aborted}, r.Step) {
		err = problem.New(fmt.Sprintf("organization %q is not moving out of this database", slug),
			"Name the database that it leaves by PGHOST and PGDATABASE")
	}
	return r, err
}

// abort first makes sure that the target does not open any more: only then the source does.
func (m *Mover) abort(ctx context.Context, r record) error {
	m.Log.Info("The move is being aborted", "organization", r.Slug, "move", r.ID)
	if _, err := m.advance(ctx, m.Source, r, aborted, begun, aborted); err == nil {
		return inTarget(m.empty(ctx, r)) // The source never closed.
	} else if !errors.Is(err, errOvertaken) {
		return err
	}
	if _, err := m.advance(ctx, m.Source, r, aborting, closed); err != nil {
		return err
	}
	if err := m.empty(ctx, r); err != nil {
		if errors.Is(err, errSwitched) {
			_, back := m.advance(ctx, m.Source, r, closed, aborting)
			return errors.Join(err, back)
		}
		return inTarget(err)
	}
	m.Log.Info("The target is empty again", "organization", r.Slug, "move", r.ID)
	_, err := m.advance(ctx, m.Source, r, aborted, aborting)
	return err
}

// empty removes what the move made in the target, and lets it never begin again there.
func (m *Mover) empty(ctx context.Context, r record) error {
	if _, err := m.advance(ctx, m.Target, r, aborting, awaited, copied); err != nil {
		if !errors.Is(err, errOvertaken) {
			return err
		}
		there, err := recordOf(ctx, m.Target, r.Organization)
		switch {
		case err != nil && !errors.Is(err, problem.ErrNotFound):
			return err
		case err == nil && there.ID == r.ID && there.Step == aborted:
			return nil
		case err == nil && there.ID == r.ID && there.Step == arrived:
			return errSwitched
		}
		_, err = postgres.Change[record](ctx, m.Target, postgres.Statement{
			SQL: refuseSQL, Args: []any{r.Organization, r.ID, r.Slug},
		})
		return err
	}
	if err := m.dropRoles(ctx, m.Target, r); err != nil {
		return err
	}
	return m.drop(ctx, m.Target, r, copying, aborting, aborted)
}

// Finish drops the source's copy when the time is over for which it is kept.
func (m *Mover) Finish(ctx context.Context, slug string) (Moved, error) {
	r, err := m.findMove(ctx, slug)
	if err != nil {
		return Moved{}, err
	}
	switch {
	case r.Step == dropped:
		return r.moved(), nil
	case r.Step != left:
		return r.moved(), problem.New(fmt.Sprintf("the move of organization %q is at step %q", slug, r.Step),
			"Run the command without --finish to its end, or with --abort")
	case !r.Over:
		return r.moved(), problem.New(fmt.Sprintf("the copy of organization %q is kept until %s", slug,
			r.KeepUntil.UTC().Format(time.RFC3339)), "Finish the move after that")
	}
	there, err := recordOf(ctx, m.Target, r.Organization)
	if errors.Is(err, problem.ErrNotFound) || err == nil && (there.ID != r.ID || there.Step != arrived || !there.Present) {
		err = problem.New(fmt.Sprintf("the target has no copy of organization %q that came with this move", slug),
			"Name the database that it moved into; if it was deleted there, this copy is the last one")
	}
	if err != nil {
		return r.moved(), inTarget(err)
	}
	store := access.New(m.Source)
	roles, err := rolesOf(ctx, m.Source, store, r.Organization)
	for i := 0; i < len(roles) && err == nil; i++ {
		blockers, checkErr := store.CheckDrop(ctx, roles[i].Name, "")
		if err = checkErr; err == nil && len(blockers) > 0 {
			err = &access.BlockedError{Name: roles[i].Name, Blockers: blockers}
		}
	}
	if err != nil {
		return r.moved(), err
	}
	m.Log.Info("The source's copy is dropped", "organization", r.Slug, "move", r.ID)
	if err := m.dropRoles(ctx, m.Source, r); err != nil {
		return r.moved(), err
	}
	if err := m.drop(ctx, m.Source, r, dropping, left, dropped); err != nil {
		return r.moved(), err
	}
	r.Step = dropped
	return r.moved(), nil
}

func (m *Mover) dropRoles(ctx context.Context, db *postgres.DB, r record) error {
	store := access.New(db)
	roles, err := rolesOf(ctx, db, store, r.Organization)
	for i := 0; i < len(roles) && err == nil; i++ {
		err = store.DropRole(ctx, roles[i], "")
	}
	return err
}

const untimedSQL = `SELECT set_config(name, '0', true) FROM pg_settings
	WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')`

// drop deletes the rows, which the transaction alone opens for itself.
func (m *Mover) drop(ctx context.Context, db *postgres.DB, r record, open, from, to string) error {
	err := db.Borrow(ctx, nil, func(conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, untimedSQL); err != nil {
				return err
			}
			done, err := tx.Exec(ctx, advanceWithinSQL, r.Organization, r.ID, open, []string{from})
			if err == nil && done.RowsAffected() == 0 {
				return errOvertaken
			}
			if err == nil {
				err = tenant.Purge(ctx, tx, []string{r.Organization})
			}
			if err == nil {
				_, err = tx.Exec(ctx, advanceWithinSQL, r.Organization, r.ID, to, []string{open})
			}
			return err
		})
	})
	err = db.Explain(err)
	if errors.Is(err, errOvertaken) {
		if is, readErr := recordOf(ctx, db, r.Organization); readErr == nil && is.ID == r.ID && is.Step == to {
			return nil
		}
	}
	return err
}
