// Package access manages who may do what: login roles, the tenant each of them acts for, and the proofs that tenants
// are kept apart and that certificates log in. It knows no Terraform.
//
// Every change is one transaction in one round trip, under one lock per database, and makes the catalog match what is
// wanted, whatever it was before.
package access

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Levels are the values of [Role.Access].
var Levels = []string{"reader", "writer", "admin", "migrator", "monitor", "backup", "pooler"}

// TenantLevels are the values of [Role.Access] that a role of one organization may have.
var TenantLevels = Levels[:3]

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
	OrganizationID   *string    `db:"organization_id"`
	Pooled           bool       `db:"pooled"`
	ConnectionLimit  int32      `db:"connection_limit"`
	StatementTimeout *int64     `db:"statement_timeout"` // in milliseconds
	ValidUntil       *time.Time `db:"valid_until"`
	// Attributes are those of CREATE ROLE that the role has, and PASSWORD and CONNECT; see [Attributes].
	Attributes []string `db:"attributes"`
	// MemberOf are the group roles of the access levels whose rights the role has directly; see [Role.Groups].
	MemberOf []string `db:"member_of"`
}

// Attributes are what [Role.Attributes] of every role should be, in that order.
var Attributes = []string{"CONNECT", "INHERIT", "LOGIN"}

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

// The lists are sorted, for comparison. A role has what it inherits from a membership; one that it would have to
// SET ROLE for does not count.
const rolesSQL = `
	SELECT r.rolname::text AS name, r.oid, coalesce(b.access, '') AS access, b.organization_id,
		r.rolconnlimit AS connection_limit, nullif(r.rolvaliduntil, 'infinity') AS valid_until, (
			SELECT (1000 * extract(epoch FROM (CASE WHEN value ~ '^[0-9]+$' THEN value || 'ms' ELSE value END)::interval))::bigint
			FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) AS setting,
				substr(setting, length('statement_timeout=') + 1) AS value
			WHERE s.setrole = r.oid AND s.setdatabase = 0 AND setting LIKE 'statement\_timeout=%') AS statement_timeout,
		groups.member_of, 'brownie_pooled' = ANY (groups.member_of) AS pooled,
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
			CASE WHEN b.valid_until IS DISTINCT FROM nullif(r.rolvaliduntil, 'infinity') AND b.role_name IS NOT NULL
				THEN 'BOUND UNTIL ' || coalesce(b.valid_until, 'infinity') END
		], NULL) AS attributes,
		pg_catalog.has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'SELECT') AS passwords_visible
	FROM pg_catalog.pg_roles r
	LEFT JOIN brownie.role_bindings b ON b.role_name = r.rolname,
	LATERAL (
		SELECT coalesce(array_agg(DISTINCT g.rolname::text ORDER BY g.rolname::text), '{}') AS member_of
		FROM pg_catalog.pg_auth_members m
		JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
		WHERE m.member = r.oid AND m.inherit_option AND g.rolname = ANY ($2::text[])
	) groups
	WHERE r.rolname = ANY ($1::text[])`

// Only who may read pg_authid, a superuser as a rule, sees that a role has a password.
//
//nolint:gosec // It reads whether there is a password, and holds none.
const passwordsSQL = `SELECT rolname::text AS name FROM pg_catalog.pg_authid WHERE rolpassword IS NOT NULL AND rolname = ANY ($1)`

type roleRow struct {
	Role
	PasswordsVisible bool `db:"passwords_visible"`
}

func (s *Store) loadRoles(ctx context.Context, names []string) (map[string]Role, error) {
	rows, err := postgres.Query[roleRow](ctx, s.db, rolesSQL, names, GroupRoles)
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
		if passwords[row.Name] {
			row.Attributes = append(row.Attributes, "PASSWORD")
			slices.Sort(row.Attributes)
		}
		roles[row.Name] = row.Role
	}
	return roles, nil
}

// Role returns the login role of that name, or [postgres.ErrNotFound].
func (s *Store) Role(ctx context.Context, name string) (Role, error) {
	return s.roles.Get(ctx, name)
}

