package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Blocker is what keeps a role from being dropped.
type Blocker struct {
	Object string `db:"object"`
	Remedy string `db:"remedy"`
}

// Blockers returns what keeps the role from being dropped, when what it owns goes to the role reassignTo, or to nobody
// if that is empty.
func (s *Store) Blockers(ctx context.Context, name, reassignTo string) ([]Blocker, error) {
	blockers, err := s.blockers.Get(ctx, drop{name, reassignTo}.key())
	if errors.Is(err, postgres.ErrNotFound) {
		return nil, nil
	}
	return blockers, err
}

// drop is of which role, and who gets what it owns.
type drop struct {
	Role string `db:"role"`
	Heir string `db:"heir"`
}

// No name of a role contains a zero.
func (d drop) key() string { return d.Role + "\x00" + d.Heir }

func (s *Store) loadBlockers(ctx context.Context, keys []string) (map[string][]Blocker, error) {
	names, heirs := make([]string, len(keys)), make([]string, len(keys))
	for i, key := range keys {
		names[i], heirs[i], _ = strings.Cut(key, "\x00")
	}
	rows, err := postgres.Query[struct {
		drop
		Blocker
	}](ctx, s.db, blockersSQL, pgx.StrictNamedArgs{"names": names, "heirs": heirs})
	blockers := map[string][]Blocker{}
	for _, row := range rows {
		blockers[row.key()] = append(blockers[row.key()], row.Blocker)
	}
	return blockers, err
}

// DropRole ends the role's sessions, gives what it owns to the role reassignTo, revokes its privileges and drops it.
// What cannot be given away is a [*BlockedError], before anything is changed. A role that does not exist is no error.
//
// An idle role takes one transaction. Another one takes two: a client that reconnects by itself is only kept out by a lock-out that
// is committed. The first one rehearses the drop, so that a role which cannot be dropped is not locked out.
func (s *Store) DropRole(ctx context.Context, role Role, reassignTo string) error {
	w := wanted{
		Before: role.Name, OID: role.OID, Name: role.Name, ReassignTo: reassignTo, Rehearsal: true,
	}
	unbind := postgres.Statement{SQL: unbindDroppedSQL, Args: []any{role.Name}, AsOwner: true}
	isGone := postgres.Statement{SQL: isGoneSQL, Args: []any{role.Name}}
	gone, err := s.run(ctx, w, borrowing(endOwnChangesSQL, dropRoleSQL, lockOutSQL), unbind, isGone)
	if server := (*pgconn.PgError)(nil); errors.As(err, &server) {
		if blockers, readErr := s.Blockers(ctx, role.Name, reassignTo); readErr == nil && len(blockers) > 0 {
			return &BlockedError{Name: role.Name, Blockers: blockers}
		}
	}
	if err == nil && !gone {
		w.Rehearsal, w.BorrowFromIdle = false, true
		if _, err = s.run(ctx, w, borrowing(dropRoleSQL), unbind, isGone); err != nil {
			err = &LockedOutError{Name: role.Name, cause: err}
		}
	}
	if postgres.Interrupted(err) {
		_, readErr := postgres.AwaitRead(ctx, func(ctx context.Context) (Role, error) { return s.Role(ctx, role.Name) })
		if errors.Is(readErr, postgres.ErrNotFound) {
			return nil
		}
	}
	return roleError(role, role, err)
}

// countBlockersSQL tells the rehearsal whether anything keeps the role from being dropped.
var countBlockersSQL = `SELECT pg_catalog.set_config('brownie.blockers', (SELECT count(*)::text FROM (` + blockersSQL + `) AS b), true)`

const (
	// The binding of a role that is not dropped yet stays with it.
	unbindDroppedSQL = `DELETE FROM brownie.role_bindings WHERE role_name = $1
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1) RETURNING true AS done`
	isGoneSQL = `SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1) AS done`
)

// run makes one change of a role, and returns what the last statement says is done.
func (s *Store) run(ctx context.Context, w wanted, programs []string, more ...postgres.Statement) (bool, error) {
	statements, err := w.change(programs...)
	if err != nil {
		return false, err
	}
	rows, err := postgres.Change[struct{ Done bool }](ctx, s.db, append(statements, more...)...)
	return len(rows) > 0 && rows[0].Done, err
}

// BlockedError says what keeps a role from being dropped. Nothing was changed.
type BlockedError struct {
	Name     string
	Blockers []Blocker
}

func (e *BlockedError) Error() string {
	lines := []string{fmt.Sprintf("role %q cannot be dropped while this depends on it:", e.Name)}
	var remedies []string
	for _, blocker := range e.Blockers {
		lines = append(lines, "  - "+blocker.Object)
		if !slices.Contains(remedies, blocker.Remedy) {
			remedies = append(remedies, blocker.Remedy)
		}
	}
	return strings.Join(append(lines, remedies...), "\n")
}
