// Package access manages who may do what: login roles, the tenant each of them acts for, and the proofs that tenants
// are kept apart and that certificates log in. It knows no Terraform.
//
// Every change is made under one lock per database and makes the catalog match what is wanted, whatever it was before.
package access

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/patience"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Role is a PostgreSQL login role that authenticates with a client certificate whose common name is the role's name.
type Role struct {
	Name string `db:"name"`
	OID  uint32 `db:"oid"`
	// Access is the name of one of [Levels], or empty when the role is not bound in this database.
	Access string `db:"access"`
	// OrganizationID is nil for a role that acts for all tenants.
	OrganizationID  *string `db:"organization_id"`
	Pooled          bool    `db:"pooled"`
	ConnectionLimit int32   `db:"connection_limit"`
	// StatementTimeout is what new sessions of the role begin with; nil means the server's own.
	StatementTimeout *time.Duration `db:"-"`
	ValidUntil       *time.Time     `db:"valid_until"`
	// Locked means that the role cannot log in and has no session.
	Locked bool `db:"locked"`
	// Attributes are those of CREATE ROLE that the role has, and what else is remarkable; see [Role.WantedAttributes].
	Attributes []string `db:"attributes"`
	// MemberOf are the group roles of the access levels that the role belongs to directly; see [Role.Groups].
	MemberOf []string `db:"member_of"`
}

// WantedAttributes are what [Role.Attributes] should be, in that order. Others that it may hold are the rest of CREATE
// ROLE's, PASSWORD, "VALID UNTIL DIFFERS" when the binding ends at another time than the role's validity, and the options of
// memberships that are not as they should be, such as "brownie_reader WITH ADMIN".
func (r Role) WantedAttributes() []string {
	if r.Locked {
		return []string{"CONNECT", "INHERIT"}
	}
	return []string{"CONNECT", "INHERIT", "LOGIN"}
}

// Store reads and changes roles and their bindings in one database.
type Store struct {
	// Patience is for a name that another role still has.
	Patience patience.Patience

	db        *postgres.DB
	roles     postgres.Loader[Role]
	logins    postgres.Loader[bool]
	refusals  postgres.Loader[refusal]
	obstacles postgres.Loader[obstacles]
	manager   func() (manager, error)

	creations postgres.Merger[*making]
	changes   postgres.Merger[*making]
	drops     postgres.Merger[*dropping]
	endings   postgres.Merger[*ending]
}

// New returns a Store. It does not connect.
func New(db *postgres.DB) *Store {
	s := &Store{db: db}
	s.manager = sync.OnceValues(s.askManager)
	s.roles.Init(db.InFlight(), s.loadRoles)
	s.logins.Init(db.InFlight(), s.loadLogins)
	s.refusals.Init(db.InFlight(), s.loadRefusals)
	s.obstacles.Init(db.InFlight(), s.loadObstacles)
	s.creations.Init(db, s.makeRoles)
	s.changes.Init(db, s.makeRoles)
	s.drops.Init(db, s.rehearseDrops)
	s.endings.Init(db, s.endAllSessions)
	return s
}

const loginRolesSQL = `SELECT rolname::text AS name FROM pg_catalog.pg_roles WHERE rolcanlogin AND rolname = ANY ($1::name[])`

// CanLogIn tells whether there is a role of that name in the cluster that may log in.
func (s *Store) CanLogIn(ctx context.Context, name string) (bool, error) {
	_, err := s.logins.Get(ctx, name)
	if errors.Is(err, postgres.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (s *Store) loadLogins(ctx context.Context, names []string) (map[string]bool, error) {
	rows, err := postgres.Query[struct{ Name string }](ctx, s.db, loginRolesSQL, names)
	found := make(map[string]bool, len(rows))
	for _, row := range rows {
		found[row.Name] = true
	}
	return found, err
}

// Role returns the login role of that name, or [postgres.ErrNotFound].
func (s *Store) Role(ctx context.Context, name string) (Role, error) {
	return s.roles.Get(ctx, name)
}

// What a table of others says is read with its owner's rights, for the statements that follow.
const bindingsSQL = `
	SELECT role_name, organization_id, access, change_id, valid_until FROM brownie.role_bindings WHERE role_name = ANY ($1::name[])`

func readBindings(names ...string) postgres.Statement {
	return postgres.Statement{SQL: bindingsSQL, Args: []any{names}, AsOwner: true, Fewest: len(names)}
}

// Only who may read pg_authid, a superuser as a rule, sees that a role has a password.
//
//nolint:gosec // It reads whether there is a password, and holds none.
const passwordsSQL = `SELECT rolname::text AS name FROM pg_catalog.pg_authid WHERE rolpassword IS NOT NULL AND rolname = ANY ($1::text[])`

type roleRow struct {
	Role
	TimeoutSetting   *string `db:"statement_timeout"`
	ChangeID         *string `db:"change_id"`
	PasswordsVisible bool    `db:"passwords_visible"`
}

func (r roleRow) role() Role {
	if r.TimeoutSetting != nil {
		timeout := parseTimeout(*r.TimeoutSetting)
		r.StatementTimeout = &timeout
	}
	return r.Role
}

// connectGroupSQL names the group role whose members may connect to the database, for the statements that follow. It is named
// after the database, so that several of one cluster stay apart; a migration names it the same way.
const connectGroupSQL = `
	SELECT pg_catalog.set_config('brownie.connect_group', '` + connectGroupPrefix + `' ||
		CASE WHEN pg_catalog.octet_length(d.datname) <= 47 THEN d.datname ELSE pg_catalog.md5(d.datname) END, true)
	FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()`

// readRoles returns the statements that read roles.
func readRoles(names ...string) []postgres.Statement {
	return []postgres.Statement{readBindings(names...), {SQL: connectGroupSQL}, readRoleRows(true, names...)}
}

// readRoleRows reads roles after their bindings. Whether passwords are visible takes a walk of all memberships to find out.
func readRoleRows(askPasswords bool, names ...string) postgres.Statement {
	return postgres.Statement{SQL: readRolesSQL, Args: []any{pgx.StrictNamedArgs{
		"names": names, "groups": GroupRoles(), "groups_to_become": groupsToBecome(), "ask_passwords": askPasswords,
	}}}
}

func (s *Store) loadRoles(ctx context.Context, names []string) (map[string]Role, error) {
	rows, err := postgres.Change[roleRow](ctx, s.db, readRoles(names...)...)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	passwords := map[string]bool{}
	if rows[0].PasswordsVisible {
		owners, err := postgres.Query[struct{ Name string }](ctx, s.db, passwordsSQL, names)
		if err != nil {
			return nil, err
		}
		for _, owner := range owners {
			passwords[owner.Name] = true
		}
	}
	roles := make(map[string]Role, len(rows))
	for _, row := range rows {
		role := row.role()
		if passwords[role.Name] {
			role.Attributes = append(role.Attributes, "PASSWORD")
			slices.Sort(role.Attributes)
		}
		roles[role.Name] = role
	}
	return roles, nil
}

const sessionsSQL = `SELECT count(*) AS count FROM pg_catalog.pg_stat_activity WHERE usename = $1`

// Sessions counts the open sessions of a role, in all databases.
func (s *Store) Sessions(ctx context.Context, name string) (int64, error) {
	row, err := postgres.QueryOne[struct{ Count int64 }](ctx, s.db, sessionsSQL, name)
	return row.Count, err
}
