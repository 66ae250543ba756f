-- Ends those sessions of a role that are still in given transactions.
DO $$
DECLARE
	wanted jsonb := current_setting('brownie.wanted')::jsonb->0;
	role name := wanted->>'name';
BEGIN
	PERFORM pg_catalog.pg_terminate_backend(pid, 5000) FROM (
		SELECT DISTINCT a.pid FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_locks l ON l.pid = a.pid
		WHERE a.usename = role AND l.locktype = 'virtualxid' AND l.virtualxid = l.virtualtransaction AND wanted->'transactions' ? l.virtualxid
	) AS open;
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = format(
		'Whoever made role %1$I, or a superuser, can allow it: GRANT %1$I TO %2$I WITH ADMIN OPTION', role, current_user);
END
$$
