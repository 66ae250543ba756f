package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/patience"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// CreateRole creates the role, gives it its access and binds it. A role that exists already is a [*DuplicateError].
func (s *Store) CreateRole(ctx context.Context, role Role) (Role, error) {
	do := s.creations.Do
	return s.patiently(ctx, Role{}, role, func(m *making) {
		do(ctx, m)
		do = s.makeAlone // A name that is taken refuses what others ask for as well.
	})
}

// UpdateRole makes the role before what role says, also where somebody else changed it meanwhile. That another role has
// taken its name is a [*ReplacedError], and changing the organization of a role with sessions a [*SessionsError].
func (s *Store) UpdateRole(ctx context.Context, before, role Role) (Role, error) {
	do := s.changes.Do
	if before.Name != role.Name {
		do = s.makeAlone
	}
	return s.patiently(ctx, before, role, func(m *making) {
		do(ctx, m)
		do = s.makeAlone
	})
}

// making is a role that is to be made, or changed from what it was before, and what became of that.
type making struct {
	before, role Role
	wanted       wanted
	made         Role
	err          error
}

// patiently makes a role, and waits while its name is taken.
func (s *Store) patiently(ctx context.Context, before, role Role, do func(*making)) (Role, error) {
	made, err := patience.Change(ctx, &s.Patience, "role", before.Name, func() (Role, error) {
		m := &making{before: before, role: role}
		do(m)
		return m.made, m.err
	}, func(err error) (o patience.Obstacle, passing bool) {
		var taken *DuplicateError
		if passing = errors.As(err, &taken); passing {
			o = patience.Obstacle{Holder: taken.ImportID(), Attribute: taken.Attribute(), Cause: err}
		}
		return o, passing
	})
	if err == nil && role.Locked {
		return s.endSessions(ctx, made)
	}
	return made, err
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
	// Transactions are those whose sessions are ended.
	Transactions []string `json:"transactions,omitempty"`
}

const (
	// wantedSQL hands programs all that is wanted at once: they look at PostgreSQL's catalogs with a plan for all of the roles, and
	// the login's memberships, which a new role adds to, are walked as seldom as can be.
	wantedSQL = `SELECT pg_catalog.set_config('brownie.wanted', $1, true)`
	// busySQL tells programs which roles have sessions.
	busySQL = `SELECT pg_catalog.set_config('brownie.busy', (SELECT coalesce(jsonb_agg(DISTINCT usename), '[]')::text
		FROM pg_catalog.pg_stat_activity WHERE usename = ANY ($1::name[])), true)`
)

// All changes of roles of one database take this lock, so that they queue up instead of disturbing each other in the
// catalogs. It is one that no tenant and no service role may take, unlike an advisory lock, and that does not disturb
// whoever reads or writes bindings. The statement is in a block because pipelines are no transaction blocks to LOCK.
// Whoever has the lock does not wait for long for others, since those that it waits for may be on tables that clients use.
const (
	queueSQL    = `SELECT pg_catalog.set_config('lock_timeout', '60s', true)`
	lockSQL     = `DO 'BEGIN LOCK TABLE brownie.role_bindings IN SHARE UPDATE EXCLUSIVE MODE; END'`
	patienceSQL = `SELECT pg_catalog.set_config('lock_timeout', $1, true)`
)

// lockWait is how long each of some roles may wait for locks, as PostgreSQL writes it.
func lockWait(roles int) string { return fmt.Sprintf("%dms", 3000/roles) }

