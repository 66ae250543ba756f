package access

import (
	"context"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// endSessionsSQL ends the sessions of a role that may no longer log in. One that was just being opened shows itself a moment
// later, so that it looks again until there are none, for at most 5 seconds. Behind a pooler these are the pooler's sessions
// for that role: it can open no others. Where the role is not one's own, the right to end its sessions is borrowed.
const endSessionsSQL = `
DO $$
DECLARE
	wanted jsonb := current_setting('brownie.wanted');
	role name := wanted->>'name';
	role_oid oid := (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = wanted->>'name');
	borrows boolean := NOT pg_catalog.pg_has_role(role_oid, 'USAGE');
	quiet integer := 0;
	began timestamptz := clock_timestamp();
BEGIN
	IF borrows THEN
		EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE', role, current_user);
	END IF;
	WHILE quiet < 2 AND clock_timestamp() < began + interval '5 s' LOOP
		quiet := quiet + 1;
		PERFORM pg_catalog.pg_stat_clear_snapshot();
		IF (SELECT bool_or(pg_catalog.pg_terminate_backend(pid, 1000)) FROM pg_catalog.pg_stat_activity WHERE usesysid = role_oid) THEN
			quiet := 0;
		END IF;
		PERFORM pg_catalog.pg_sleep(0.1);
	END LOOP;
	IF borrows THEN
		EXECUTE format('REVOKE %I FROM %I GRANTED BY %2$I', role, current_user);
	END IF;
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = format(
		'Whoever made role %1$I, or a superuser, can allow it: GRANT %1$I TO %2$I WITH ADMIN OPTION', role, current_user);
END
$$`

// endSessions ends the sessions of a role that was locked, and reads it again. It takes a transaction of its own, because
// only a lock that is committed keeps clients from coming back.
func (s *Store) endSessions(ctx context.Context, role Role) (Role, error) {
	if err := s.run(ctx, wanted{Before: role.Name, OID: role.OID, Name: role.Name}, postgres.Statement{SQL: endSessionsSQL}); err != nil {
		return role, roleError(role, role, err)
	}
	return s.Role(ctx, role.Name)
}
