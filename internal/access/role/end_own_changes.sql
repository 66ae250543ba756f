-- Ends sessions of the roles that are in the middle of changing their role itself, as everybody may to some degree (ALTER ROLE
-- CURRENT_USER SET ...): an open transaction of that kind would keep it from being changed or dropped.
DO $$
DECLARE
	role name;
BEGIN
	FOR role IN SELECT w->>'before' FROM jsonb_array_elements(current_setting('brownie.wanted')::jsonb) AS w
		WHERE current_setting('brownie.busy')::jsonb ? (w->>'before')
	LOOP
		PERFORM pg_catalog.pg_terminate_backend(own.pid, 5000) FROM (
			SELECT DISTINCT a.pid FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_locks l ON l.pid = a.pid
			WHERE a.usename = role AND role <> session_user AND l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.relation IN
				('pg_catalog.pg_authid'::regclass, 'pg_catalog.pg_auth_members'::regclass, 'pg_catalog.pg_db_role_setting'::regclass)
		) AS own;
	END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = format(
		'Whoever made role %1$I, or a superuser, can allow it: GRANT %1$I TO %2$I WITH ADMIN OPTION', role, current_user);
END
$$
