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
	Object string `json:"object"`
	Remedy string `json:"remedy"`
}

// CheckDrop returns what keeps the role from being dropped, when what it owns goes to the role reassignTo, or to nobody if that is
// empty. It returns a [*ManagerError] when the login role may not drop it.
func (s *Store) CheckDrop(ctx context.Context, name, reassignTo string) ([]Blocker, error) {
	m, err := s.manager()
	if err == nil {
		err = m.lacking(nil)
	}
	if err != nil {
		return nil, err
	}
	o, err := s.obstaclesOf(ctx, name, reassignTo)
	if err == nil && o.refusal != nil {
		err = o.refusal.error()
	}
	return o.blockers, err
}

func (s *Store) obstaclesOf(ctx context.Context, name, reassignTo string) (obstacles, error) {
	o, err := s.obstacles.Get(ctx, drop{name, reassignTo}.key())
	if errors.Is(err, postgres.ErrNotFound) {
		err = nil
	}
	return o, err
}

// drop is of which role, and who gets what it owns.
type drop struct {
	Role string `json:"role"`
	Heir string `json:"heir"`
}

// obstacles are in the way of dropping a role.
type obstacles struct {
	blockers []Blocker
	refusal  *refusal
}

// No name of a role contains a zero.
func (d drop) key() string { return d.Role + "\x00" + d.Heir }

// One statement asks for both: a plan waits for each answer.
var obstaclesSQL = `SELECT (SELECT coalesce(jsonb_agg(b), '[]') FROM (` + blockersSQL + `) AS b) AS blockers,
	(SELECT coalesce(jsonb_agg(r), '[]') FROM (` + refusalsSQL + `) AS r) AS refusals`

func (s *Store) loadObstacles(ctx context.Context, keys []string) (map[string]obstacles, error) {
	names, heirs := make([]string, len(keys)), make([]string, len(keys))
	for i, key := range keys {
		names[i], heirs[i], _ = strings.Cut(key, "\x00")
	}
	found, err := postgres.QueryOne[struct {
		Blockers []struct {
			drop
			Blocker
		}
		Refusals []refusal
	}](ctx, s.db, obstaclesSQL, pgx.StrictNamedArgs{"names": names, "heirs": heirs})
	all := map[string]obstacles{}
	for _, row := range found.Blockers {
		o := all[row.key()]
		o.blockers = append(o.blockers, row.Blocker)
		all[row.key()] = o
	}
	for _, refusal := range found.Refusals {
		for i, key := range keys {
			if names[i] == refusal.Name {
				o := all[key]
				o.refusal = &refusal
				all[key] = o
			}
		}
	}
	return all, err
}

// DropRole ends the role's sessions, gives what it owns to the role reassignTo, revokes its privileges and drops it.
// What cannot be given away is a [*BlockedError], before anything is changed. A role that does not exist is no error.
//
// An idle role takes one transaction. Another one takes two: a client that reconnects by itself is only kept out by a lock-out that
// is committed. The first one rehearses the drop, so that a role which cannot be dropped is not locked out.
func (s *Store) DropRole(ctx context.Context, role Role, reassignTo string) error {
	d := &dropping{role: role, heir: reassignTo}
	s.drops.Do(ctx, d)
	err := d.err
	if server := (*pgconn.PgError)(nil); errors.As(err, &server) {
		if o, readErr := s.obstaclesOf(ctx, role.Name, reassignTo); readErr == nil && len(o.blockers) > 0 {
			return &BlockedError{Name: role.Name, Blockers: o.blockers}
		}
	}
	if err == nil && !d.gone {
		if s.dropRoles(ctx, []*dropping{d}, false, borrowing(dropRoleSQL)); d.err != nil {
			err = &LockedOutError{Name: role.Name, cause: d.err}
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

// dropping is a role that is to be dropped, who gets what it owns, and what became of that.
type dropping struct {
	role Role
	heir string
	gone bool
	err  error
}

// rehearseDrops drops those roles that are idle, and locks the others out, in one transaction.
func (s *Store) rehearseDrops(ctx context.Context, droppings []*dropping) (alone bool) {
	return s.dropRoles(ctx, droppings, true, borrowing(endOwnChangesSQL, dropRoleSQL, lockOutSQL))
}

// dropRoles runs programs that drop roles.
func (s *Store) dropRoles(ctx context.Context, droppings []*dropping, rehearsal bool, programs []string) (alone bool) {
	statements := func(droppings []*dropping) ([]postgres.Statement, error) {
		names, all := make([]string, len(droppings)), make([]wanted, len(droppings))
		for i, d := range droppings {
			names[i] = d.role.Name
			all[i] = wanted{
				Before: d.role.Name, OID: d.role.OID, Name: d.role.Name, ReassignTo: d.heir, Rehearsal: rehearsal,
				BorrowFromIdle: !rehearsal,
			}
		}
		statements, err := change(all, programs...)
		if len(all) > 1 {
			statements = append(statements, postgres.Statement{SQL: settledSQL})
		}
		return append(statements, postgres.Statement{SQL: unbindDroppedSQL, Args: []any{names}, AsOwner: true},
			postgres.Statement{SQL: leftSQL, Args: []any{names}}), err
	}
	type left struct{ Name string }
	return postgres.ChangeTogether(ctx, s.db, droppings, statements, func(rows []left, err error) {
		for _, d := range droppings {
			d.err, d.gone = err, !slices.Contains(rows, left{d.role.Name})
		}
	})
}

// findBlockedSQL tells the rehearsal which roles something keeps from being dropped.
var findBlockedSQL = `SELECT pg_catalog.set_config('brownie.blocked', (SELECT coalesce(jsonb_agg(DISTINCT b.role), '[]')::text
	FROM (` + blockersSQL + `) AS b), true)`

const (
	// The binding of a role that is not dropped yet stays with it.
	unbindDroppedSQL = `DELETE FROM brownie.role_bindings WHERE role_name = ANY ($1::name[])
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) RETURNING true AS done`
	// settledSQL refuses a change after the first roles of which somebody has logged in while the last ones were dropped.
	settledSQL = `DO $$ BEGIN
		PERFORM pg_catalog.pg_stat_clear_snapshot();
		IF EXISTS (SELECT FROM pg_catalog.pg_stat_get_activity(NULL)
			WHERE usesysid = ANY (string_to_array(current_setting('brownie.dropped', true), ' ')::oid[]))
		THEN
			RAISE EXCEPTION 'a role that was dropped has sessions';
		END IF;
	END $$`
	leftSQL = `SELECT rolname::text AS name FROM pg_catalog.pg_roles WHERE rolname = ANY ($1::name[])`
)

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
