package access

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/patience"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// CreateRole creates the role, gives it its access and binds it. A role that exists already is a [*DuplicateError].
func (s *Store) CreateRole(ctx context.Context, role Role) (Role, error) {
	return s.patiently(ctx, Role{}, role)
}

// UpdateRole makes the role before what role says, also where somebody else changed it meanwhile. That another role has
// taken its name is a [*ReplacedError], and changing the organization of a role with sessions a [*SessionsError].
func (s *Store) UpdateRole(ctx context.Context, before, role Role) (Role, error) {
	return s.patiently(ctx, before, role)
}

// patiently makes a role, and waits while its name is taken.
func (s *Store) patiently(ctx context.Context, before, role Role) (Role, error) {
	return patience.Change(ctx, &s.Patience, "role", before.Name, func() (Role, error) { return s.makeRole(ctx, before, role) },
		func(err error) (o patience.Obstacle, passing bool) {
			var taken *DuplicateError
			if passing = errors.As(err, &taken); passing {
				o = patience.Obstacle{Holder: taken.ImportID(), Attribute: taken.Attribute(), Cause: err}
			}
			return o, passing
		})
}

// wanted is what the programs of a change read: PostgreSQL's utility statements take no parameters, and a DO block takes
// none either.
type wanted struct {
	Before           string     `json:"before"`
	OID              uint32     `json:"oid"`
	Name             string     `json:"name"`
	Access           string     `json:"access"`
	OrganizationID   *string    `json:"organization_id"`
	Groups           []string   `json:"groups"`
	AllGroups        []string   `json:"all_groups"`
	GroupsToBecome   []string   `json:"groups_to_become"`
	ConnectionLimit  int32      `json:"connection_limit"`
	StatementTimeout *int64     `json:"statement_timeout"`
	ValidUntil       *time.Time `json:"valid_until"`
	ChangeID         string     `json:"change_id"`
	Locked           bool       `json:"locked"`
	// ReassignTo and Rehearsal are for dropping the role.
	ReassignTo string `json:"reassign_to"`
	Rehearsal  bool   `json:"rehearsal"`
	// BorrowFromIdle borrows the role's rights also where it has no session that could be ended.
	BorrowFromIdle bool `json:"borrow_from_idle"`
}

const wantedSQL = `SELECT pg_catalog.set_config('brownie.wanted', $1, true)`

// All changes of roles of one database take this lock, so that they queue up instead of disturbing each other in the
// catalogs. It is one that no tenant and no service role may take, unlike an advisory lock, and that does not disturb
// whoever reads or writes bindings. The statement is in a block because pipelines are no transaction blocks to LOCK.
// Whoever has the lock does not wait for long for others, since those that it waits for may be on tables that clients use.
const (
	queueSQL    = `SELECT pg_catalog.set_config('lock_timeout', '60s', true)`
	lockSQL     = `DO 'BEGIN LOCK TABLE brownie.role_bindings IN SHARE UPDATE EXCLUSIVE MODE; END'`
	patienceSQL = `SELECT pg_catalog.set_config('lock_timeout', '3s', true)`
)

// change returns the statements of one change of a role. What they read of its binding, and what they are to do, comes after
// whatever the table's owner may have let run.
func (w wanted) change(programs ...string) ([]postgres.Statement, error) {
	statements := []postgres.Statement{{SQL: queueSQL}, {SQL: lockSQL}, {SQL: patienceSQL}}
	if w.Before != "" { // A new role has no binding yet.
		statements = append(statements, readBindings(w.Before))
	}
	told, err := w.tell()
	statements = append(statements, told...)
	if w.Rehearsal {
		args := pgx.StrictNamedArgs{"names": []string{w.Name}, "heirs": []string{w.ReassignTo}}
		statements = append(statements, postgres.Statement{SQL: countBlockersSQL, Args: []any{args}})
	}
	for _, program := range programs {
		statements = append(statements, postgres.Statement{SQL: program})
	}
	return statements, err
}

// tell returns the statements that tell programs what to do. They are needed again after whatever runs with an owner's rights.
func (w wanted) tell() ([]postgres.Statement, error) {
	text, err := json.Marshal(w)
	return []postgres.Statement{{SQL: wantedSQL, Args: []any{string(text)}}, {SQL: connectGroupSQL}}, err
}

func (s *Store) makeRole(ctx context.Context, before, role Role) (Role, error) {
	w := wanted{
		Before: before.Name, OID: before.OID, Name: role.Name, Access: role.Access, OrganizationID: role.OrganizationID,
		Groups: role.Groups(), AllGroups: GroupRoles(), GroupsToBecome: groupsToBecome(), ConnectionLimit: role.ConnectionLimit,
		ValidUntil: role.ValidUntil, ChangeID: uuid.NewString(), Locked: role.Locked,
	}
	if role.StatementTimeout != nil {
		milliseconds := role.StatementTimeout.Milliseconds()
		w.StatementTimeout = &milliseconds
	}
	programs := []string{mappedNameSQL}
	if before.Name != "" {
		programs = append(programs, borrowing(endOwnChangesSQL)...)
	}
	statements, err := w.change(append(programs, nameRoleSQL, setAttributesSQL, makeConnectGroupSQL)...)
	if err != nil {
		return Role{}, err
	}
	if before.Name != "" && before.Name != role.Name {
		statements = append(statements, postgres.Statement{SQL: unbindSQL, Args: []any{role.Name}, AsOwner: true},
			postgres.Statement{SQL: renameBindingSQL, Args: []any{before.Name, role.Name}, AsOwner: true})
	}
	told, err := w.tell()
	if err != nil {
		return Role{}, err
	}
	// PostgreSQL walks the login's memberships once for all changes of role that no change of a membership lies between.
	statements = append(statements, postgres.Statement{
		SQL: bindRoleSQL, Args: []any{role.Name, role.OrganizationID, role.Access, role.ValidUntil, w.ChangeID}, AsOwner: true,
	}, readBindings(role.Name))
	statements = append(append(statements, told...), postgres.Statement{SQL: findGranterSQL}, postgres.Statement{SQL: setMembershipsSQL},
		readRoleRows(false, role.Name))
	rows, err := postgres.Change[roleRow](ctx, s.db, statements...)
	if postgres.Interrupted(err) {
		made, readErr := postgres.AwaitRead(ctx, func(ctx context.Context) ([]roleRow, error) {
			return postgres.Change[roleRow](ctx, s.db, readRoles(role.Name)...)
		})
		if readErr == nil && len(made) > 0 && made[0].ChangeID != nil && *made[0].ChangeID == w.ChangeID {
			rows, err = made, nil
		}
	}
	if err != nil {
		return Role{}, roleError(before, role, err)
	}
	if len(rows) == 0 {
		return Role{}, errors.New("the role vanished while it was being changed")
	}
	if role.Locked {
		return s.endSessions(ctx, rows[0].role())
	}
	return rows[0].role(), nil
}

const (
	unbindSQL        = `DELETE FROM brownie.role_bindings WHERE role_name = $1 RETURNING true AS done`
	renameBindingSQL = `UPDATE brownie.role_bindings SET role_name = $2 WHERE role_name = $1`
	// bindRoleSQL binds the role to its tenant.
	bindRoleSQL = `
	INSERT INTO brownie.role_bindings (role_name, organization_id, access, valid_until, change_id)
	VALUES ($1, $2, $3, $4, $5)
	ON CONFLICT (role_name) DO UPDATE SET organization_id = excluded.organization_id, access = excluded.access,
		valid_until = excluded.valid_until, change_id = excluded.change_id`
)
