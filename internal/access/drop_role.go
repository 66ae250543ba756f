package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Blocker is what keeps a role from being dropped: an object that it owns, or anything that depends on it in another
// database of the cluster, where this connection cannot look or change.
type Blocker struct {
	Elsewhere bool   `db:"elsewhere"`
	Database  string `db:"database"`
	Object    string `db:"object"` // empty for another database
	Count     int64  `db:"count"`
}

func (b Blocker) String() string {
	if b.Elsewhere {
		return fmt.Sprintf("%d objects or privileges in database %q", b.Count, b.Database)
	}
	return b.Object
}

// A privilege on another database, CONNECT as a rule, says that the role is in use there, although it goes away with the
// role. Temporary tables are left out, because they go away with the role's sessions. So are privileges and policies here:
// they are dropped with the role.
const blockersSQL = `
	SELECT false AS elsewhere, current_database()::text AS database,
		pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) AS object, 1::bigint AS count
	FROM pg_catalog.pg_shdepend d
	WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.deptype = 'o'
		AND d.refobjid = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1)
		AND d.dbid IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c
			WHERE d.classid = 'pg_catalog.pg_class'::regclass AND c.oid = d.objid AND c.relpersistence = 't')
	UNION ALL
	SELECT true, o.datname::text, '', count(*)
	FROM pg_catalog.pg_shdepend d JOIN pg_catalog.pg_database o ON o.oid = d.dbid
		OR d.dbid = 0 AND d.classid = 'pg_catalog.pg_database'::regclass AND d.objid = o.oid AND d.deptype = 'a'
	WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass AND o.datname <> current_database()
		AND d.refobjid = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1)
	GROUP BY o.datname
	ORDER BY 1, 2, 3`

// Blockers returns what keeps the role from being dropped, when what it owns in this database goes to the role
// reassignTo, or to nobody if that is empty.
func (s *Store) Blockers(ctx context.Context, name, reassignTo string) ([]Blocker, error) {
	all, err := postgres.Query[Blocker](ctx, s.db, blockersSQL, name)
	blockers := all[:0]
	for _, blocker := range all {
		if blocker.Elsewhere || reassignTo == "" {
			blockers = append(blockers, blocker)
		}
	}
	return blockers, err
}

// DropRole ends the role's sessions, gives what it owns to the role reassignTo, revokes its privileges and drops it.
// What cannot be given away is a [*BlockedError], before anything is changed. A role that does not exist is no error.
//
// It takes two transactions: a client that reconnects by itself is only kept out by a lock-out that is committed.
func (s *Store) DropRole(ctx context.Context, name, reassignTo string) error {
	blockers, err := s.Blockers(ctx, name, reassignTo)
	if err != nil {
		return err
	}
	if len(blockers) > 0 {
		return &BlockedError{Name: name, Blockers: blockers}
	}
	wanted, err := json.Marshal(map[string]string{"name": name, "reassign_to": reassignTo})
	if err != nil {
		return err
	}
	for _, sql := range []string{lockOutSQL, dropRoleSQL} {
		_, err = postgres.Change[struct{ Done bool }](ctx, s.db, postgres.Statement{SQL: lockSQL},
			postgres.Statement{SQL: wantedSQL, Args: []any{string(wanted)}},
			postgres.Statement{SQL: sql}, postgres.Statement{SQL: `SELECT true AS done`})
		if err != nil {
			break
		}
	}
	if postgres.Interrupted(err) {
		_, readErr := postgres.AwaitRead(ctx, func(ctx context.Context) (Role, error) { return s.Role(ctx, name) })
		if errors.Is(readErr, postgres.ErrNotFound) {
			return nil
		}
	}
	if err != nil {
		return roleError(name, Role{Name: name}, err)
	}
	return nil
}

// lockOutSQL lets nobody log in with the role any more.
const lockOutSQL = `
DO $$
DECLARE
	role name := current_setting('brownie.wanted')::jsonb->>'name';
	heir name := nullif(current_setting('brownie.wanted')::jsonb->>'reassign_to', '');
BEGIN
	IF role = session_user THEN
		RAISE EXCEPTION 'role % is the one that makes this change', role USING CONSTRAINT = 'role_is_own';
	ELSIF heir IS NOT NULL AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = heir) THEN
		RAISE EXCEPTION 'role % does not exist', heir USING CONSTRAINT = 'role_reassign_missing';
	ELSIF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role) THEN
		EXECUTE format('ALTER ROLE %I NOLOGIN', role);
	END IF;
END
$$`

// dropRoleSQL drops the role. DROP OWNED would also drop objects, so that whatever the role may still own by then is
// given away first.
const dropRoleSQL = `
DO $$
DECLARE
	role name := current_setting('brownie.wanted')::jsonb->>'name';
	heir name := nullif(current_setting('brownie.wanted')::jsonb->>'reassign_to', '');
	role_oid oid := (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = role);
BEGIN
	DELETE FROM brownie.role_bindings WHERE role_name = role;
	IF role_oid IS NULL THEN
		RETURN;
	END IF;
	-- Without a superuser's rights, ending sessions and giving objects away take those of the role itself.
	IF NOT pg_catalog.pg_has_role(role_oid, 'USAGE') THEN
		EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE', role, current_user);
	END IF;
	PERFORM pg_catalog.pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_stat_activity WHERE usesysid = role_oid;
	IF heir IS NULL AND EXISTS (
		SELECT FROM pg_catalog.pg_shdepend WHERE refclassid = 'pg_catalog.pg_authid'::regclass AND refobjid = role_oid AND deptype = 'o')
	THEN
		RAISE EXCEPTION 'role % owns objects', role USING CONSTRAINT = 'role_blocked';
	END IF;
	EXECUTE format('REASSIGN OWNED BY %I TO %I', role, coalesce(heir, current_user));
	EXECUTE format('DROP OWNED BY %I', role);
	EXECUTE format('DROP ROLE %I', role);
END
$$`

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }
