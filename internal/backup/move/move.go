// Package move moves one organization from one cell into another: out of one database, with its roles, into one of another cluster.
//
// What counts is the record of the move in both databases, and a trigger on each table of tenants that reads it: nobody writes the rows
// of an organization here while it is closed. The source closes before the target opens, so that never both can be written.
package move

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup/tenant"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Mover moves organizations out of one database into another one.
type Mover struct {
	Source, Target *postgres.DB
	Log            *slog.Logger
	// Wait is for transactions that were open when the organization became read-only.
	Wait time.Duration
	// Grace is how long the source keeps its copy.
	Grace time.Duration
}

// Moved tells what became of a move.
type Moved struct {
	Organization string `json:"organization"`
	ID           string `json:"id"`
	Slug         string `json:"slug"`
	// Step is where the source is.
	Step string `json:"step"`
	// Rows of each table, if this run copied them.
	Rows map[string]int64 `json:"rows,omitempty"`
	// ReadOnlySeconds is how long nobody could write.
	ReadOnlySeconds float64    `json:"read_only_seconds,omitempty"`
	Roles           []string   `json:"roles,omitempty"`
	KeepUntil       *time.Time `json:"keep_until,omitempty"`
}

func (r record) moved() Moved {
	moved := Moved{Organization: r.Organization, ID: r.ID, Slug: r.Slug, Step: r.Step, KeepUntil: r.KeepUntil}
	if r.SwitchedAt != nil && r.ClosedAt != nil {
		moved.ReadOnlySeconds = r.SwitchedAt.Sub(*r.ClosedAt).Seconds()
	}
	return moved
}

// Move moves an organization, or goes on with a move that was killed. When it fails before the switch, the organization is where it
// was, and can be written.
func (m *Mover) Move(ctx context.Context, slug string) (Moved, error) {
	if err := m.checkSchemas(ctx); err != nil {
		return Moved{}, err
	}
	r, err := m.find(ctx, slug)
	if err != nil {
		return Moved{}, err
	}
	if r.Step == aborted || r.Step == arrived {
		r.ID, r.Step = "", "" // That move is over.
	}
	switch r.Step {
	case left:
		return m.close(ctx, r)
	case dropped:
		return r.moved(), problem.New(fmt.Sprintf("organization %q has moved to another cell, and its copy was dropped here", slug),
			"Look for it there")
	case aborting:
		return r.moved(), problem.New(fmt.Sprintf("the move of organization %q is being aborted", slug),
			"Run the command with --abort to its end")
	case awaited, copied:
		return r.moved(), problem.New(fmt.Sprintf("organization %q is still moving into this database", slug), "Finish that move first")
	case "", begun:
		if err := m.preflight(ctx, r); err != nil {
			return Moved{}, err
		}
	}
	rows, r, err := m.carry(ctx, r)
	if err != nil {
		return r.moved(), m.undo(ctx, r, err)
	}
	moved, err := m.close(ctx, r)
	moved.Rows = rows
	return moved, err
}

// carry makes the steps up to the switch.
func (m *Mover) carry(ctx context.Context, r record) (rows map[string]int64, _ record, err error) {
	if r.Step != closed {
		if r, err = m.reserve(ctx, r); err != nil {
			return nil, r, err
		}
		m.Log.Info("The organization becomes read-only", "organization", r.Slug, "move", r.ID)
		next, err := m.advance(ctx, m.Source, r, closed, begun)
		if err != nil {
			return nil, r, err
		}
		r = next
	}
	there, err := recordOf(ctx, m.Target, r.Organization)
	if errors.Is(err, problem.ErrNotFound) || err == nil && there.ID != r.ID {
		return nil, r, problem.New(fmt.Sprintf("the target is not the one into which the move of organization %q began", r.Slug),
			"Name that one, or abort the move there")
	}
	if err == nil && there.Step == awaited {
		if err = m.awaitWriters(ctx, r); err == nil {
			rows, err = m.copy(ctx, r)
		}
	}
	if err == nil && there.Step != arrived {
		err = m.makeRoles(ctx, r)
	}
	if err != nil {
		return rows, r, err
	}
	// A source that failed over meanwhile may have forgotten that it is closed.
	if _, err := m.advance(ctx, m.Source, r, closed, closed); err != nil {
		return rows, r, err
	}
	m.Log.Info("The switch: the target accepts writes from here on", "organization", r.Slug, "move", r.ID)
	if _, err := m.advance(ctx, m.Target, r, arrived, copied); err != nil {
		return rows, r, err
	}
	next, err := m.advance(ctx, m.Source, r, left, closed)
	if err == nil {
		r = next
	}
	return rows, r, err
}

