-- Lets nobody log in any more with those of the roles that are still there.
DO $$
DECLARE
	role name;
	makers CONSTANT jsonb := current_setting('brownie.makers');
	login CONSTANT text := current_setting('role');
BEGIN
	FOR role IN SELECT r.rolname FROM jsonb_array_elements(current_setting('brownie.wanted')::jsonb) AS w
		JOIN pg_catalog.pg_roles r ON r.rolname = w->>'name'
	LOOP
		PERFORM set_config('role', coalesce(makers->>role, login), true);
		EXECUTE format('ALTER ROLE %I NOLOGIN', role);
	END LOOP;
	PERFORM set_config('role', login, true);
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = format(
		'Whoever made role %1$I, or a superuser, can allow it: GRANT %1$I TO %2$I WITH ADMIN OPTION', role, current_user);
END
$$
