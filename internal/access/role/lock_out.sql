-- Lets nobody log in with the role any more, if it is still there.
DO $$
DECLARE
	role name := current_setting('brownie.wanted')::jsonb->>'name';
BEGIN
	IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role) THEN
		EXECUTE format('ALTER ROLE %I NOLOGIN', role);
	END IF;
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = format(
		'Whoever made role %1$I, or a superuser, can allow it: GRANT %1$I TO %2$I WITH ADMIN OPTION', role, current_user);
END
$$
