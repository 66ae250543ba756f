package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Blocker is what keeps a role from being dropped.
type Blocker struct {
	Object string `db:"object"`
	Remedy string `db:"remedy"`
}

// Blocked are: what the role owns here, unless there is an heir; anything that depends on it in another database of the
// cluster, where this connection cannot look or change, and the right to connect to one, which says that the role is in use
// there; memberships that it granted to others, which would go with it; its prepared transactions; and an heir that does
// not exist. Temporary tables are left out, because they go away with sessions, and so are default privileges.
const blockersSQL = `
	WITH role AS (SELECT oid, rolname, format('%I', rolname) AS name FROM pg_catalog.pg_roles WHERE rolname = $1),
	here AS (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
	SELECT regexp_replace(pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid), '\mpublic\.', '', 'g') AS object,
		'To give what it owns to another role, set reassign_owned_to to that role''s name, apply, and destroy then.' AS remedy
	FROM role JOIN pg_catalog.pg_shdepend d ON d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.refobjid = role.oid
	WHERE $2 = '' AND d.deptype = 'o' AND d.dbid IN (0, (SELECT oid FROM here)) AND d.classid <> 'pg_catalog.pg_default_acl'::regclass
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c
			WHERE d.classid = 'pg_catalog.pg_class'::regclass AND c.oid = d.objid AND c.relpersistence = 't')
	UNION ALL
	SELECT format('%s objects or privileges in database %I', count(*), o.datname),
		format('In database %I, as a superuser: REASSIGN OWNED BY %s TO another_role; DROP OWNED BY %2$s.', o.datname, role.name)
	FROM role JOIN pg_catalog.pg_shdepend d ON d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.refobjid = role.oid
	JOIN pg_catalog.pg_database o ON o.oid = d.dbid
		OR d.dbid = 0 AND d.classid = 'pg_catalog.pg_database'::regclass AND d.objid = o.oid AND d.deptype = 'a'
	WHERE o.datname <> current_database()
	GROUP BY o.datname, role.name
	UNION ALL
	SELECT format('membership of role %I in role %I, which it granted', member.rolname, g.rolname),
		format('Let another role grant it instead: REVOKE %1$I FROM %2$I GRANTED BY %3$s; GRANT %1$I TO %2$I.', g.rolname, member.rolname, role.name)
	FROM role JOIN pg_catalog.pg_auth_members m ON m.grantor = role.oid
	JOIN pg_catalog.pg_roles member ON member.oid = m.member JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
	WHERE m.member <> role.oid
	UNION ALL
	SELECT format('prepared transaction %L in database %I', x.gid, x.database), 'COMMIT PREPARED or ROLLBACK PREPARED it.'
	FROM role JOIN pg_catalog.pg_prepared_xacts x ON x.owner = role.rolname
	UNION ALL
	SELECT format('there is no role %I, which is to get what it owns', $2::name), 'Correct reassign_owned_to, apply, and destroy then.'
	FROM role WHERE $2 <> '' AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $2)
	ORDER BY 1, 2`

// Blockers returns what keeps the role from being dropped, when what it owns goes to the role reassignTo, or to nobody
// if that is empty.
func (s *Store) Blockers(ctx context.Context, name, reassignTo string) ([]Blocker, error) {
	return postgres.Query[Blocker](ctx, s.db, blockersSQL, name, reassignTo)
}