// change returns the statements of one change of some roles. What they read of their bindings, and what they are to do, comes after
// whatever the table's owner may have let run.
func change(all []wanted, programs ...string) ([]postgres.Statement, error) {
	statements := []postgres.Statement{{SQL: queueSQL}, {SQL: lockSQL}, {SQL: patienceSQL, Args: []any{lockWait(len(all))}}}
	var before, heirs []string
	for _, w := range all {
		if w.Before != "" { // A new role has no binding, no session, and nothing yet.
			before, heirs = append(before, w.Before), append(heirs, w.ReassignTo)
		}
	}
	if len(before) > 0 {
		statements = append(statements, readBindings(before...),
			postgres.Statement{SQL: busySQL, Args: []any{append(slices.Clone(before), heirs...)}})
	}
	if all[0].Rehearsal {
		args := pgx.StrictNamedArgs{"names": before, "heirs": heirs}
		statements = append(statements, postgres.Statement{SQL: findBlockedSQL, Args: []any{args}})
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	statements = append(statements, postgres.Statement{SQL: wantedSQL, Args: []any{string(text)}})
	for _, program := range programs {
		statements = append(statements, postgres.Statement{SQL: program})
	}
	return statements, nil
}

// makeRoles makes roles that are new in one transaction, or changes some that keep their names, or one that gets another.
func (s *Store) makeRoles(ctx context.Context, makings []*making) (alone bool) {
	for _, m := range makings {
		m.wanted = wantedOf(m.before, m.role)
	}
	return postgres.ChangeTogether(ctx, s.db, makings, makeStatements, func(rows []roleRow, err error) {
		if postgres.Interrupted(err) {
			rows, _ = postgres.AwaitRead(ctx, func(ctx context.Context) ([]roleRow, error) {
				return postgres.Change[roleRow](ctx, s.db, readRoles(names(makings)...)...)
			})
		}
		for _, m := range makings {
			n := slices.IndexFunc(rows, func(r roleRow) bool {
				return r.Name == m.role.Name && (err == nil || r.ChangeID != nil && *r.ChangeID == m.wanted.ChangeID)
			})
			switch {
			case n >= 0:
				m.made = rows[n].role()
			case err == nil:
				m.err = errors.New("the role vanished while it was being changed")
			default:
				m.err = roleError(m.before, m.role, err)
			}
		}
	})
}

func (s *Store) makeAlone(ctx context.Context, m *making) { s.makeRoles(ctx, []*making{m}) }

func names(makings []*making) (names []string) {
	for _, m := range makings {
		names = append(names, m.role.Name)
	}
	return names
}

func wantedOf(before, role Role) wanted {
	w := wanted{
		Before: before.Name, OID: before.OID, Name: role.Name, Access: role.Access, OrganizationID: role.OrganizationID,
		Groups: role.Groups(), AllGroups: GroupRoles(), GroupsToBecome: groupsToBecome(), ConnectionLimit: role.ConnectionLimit,
		ValidUntil: role.ValidUntil, ChangeID: uuid.NewString(), Locked: role.Locked,
	}
	if role.StatementTimeout != nil {
		milliseconds := role.StatementTimeout.Milliseconds()
		w.StatementTimeout = &milliseconds
	}
	return w
}

// makeStatements returns the statements of [Store.makeRoles].
func makeStatements(makings []*making) ([]postgres.Statement, error) {
	before, names, all := makings[0].before, names(makings), make([]wanted, len(makings))
	for i, m := range makings {
		all[i] = m.wanted
	}
	programs := []string{mappedNameSQL, findMakerSQL, nameRoleSQL, setAttributesSQL}
	if before.Name != "" {
		programs = append([]string{mappedNameSQL}, borrowing(endOwnChangesSQL, nameRoleSQL, setAttributesSQL)...)
	}
	statements, err := change(all, programs...)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	statements = append(statements, postgres.Statement{SQL: connectGroupSQL}, postgres.Statement{SQL: makeConnectGroupSQL})
	if name := names[0]; before.Name != "" && before.Name != name {
		statements = append(statements, postgres.Statement{SQL: unbindSQL, Args: []any{name}, AsOwner: true},
			postgres.Statement{SQL: renameBindingSQL, Args: []any{before.Name, name}, AsOwner: true})
	}
	// PostgreSQL walks the login's memberships once for all changes of role that no change of a membership lies between. Settings are
	// made again after whatever runs with an owner's rights.
	return append(statements,
		postgres.Statement{SQL: bindRolesSQL, Args: []any{string(text)}, AsOwner: true}, readBindings(names...),
		postgres.Statement{SQL: wantedSQL, Args: []any{string(text)}}, postgres.Statement{SQL: connectGroupSQL},
		postgres.Statement{SQL: findGranterSQL}, postgres.Statement{SQL: setMembershipsSQL}, readRoleRows(false, names...)), nil
}

const (
	unbindSQL        = `DELETE FROM brownie.role_bindings WHERE role_name = $1 RETURNING true AS done`
	renameBindingSQL = `UPDATE brownie.role_bindings SET role_name = $2 WHERE role_name = $1`
	// bindRolesSQL binds roles to their tenants.
	bindRolesSQL = `
	INSERT INTO brownie.role_bindings (role_name, organization_id, access, valid_until, change_id)
	SELECT name, organization_id, access, valid_until, change_id FROM pg_catalog.json_to_recordset($1::pg_catalog.json)
		AS w (name pg_catalog.name, organization_id pg_catalog.uuid, access text, valid_until timestamptz, change_id pg_catalog.uuid)
	ON CONFLICT (role_name) DO UPDATE SET organization_id = excluded.organization_id, access = excluded.access,
		valid_until = excluded.valid_until, change_id = excluded.change_id`
)