// reserve makes the record in both databases.
func (m *Mover) reserve(ctx context.Context, r record) (record, error) {
	m.Log.Info("The move begins", "organization", r.Slug)
	if r.Step == "" {
		rows, err := postgres.Change[record](ctx, m.Source, postgres.Statement{
			SQL: beginSQL, Args: []any{r.Organization, uuid.NewString(), r.Slug},
		})
		if err == nil && len(rows) == 0 {
			err = errOvertaken
		}
		if err != nil {
			return r, err
		}
		r = rows[0]
	}
	m.Log.Info("The target awaits the organization", "organization", r.Slug, "move", r.ID)
	rows, err := postgres.Change[record](ctx, m.Target, postgres.Statement{
		SQL: awaitSQL, Args: []any{r.Organization, r.ID, r.Slug},
	})
	if err == nil && len(rows) == 0 {
		err = errOvertaken
	}
	return r, err
}

// copy copies the rows, which nobody in the target writes before the switch: the transaction alone opens them for itself.
func (m *Mover) copy(ctx context.Context, r record) (rows map[string]int64, err error) {
	m.Log.Info("The rows are copied", "organization", r.Slug, "move", r.ID)
	within := func(step, from string) func(context.Context, pgx.Tx) error {
		return func(ctx context.Context, tx pgx.Tx) error {
			done, err := tx.Exec(ctx, advanceWithinSQL, r.Organization, r.ID, step, []string{from})
			if err == nil && done.RowsAffected() == 0 {
				err = errOvertaken
			}
			return err
		}
	}
	rows, err = m.tryCopy(ctx, r, within(copying, awaited), within(copied, copying))
	if err == nil {
		m.Log.Info("The rows are copied, and their hashes the same", "organization", r.Slug, "move", r.ID)
		return rows, nil
	}
	// Another run may have copied them.
	if there, readErr := recordOf(ctx, m.Target, r.Organization); readErr == nil && there.ID == r.ID && there.Step == copied {
		return rows, nil
	}
	return rows, err
}

func (m *Mover) tryCopy(ctx context.Context, r record, before, after func(context.Context, pgx.Tx) error) (
	rows map[string]int64, err error,
) {
	err = m.Source.Borrow(ctx, nil, func(source *pgx.Conn) error {
		err := m.Target.Borrow(ctx, nil, func(target *pgx.Conn) error {
			defer func() { _, _ = target.Exec(context.WithoutCancel(ctx), `RESET ALL`) }()
			rows, err = tenant.Copy(ctx, source, target, r.Slug, before, after)
			return err
		})
		_, _ = source.Exec(context.WithoutCancel(ctx), `RESET ALL`)
		return err
	})
	var told problem.Error
	if !errors.As(err, &told) {
		err = m.Source.Explain(err)
	}
	return rows, err
}

// By the ledger, a backup of the source that is older than the switch does not bring the organization back there.
const noteSQL = `
	SELECT brownie.note('organization', ARRAY[m.organization::text], ARRAY['deleted'], ARRAY[m.slug]) FROM brownie.moves m
	WHERE m.organization = $1 AND m.id = $2 AND m.step = 'left' AND NOT EXISTS (SELECT FROM brownie.backup_ledger l
		WHERE l.kind = 'organization' AND l.name = m.organization::text AND l.event = 'deleted' AND l.at >= m.switched_at)`

// close locks the roles in the source, after the switch.
func (m *Mover) close(ctx context.Context, r record) (Moved, error) {
	m.Log.Info("The roles are locked in the source", "organization", r.Slug, "move", r.ID)
	store, moved := access.New(m.Source), r.moved()
	_, err := postgres.Change[struct{ Done bool }](ctx, m.Source, postgres.Statement{SQL: noteSQL, Args: []any{r.Organization, r.ID}},
		postgres.Statement{SQL: `SELECT true AS done`})
	var roles []access.Role
	if err == nil {
		roles, err = rolesOf(ctx, m.Source, store, r.Organization)
	}
	for i := 0; i < len(roles) && err == nil; i++ {
		role := roles[i]
		moved.Roles = append(moved.Roles, role.Name)
		if role.Locked {
			continue
		}
		role.Locked = true
		_, err = store.UpdateRole(ctx, roles[i], role)
	}
	if err != nil {
		return moved, fmt.Errorf("organization %q has moved, but its roles can still log in to the source, and read there: %w. "+
			"Run the command again to lock them", r.Slug, err)
	}
	m.Log.Info("The organization has moved", "organization", r.Slug, "move", r.ID, "read_only_seconds", moved.ReadOnlySeconds)
	return moved, nil
}

// undo gives writing back after a failure.
func (m *Mover) undo(ctx context.Context, r record, cause error) error {
	if r.ID == "" {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	m.Log.Warn("The move failed, and is aborted", "organization", r.Slug, "move", r.ID, "problem", cause)
	err := m.abort(ctx, r)
	switch {
	case err == nil:
		return fmt.Errorf("%w. Organization %q is where it was, and can be written", cause, r.Slug)
	case errors.Is(err, errSwitched):
		return fmt.Errorf("%w. Organization %q has moved, but the source still has to close: run the command again", cause, r.Slug)
	}
	return fmt.Errorf("%w. Organization %q stays read-only, since the move could not be aborted: %w. "+
		"Run the command again, or with --abort", cause, r.Slug, err)
}
