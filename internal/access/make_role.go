package access

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// CreateRole creates the role, gives it its access and binds it. A role that exists already is a [*DuplicateError].
func (s *Store) CreateRole(ctx context.Context, role Role) (Role, error) {
	return s.makeRole(ctx, Role{}, role)
}

// UpdateRole makes the role before what role says, also where somebody else changed it meanwhile. That another role has
// taken its name is a [*ReplacedError], and changing the organization of a role with sessions a [*SessionsError].
func (s *Store) UpdateRole(ctx context.Context, before, role Role) (Role, error) {
	return s.makeRole(ctx, before, role)
}

// wanted is what the statements of a change read: PostgreSQL's utility statements take no parameters, and a DO block
// takes none either.
type wanted struct {
	Before           string     `json:"before"`
	OID              uint32     `json:"oid"`
	Name             string     `json:"name"`
	Access           string     `json:"access"`
	OrganizationID   *string    `json:"organization_id"`
	Groups           []string   `json:"groups"`
	AllGroups        []string   `json:"all_groups"`
	ConnectionLimit  int32      `json:"connection_limit"`
	StatementTimeout *int64     `json:"statement_timeout"`
	ValidUntil       *time.Time `json:"valid_until"`
	ReassignTo       string     `json:"reassign_to"`
	ChangeID         string     `json:"change_id"`
	Locked           bool       `json:"locked"`
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

// endOwnChangesSQL ends sessions of the role that are in the middle of changing the role itself, as everybody may to some
// degree (ALTER ROLE CURRENT_USER SET …): an open transaction of that kind would keep it from being changed or dropped.
// Where such sessions belong to another role, its right to end them is borrowed.
const endOwnChangesSQL = `
DO $$
DECLARE
	wanted jsonb := current_setting('brownie.wanted');
	role name := wanted->>'before';
	role_oid oid := (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = wanted->>'before');
	pids integer[] := ARRAY(
		SELECT DISTINCT a.pid FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_locks l ON l.pid = a.pid
		WHERE a.usesysid = role_oid AND a.usesysid <> session_user::regrole AND l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.relation IN
			('pg_catalog.pg_authid'::regclass, 'pg_catalog.pg_auth_members'::regclass, 'pg_catalog.pg_db_role_setting'::regclass));
	borrows boolean := pids <> '{}' AND NOT pg_catalog.pg_has_role(role_oid, 'USAGE');
BEGIN
	IF borrows THEN
		EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE', role, current_user);
	END IF;
	PERFORM pg_catalog.pg_terminate_backend(pid, 5000) FROM unnest(pids) AS pid;
	IF borrows THEN
		EXECUTE format('REVOKE %I FROM %I GRANTED BY %2$I', role, current_user);
	END IF;
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = format(
		'Whoever made role %1$I, or a superuser, can allow it: GRANT %1$I TO %2$I WITH ADMIN OPTION', role, current_user);
END
$$`

// change returns the statements of one change of a role. What they read of its binding, and what they are to do, comes after
// whatever the table's owner may have let run.
func (w wanted) change(changes ...postgres.Statement) ([]postgres.Statement, error) {
	text, err := json.Marshal(w)
	return append([]postgres.Statement{
		{SQL: queueSQL}, {SQL: lockSQL}, {SQL: patienceSQL}, readBindings(w.Before), {SQL: wantedSQL, Args: []any{string(text)}},
	}, changes...), err
}

func (s *Store) makeRole(ctx context.Context, before, role Role) (Role, error) {
	w := wanted{
		Before: before.Name, OID: before.OID, Name: role.Name, Access: role.Access, OrganizationID: role.OrganizationID,
		Groups: role.Groups(), AllGroups: GroupRoles, ConnectionLimit: role.ConnectionLimit, ValidUntil: role.ValidUntil, ChangeID: uuid.NewString(),
		Locked: role.Locked,
	}
	if role.StatementTimeout != nil {
		milliseconds := role.StatementTimeout.Milliseconds()
		w.StatementTimeout = &milliseconds
	}
	read := readRoles(role.Name)
	var changes []postgres.Statement
	for _, sql := range []string{mappedNameSQL, endOwnChangesSQL, nameRoleSQL, setAttributesSQL, setMembershipsSQL, letConnectSQL} {
		changes = append(changes, postgres.Statement{SQL: sql})
	}
	statements, err := w.change(changes...)
	if err != nil {
		return Role{}, err
	}
	if before.Name != "" && before.Name != role.Name {
		statements = append(statements, postgres.Statement{SQL: unbindSQL, Args: []any{role.Name}, AsOwner: true},
			postgres.Statement{SQL: renameBindingSQL, Args: []any{before.Name, role.Name}, AsOwner: true})
	}
	statements = append(statements, postgres.Statement{
		SQL: bindRoleSQL, Args: []any{role.Name, role.OrganizationID, role.Access, role.ValidUntil, w.ChangeID}, AsOwner: true,
	})
	rows, err := postgres.Change[roleRow](ctx, s.db, append(statements, read...)...)
	if postgres.Interrupted(err) {
		made, readErr := postgres.AwaitRead(ctx, func(ctx context.Context) ([]roleRow, error) {
			return postgres.Change[roleRow](ctx, s.db, read...)
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

// nameRoleSQL creates or renames the role.
const nameRoleSQL = `
DO $$
DECLARE
	wanted jsonb := current_setting('brownie.wanted');
	role name := wanted->>'name';
	before name := nullif(wanted->>'before', '');
	found pg_catalog.pg_roles;
	bound record;
	existing name;
BEGIN
	SELECT * INTO found FROM pg_catalog.pg_roles WHERE rolname = before;
	SELECT * INTO bound FROM ` + bindings + ` WHERE role_name = before;
	IF before IS NOT NULL AND found.oid IS NULL THEN
		RAISE EXCEPTION 'role % does not exist', before USING CONSTRAINT = 'role_missing';
	ELSIF (wanted->>'oid')::oid NOT IN (0, found.oid) THEN
		RAISE EXCEPTION 'role % is another one now', before USING CONSTRAINT = 'role_replaced';
	ELSIF before = session_user AND (found.rolsuper OR found.rolcreaterole OR (wanted->>'locked')::boolean) THEN
		RAISE EXCEPTION 'role % is the one that makes this change', before USING CONSTRAINT = 'role_is_own';
	ELSIF bound.role_name IS NOT NULL AND bound.organization_id IS DISTINCT FROM (wanted->>'organization_id')::uuid
		AND EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE usesysid = found.oid) THEN
		RAISE EXCEPTION 'role % has sessions', before USING CONSTRAINT = 'role_has_sessions';
	END IF;
	IF before IS DISTINCT FROM role THEN
		SELECT rolname INTO existing FROM pg_catalog.pg_roles
		WHERE lower(rolname) = lower(role) AND rolname IS DISTINCT FROM before ORDER BY rolname = role DESC LIMIT 1;
		IF existing IS NOT NULL THEN
			RAISE EXCEPTION 'role % exists', existing USING CONSTRAINT = 'role_exists ' || existing;
		END IF;
	END IF;
	IF before IS NULL THEN
		EXECUTE format('CREATE ROLE %I LOGIN', role);
	ELSIF before <> role THEN
		EXECUTE format('ALTER ROLE %I RENAME TO %I', before, role);
	END IF;
EXCEPTION
	WHEN insufficient_privilege THEN
		RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = CASE WHEN before IS NULL
			THEN format('As an administrator: ALTER ROLE %I CREATEROLE', current_user)
			ELSE format('Whoever made role %1$I, or a superuser, can allow it: GRANT %1$I TO %2$I WITH ADMIN OPTION', before, current_user) END;
	-- Another database of the cluster made it at the same moment.
	WHEN unique_violation OR duplicate_object THEN
		RAISE EXCEPTION 'role % exists', role USING CONSTRAINT = 'role_exists ' || role;
END
$$`

// setAttributesSQL takes away what a role must not have. Naming one of those attributes at all takes a superuser, so
// they are named only when there is something to take away.
const setAttributesSQL = `
DO $$
DECLARE
	wanted jsonb := current_setting('brownie.wanted');
	role name := wanted->>'name';
	found pg_catalog.pg_roles;
	setting record;
BEGIN
	SELECT * INTO found FROM pg_catalog.pg_roles WHERE rolname = role;
	EXECUTE format('ALTER ROLE %I %s INHERIT PASSWORD NULL CONNECTION LIMIT %s VALID UNTIL %L', role,
		CASE WHEN (wanted->>'locked')::boolean THEN 'NOLOGIN' ELSE 'LOGIN' END, (wanted->>'connection_limit')::integer, coalesce(wanted->>'valid_until', 'infinity'));
	IF found.rolsuper THEN EXECUTE format('ALTER ROLE %I NOSUPERUSER', role); END IF;
	IF found.rolbypassrls THEN EXECUTE format('ALTER ROLE %I NOBYPASSRLS', role); END IF;
	IF found.rolreplication THEN EXECUTE format('ALTER ROLE %I NOREPLICATION', role); END IF;
	IF found.rolcreaterole THEN EXECUTE format('ALTER ROLE %I NOCREATEROLE', role); END IF;
	IF found.rolcreatedb THEN EXECUTE format('ALTER ROLE %I NOCREATEDB', role); END IF;
	FOR setting IN
		SELECT CASE s.setdatabase WHEN 0 THEN '' ELSE format('IN DATABASE %I', current_database()) END AS place
		FROM pg_catalog.pg_db_role_setting s
		WHERE s.setrole = found.oid AND array_to_string(s.setconfig, ',') LIKE '%statement\_timeout=%'
			AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
	LOOP
		EXECUTE format('ALTER ROLE %I %s RESET statement_timeout', role, setting.place);
	END LOOP;
	IF wanted->>'statement_timeout' IS NOT NULL THEN
		EXECUTE format('ALTER ROLE %I SET statement_timeout = %L', role, wanted->>'statement_timeout');
	END IF;
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = format(
		'Whoever made role %1$I, or a superuser, can allow it: GRANT %1$I TO %2$I WITH ADMIN OPTION. Attributes such as SUPERUSER '
		'and BYPASSRLS only a superuser can take away', role, current_user);
END
$$`

// setMembershipsSQL gives the role its group roles, and no other one of those. Memberships in other roles stay, whoever
// granted them. Only migrators need to become their group: what they make shall belong to all of them.
const setMembershipsSQL = `
DO $$
DECLARE
	wanted jsonb := current_setting('brownie.wanted');
	role name := wanted->>'name';
	role_oid oid := (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = role);
	group_role record;
	member record;
BEGIN
	FOR group_role IN
		SELECT g.name, wanted->'groups' ? g.name AS is_wanted, g.name = 'brownie_migrator' AS may_set, r.oid
		FROM jsonb_array_elements_text(wanted->'all_groups') AS g (name) LEFT JOIN pg_catalog.pg_roles r ON r.rolname = g.name
	LOOP
		IF group_role.oid IS NULL THEN
			RAISE EXCEPTION 'the group role % is missing in this cluster', group_role.name USING CONSTRAINT = 'role_right',
				HINT = 'The database was restored without its roles: restore those first (pg_dumpall --roles-only), and then the database again';
		END IF;
		FOR member IN
			SELECT grantor.rolname AS grantor FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles grantor ON grantor.oid = m.grantor
			WHERE m.roleid = group_role.oid AND m.member = role_oid AND (NOT group_role.is_wanted OR m.admin_option
				OR NOT m.inherit_option OR m.set_option <> group_role.may_set)
		LOOP
			EXECUTE format('REVOKE %I FROM %I GRANTED BY %I CASCADE', group_role.name, role, member.grantor);
		END LOOP;
		IF group_role.is_wanted AND NOT EXISTS (
			SELECT FROM pg_catalog.pg_auth_members m WHERE m.roleid = group_role.oid AND m.member = role_oid)
		THEN
			EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE, SET %s', group_role.name, role, group_role.may_set::text);
		END IF;
	END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = format(
		'Whoever made the group role %1$I, or a superuser, can allow it: GRANT %1$I TO %2$I WITH ADMIN OPTION. A membership that '
		'a superuser granted, a superuser must revoke', group_role.name, current_user);
END
$$`

// letConnectSQL lets the role connect. Without the right, GRANT only warns.
const letConnectSQL = `
DO $$
DECLARE
	wanted jsonb := current_setting('brownie.wanted');
	role name := wanted->>'name';
	role_oid oid := (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = role);
BEGIN
	IF NOT EXISTS (
		SELECT FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) acl
		WHERE d.datname = current_database() AND acl.grantee = role_oid AND acl.privilege_type = 'CONNECT')
	THEN
		IF NOT has_database_privilege(current_database(), 'CONNECT WITH GRANT OPTION') THEN
			RAISE EXCEPTION 'role % may not let others connect to database %', current_user, current_database() USING CONSTRAINT = 'role_right',
				HINT = format('The database''s owner can allow it: GRANT CONNECT ON DATABASE %I TO %I WITH GRANT OPTION', current_database(), current_user);
		END IF;
		EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
	END IF;
END
$$`

const (
	unbindSQL        = `DELETE FROM brownie.role_bindings WHERE role_name = $1 RETURNING true AS done`
	renameBindingSQL = `UPDATE brownie.role_bindings SET role_name = $2 WHERE role_name = $1`
	// bindRoleSQL binds the role to its tenant.
	bindRoleSQL = `
	INSERT INTO brownie.role_bindings (role_name, organization_id, access, valid_until, change_id) VALUES ($1, $2, $3, $4, $5)
	ON CONFLICT (role_name) DO UPDATE SET organization_id = excluded.organization_id, access = excluded.access,
		valid_until = excluded.valid_until, change_id = excluded.change_id`
)