// CreateRole creates the role, gives it its access and binds it. A role that exists already is a [*DuplicateError].
func (s *Store) CreateRole(ctx context.Context, role Role) (Role, error) {
	return s.makeRole(ctx, "", role)
}

// UpdateRole makes the role that is called before what role says, also where somebody else changed it meanwhile.
// Changing the organization of a role that has sessions is a [*SessionsError].
func (s *Store) UpdateRole(ctx context.Context, before string, role Role) (Role, error) {
	return s.makeRole(ctx, before, role)
}

// All changes of roles of one database take this lock, so that they queue up instead of disturbing each other in the
// catalogs. The number means nothing.
const lockSQL = `SELECT pg_catalog.pg_advisory_xact_lock(5031202603)`

// PostgreSQL's utility statements take no parameters, and a DO block takes none either: this is how they get there.
const wantedSQL = `SELECT pg_catalog.set_config('brownie.wanted', $1, true)`

func (s *Store) makeRole(ctx context.Context, before string, role Role) (Role, error) {
	wanted, err := json.Marshal(map[string]any{
		"before": before, "name": role.Name, "access": role.Access, "organization_id": role.OrganizationID, "groups": role.Groups(), "all_groups": GroupRoles,
		"connection_limit": role.ConnectionLimit, "statement_timeout": role.StatementTimeout, "valid_until": role.ValidUntil,
	})
	if err != nil {
		return Role{}, err
	}
	rows, err := postgres.Change[roleRow](ctx, s.db, postgres.Statement{SQL: lockSQL},
		postgres.Statement{SQL: wantedSQL, Args: []any{string(wanted)}},
		postgres.Statement{SQL: makeRoleSQL},
		postgres.Statement{SQL: rolesSQL, Args: []any{[]string{role.Name}, GroupRoles}})
	if postgres.Interrupted(err) {
		made, readErr := postgres.AwaitRead(ctx, func(ctx context.Context) (Role, error) { return s.Role(ctx, role.Name) })
		if readErr == nil && made.isAsWanted(role) {
			return made, nil
		}
	}
	if err != nil {
		return Role{}, roleError(before, role, err)
	}
	if len(rows) == 0 {
		return Role{}, errors.New("the role vanished while it was being changed")
	}
	return rows[0].Role, nil
}

// isAsWanted tells, after a broken connection, whether a change was committed.
func (r Role) isAsWanted(wanted Role) bool {
	return r.Access == wanted.Access && slices.Equal(r.MemberOf, wanted.Groups()) && slices.Equal(r.Attributes, Attributes) &&
		r.ConnectionLimit == wanted.ConnectionLimit && equal(r.OrganizationID, wanted.OrganizationID)
}

func equal[T comparable](a, b *T) bool {
	return (a == nil) == (b == nil) && (a == nil || *a == *b)
}

