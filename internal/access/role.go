// Package access manages who may do what: login roles, the tenant each of them acts for, and the proofs that tenants
// are kept apart and that certificates log in. It knows no Terraform.
//
// Every change is made under one lock per database and makes the catalog match what is wanted, whatever it was before.
package access

import (
	"context"
	"slices"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Levels are the values of [Role.Access].
var Levels = []string{"reader", "writer", "admin", "migrator", "monitor", "backup", "pooler"}

// TenantLevels are the values of [Role.Access] that a role of one organization may have.
var TenantLevels = Levels[:3]

// TenantConnections is how many connections the role of one organization may have unless more are asked for, so that no
// tenant takes all that the server has.
const TenantConnections = 20

// DefaultConnectionLimit is [Role.ConnectionLimit] of a role for which none is asked for.
func DefaultConnectionLimit(ofOneOrganization bool) int32 {
	if ofOneOrganization {
		return TenantConnections
	}
	return -1
}

// DirectLevels are the values of [Role.Access] that use the pooler only when it is asked for: they need a session of
// their own, or more rights than should be reached through it.
var DirectLevels = []string{"migrator", "monitor", "backup", "pooler"}

// PooledByDefault is [Role.Pooled] of a role for which nothing is asked for.
func PooledByDefault(level string) bool { return !slices.Contains(DirectLevels, level) }

// GroupRoles are the roles that carry the rights of the access levels; a migration makes them.
var GroupRoles = []string{
	"brownie_reader", "brownie_writer", "brownie_admin", "brownie_all_tenants", "brownie_migrator", "brownie_monitor",
	"brownie_backup", "brownie_pooler", "brownie_pooled",
}

// Role is a PostgreSQL login role that authenticates with a client certificate whose common name is the role's name.
type Role struct {
	Name string `db:"name"`
	OID  uint32 `db:"oid"`
	// Access is one of [Levels], or empty when the role is not bound in this database.
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

// Groups are what [Role.MemberOf] should be, in alphabetical order.
func (r Role) Groups() []string {
	groups := []string{"brownie_" + r.Access}
	if r.OrganizationID == nil && slices.Contains([]string{"reader", "writer", "admin", "backup"}, r.Access) {
		groups = append(groups, "brownie_all_tenants")
	}
	if r.Pooled {
		groups = append(groups, "brownie_pooled")
	}
	slices.Sort(groups)
	return groups
}

// Store reads and changes roles and their bindings in one database.
type Store struct {
	db    *postgres.DB
	roles postgres.Loader[Role]
}

// New returns a Store. It does not connect.
func New(db *postgres.DB) *Store {
	s := &Store{db: db}
	s.roles.Load = s.loadRoles
	return s
}

const loginRolesSQL = `SELECT rolname::text AS name FROM pg_catalog.pg_roles WHERE rolcanlogin`

// LoginRoles returns the names of all roles of the cluster that may log in.
func (s *Store) LoginRoles(ctx context.Context) ([]string, error) {
	rows, err := postgres.Query[struct{ Name string }](ctx, s.db, loginRolesSQL)
	names := make([]string, len(rows))
	for i, row := range rows {
		names[i] = row.Name
	}
	return names, err
}

// Role returns the login role of that name, or [postgres.ErrNotFound].
func (s *Store) Role(ctx context.Context, name string) (Role, error) {
	return s.roles.Get(ctx, name)
}

// What a table of others says is read with its owner's rights, for the statements that follow.
const bindingsSQL = `
	SELECT role_name, organization_id, access, change_id, valid_until FROM brownie.role_bindings WHERE role_name = ANY ($1::name[])`

const bindings = `json_to_recordset(` + postgres.RowsOfOwnerSQL + `) AS b
	(role_name name, organization_id uuid, access text, change_id uuid, valid_until timestamptz)`

func readBindings(names ...string) postgres.Statement {
	return postgres.Statement{SQL: bindingsSQL, Args: []any{names}, AsOwner: true}
}

// The lists are sorted, for comparison. A setting of the role in this database wins over one in all databases. Times
// that no calendar holds are brought into its range. $1 are the names, $2 the group roles; bindingsSQL runs before.
const rolesSQL = `
	SELECT r.rolname::text AS name, r.oid, coalesce(b.access, '') AS access, b.organization_id, b.change_id::text,
		r.rolconnlimit AS connection_limit, CASE WHEN nullif(r.rolvaliduntil, 'infinity') IS NOT NULL THEN
			least(greatest(r.rolvaliduntil, '0001-01-01 00:00:00Z'), '9999-12-31 23:59:59Z') END AS valid_until, (
			SELECT substr(setting, length('statement_timeout=') + 1)
			FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) AS setting
			WHERE s.setrole = r.oid AND setting LIKE 'statement\_timeout=%'
				AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
			ORDER BY s.setdatabase DESC LIMIT 1) AS statement_timeout,
		groups.member_of, 'brownie_pooled' = ANY (groups.member_of) AS pooled,
		NOT r.rolcanlogin AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.usesysid = r.oid) AS locked,
		array_remove(ARRAY[
			CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
			CASE WHEN EXISTS (
				SELECT FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) acl
				WHERE d.datname = current_database() AND acl.grantee = r.oid AND acl.privilege_type = 'CONNECT') THEN 'CONNECT' END,
			CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
			CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
			CASE WHEN r.rolinherit THEN 'INHERIT' END,
			CASE WHEN r.rolcanlogin THEN 'LOGIN' END,
			CASE WHEN r.rolreplication THEN 'REPLICATION' END,
			CASE WHEN r.rolsuper THEN 'SUPERUSER' END,
			CASE WHEN b.role_name IS NOT NULL AND b.valid_until IS DISTINCT FROM nullif(r.rolvaliduntil, 'infinity')
				THEN 'VALID UNTIL DIFFERS' END
		], NULL) || groups.odd_options AS attributes,
		pg_catalog.has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'SELECT') AS passwords_visible
	FROM pg_catalog.pg_roles r
	LEFT JOIN ` + bindings + ` ON b.role_name = r.rolname,
	LATERAL (
		SELECT coalesce(array_agg(m.name ORDER BY m.name), '{}') AS member_of,
			coalesce(array_agg(m.name || ' WITH ' || m.odd ORDER BY m.name) FILTER (WHERE m.odd <> ''), '{}') AS odd_options
		FROM (
			SELECT g.rolname::text AS name, concat_ws(' AND ', CASE WHEN bool_or(m.admin_option) THEN 'ADMIN' END,
				CASE WHEN NOT bool_and(m.inherit_option) THEN 'NOINHERIT' END,
				CASE WHEN bool_or(m.set_option) AND g.rolname <> 'brownie_migrator' THEN 'SET' END) AS odd
			FROM pg_catalog.pg_auth_members m
			JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
			WHERE m.member = r.oid AND g.rolname = ANY ($2::text[])
			GROUP BY g.rolname
		) m
	) groups
	WHERE r.rolname = ANY ($1::text[])`

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

// readRoles returns the statements that read roles.
func readRoles(names ...string) []postgres.Statement {
	return []postgres.Statement{readBindings(names...), {SQL: rolesSQL, Args: []any{names, GroupRoles}}}
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