// DropRole ends the role's sessions, gives what it owns to the role reassignTo, revokes its privileges and drops it.
// What cannot be given away is a [*BlockedError], before anything is changed. A role that does not exist is no error.
//
// It takes two transactions: a client that reconnects by itself is only kept out by a lock-out that is committed. The
// first one rehearses the drop, so that a role which cannot be dropped is not locked out.
func (s *Store) DropRole(ctx context.Context, role Role, reassignTo string) error {
	blockers, err := s.Blockers(ctx, role.Name, reassignTo)
	if err != nil {
		return err
	}
	if len(blockers) > 0 {
		return &BlockedError{Name: role.Name, Blockers: blockers}
	}
	w := wanted{Before: role.Name, OID: role.OID, Name: role.Name, ReassignTo: reassignTo}
	unbind := postgres.Statement{SQL: unbindSQL, Args: []any{role.Name}, AsOwner: true}
	if err = s.run(ctx, w, postgres.Statement{SQL: endOwnChangesSQL}, postgres.Statement{SQL: lockOutSQL}); err == nil {
		if err = s.run(ctx, w, postgres.Statement{SQL: dropRoleSQL}, unbind); err != nil {
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

// run makes one change of a role.
func (s *Store) run(ctx context.Context, w wanted, changes ...postgres.Statement) error {
	statements, err := w.change(changes...)
	if err != nil {
		return err
	}
	_, err = postgres.Change[struct{ Done bool }](ctx, s.db, append(statements, postgres.Statement{SQL: `SELECT true AS done`})...)
	return err
}

const dropDeclarations = `
DECLARE
	wanted jsonb := current_setting('brownie.wanted');
	role name := wanted->>'name';
	heir name := nullif(wanted->>'reassign_to', '');
	role_oid oid := (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = role);
	borrows boolean := heir IS NOT NULL AND NOT pg_catalog.pg_has_role(heir, 'USAGE');
`

// dropStatements drop the role. Without a superuser's rights, ending sessions and giving objects away take those of the
// role itself and of the heir, which are borrowed. DROP OWNED would also drop objects, so that whatever the role may
// still own is given away first.
const dropStatements = `
	IF NOT pg_catalog.pg_has_role(role_oid, 'USAGE') THEN
		EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE', role, current_user);
	END IF;
	IF borrows THEN
		EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE, SET TRUE', heir, current_user);
	END IF;
	IF heir IS NULL AND EXISTS (
		SELECT FROM pg_catalog.pg_shdepend d
		WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.refobjid = role_oid AND d.deptype = 'o'
			AND d.classid <> 'pg_catalog.pg_default_acl'::regclass AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c
				WHERE d.classid = 'pg_catalog.pg_class'::regclass AND c.oid = d.objid AND c.relpersistence = 't'))
	THEN
		RAISE EXCEPTION 'role % owns objects', role USING CONSTRAINT = 'role_blocked';
	END IF;
	EXECUTE format('REASSIGN OWNED BY %I TO %I', role, coalesce(heir, current_user));
	EXECUTE format('DROP OWNED BY %I', role);
	EXECUTE format('DROP ROLE %I', role);
	IF borrows THEN
		EXECUTE format('REVOKE %I FROM %I GRANTED BY %2$I', heir, current_user);
	END IF;
`

// lockOutSQL lets nobody log in with the role any more, and rehearses the drop. A rehearsal that waits for the role itself
// has shown enough: the drop ends its sessions.
const lockOutSQL = `
DO $$` + dropDeclarations + `
BEGIN
	IF role = session_user THEN
		RAISE EXCEPTION 'role % is the one that makes this change', role USING CONSTRAINT = 'role_is_own';
	ELSIF (wanted->>'oid')::oid NOT IN (0, role_oid) THEN
		RAISE EXCEPTION 'role % is another one now', role USING CONSTRAINT = 'role_replaced';
	ELSIF role_oid IS NULL THEN
		RETURN;
	END IF;
	BEGIN
		EXECUTE format('ALTER ROLE %I NOLOGIN', role);
		BEGIN` + dropStatements + `
			RAISE EXCEPTION USING ERRCODE = 'BR000';
		EXCEPTION
			WHEN SQLSTATE 'BR000' THEN NULL;
			WHEN lock_not_available THEN
				IF NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_locks l ON l.pid = a.pid
					WHERE a.usesysid = role_oid AND l.locktype = 'transactionid' AND l.granted)
				THEN
					RAISE;
				END IF;
		END;
	EXCEPTION WHEN insufficient_privilege THEN
		RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = format(
			'Whoever made the roles, or a superuser, can allow it: GRANT %I TO %I WITH ADMIN OPTION', coalesce(heir, role), current_user);
	END;
END
$$`

const dropRoleSQL = `
DO $$` + dropDeclarations + `
BEGIN
	IF role_oid IS NULL THEN
		RETURN;
	END IF;
	IF NOT pg_catalog.pg_has_role(role_oid, 'USAGE') THEN
		EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE', role, current_user);
	END IF;
	PERFORM pg_catalog.pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_stat_activity WHERE usesysid = role_oid;
` + dropStatements + `
END
$$`

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