// makeRoleSQL makes the catalog match. Memberships in other roles, and whatever else was granted by others, stay.
const makeRoleSQL = `
DO $$
DECLARE
	wanted jsonb := current_setting('brownie.wanted');
	role name := wanted->>'name';
	before name := nullif(wanted->>'before', '');
	bound brownie.role_bindings;
	found pg_catalog.pg_roles;
	member record;
	existing name;
BEGIN
	IF before IS DISTINCT FROM role THEN
		SELECT rolname INTO existing FROM pg_catalog.pg_roles
		WHERE lower(rolname) = lower(role) AND rolname IS DISTINCT FROM before ORDER BY rolname = role DESC LIMIT 1;
		IF existing IS NOT NULL THEN
			RAISE EXCEPTION 'role % exists', existing USING CONSTRAINT = 'role_exists ' || existing;
		END IF;
	END IF;
	IF before IS NULL THEN
		EXECUTE format('CREATE ROLE %I LOGIN', role);
	ELSE
		SELECT * INTO found FROM pg_catalog.pg_roles WHERE rolname = before;
		SELECT * INTO bound FROM brownie.role_bindings WHERE role_name = before;
		IF found.oid IS NULL THEN
			RAISE EXCEPTION 'role % does not exist', before USING CONSTRAINT = 'role_missing';
		ELSIF before = session_user AND (found.rolsuper OR found.rolcreaterole) THEN
			RAISE EXCEPTION 'role % is the one that makes this change', before USING CONSTRAINT = 'role_is_own';
		ELSIF bound.role_name IS NOT NULL AND bound.organization_id IS DISTINCT FROM (wanted->>'organization_id')::uuid
			AND EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE usesysid = found.oid) THEN
			RAISE EXCEPTION 'role % has sessions', before USING CONSTRAINT = 'role_has_sessions';
		END IF;
		IF before <> role THEN
			EXECUTE format('ALTER ROLE %I RENAME TO %I', before, role);
			DELETE FROM brownie.role_bindings WHERE role_name = role;
			UPDATE brownie.role_bindings SET role_name = role WHERE role_name = before;
		END IF;
	END IF;

	-- Naming one of these attributes at all takes a superuser, so they are named only when there is something to take away.
	EXECUTE format('ALTER ROLE %I LOGIN INHERIT PASSWORD NULL CONNECTION LIMIT %s VALID UNTIL %L', role,
		(wanted->>'connection_limit')::integer, coalesce(wanted->>'valid_until', 'infinity'));
	IF found.rolsuper THEN EXECUTE format('ALTER ROLE %I NOSUPERUSER', role); END IF;
	IF found.rolbypassrls THEN EXECUTE format('ALTER ROLE %I NOBYPASSRLS', role); END IF;
	IF found.rolreplication THEN EXECUTE format('ALTER ROLE %I NOREPLICATION', role); END IF;
	IF found.rolcreaterole THEN EXECUTE format('ALTER ROLE %I NOCREATEROLE', role); END IF;
	IF found.rolcreatedb THEN EXECUTE format('ALTER ROLE %I NOCREATEDB', role); END IF;
	IF wanted->>'statement_timeout' IS NOT NULL THEN
		EXECUTE format('ALTER ROLE %I SET statement_timeout = %L', role, wanted->>'statement_timeout');
	ELSIF before IS NOT NULL THEN
		EXECUTE format('ALTER ROLE %I RESET statement_timeout', role);
	END IF;

	FOR member IN
		SELECT g.name AS group_name, wanted->'groups' ? g.name AS is_wanted, grantor.rolname AS grantor, m.inherit_option
		FROM jsonb_array_elements_text(wanted->'all_groups') AS g (name)
		LEFT JOIN (pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles grantor ON grantor.oid = m.grantor)
			ON m.roleid = g.name::regrole AND m.member = role::text::regrole
	LOOP
		IF NOT member.is_wanted AND member.grantor IS NOT NULL THEN
			EXECUTE format('REVOKE %I FROM %I GRANTED BY %I', member.group_name, role, member.grantor);
		ELSIF member.is_wanted AND member.inherit_option IS NOT TRUE THEN
			-- Only migrators need to become their group: what they make shall belong to all of them.
			EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE, SET %s', member.group_name, role,
				(member.group_name = 'brownie_migrator')::text);
		END IF;
	END LOOP;

	IF NOT EXISTS (
		SELECT FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) acl
		WHERE d.datname = current_database() AND acl.grantee = role::text::regrole AND acl.privilege_type = 'CONNECT')
	THEN
		EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
	END IF;
	INSERT INTO brownie.role_bindings AS b (role_name, organization_id, access, valid_until)
	VALUES (role, (wanted->>'organization_id')::uuid, wanted->>'access', (wanted->>'valid_until')::timestamptz)
	ON CONFLICT (role_name) DO UPDATE SET
		organization_id = excluded.organization_id, access = excluded.access, valid_until = excluded.valid_until
	WHERE (b.organization_id, b.access, b.valid_until)
		IS DISTINCT FROM (excluded.organization_id, excluded.access, excluded.valid_until);
END
$$`
