-- Takes away what the roles must not have. Naming one of those attributes at all takes a superuser, so they are named only when
-- there is something to take away.
DO $$
DECLARE
	wanted jsonb;
	role name;
	found pg_catalog.pg_roles;
	setting record;
	makers CONSTANT jsonb := current_setting('brownie.makers');
	login CONSTANT text := current_setting('role');
BEGIN
	FOR wanted IN SELECT jsonb_array_elements(current_setting('brownie.wanted')::jsonb) LOOP
		role := wanted->>'name';
		SELECT * INTO found FROM pg_catalog.pg_roles WHERE rolname = role;
		IF found.rolsuper THEN EXECUTE format('ALTER ROLE %I NOSUPERUSER', role); END IF;
		IF found.rolbypassrls THEN EXECUTE format('ALTER ROLE %I NOBYPASSRLS', role); END IF;
		IF found.rolreplication THEN EXECUTE format('ALTER ROLE %I NOREPLICATION', role); END IF;
		IF found.rolcreaterole THEN EXECUTE format('ALTER ROLE %I NOCREATEROLE', role); END IF;
		IF found.rolcreatedb THEN EXECUTE format('ALTER ROLE %I NOCREATEDB', role); END IF;
		-- A maker has none of those attributes, and so cannot take them away.
		PERFORM set_config('role', coalesce(makers->>coalesce(nullif(wanted->>'before', ''), role), login), true);
		IF wanted->>'before' <> '' THEN -- A new one was made as it is to be.
			EXECUTE format('ALTER ROLE %I %s INHERIT PASSWORD NULL CONNECTION LIMIT %s VALID UNTIL %L', role,
				CASE WHEN (wanted->>'locked')::boolean THEN 'NOLOGIN' ELSE 'LOGIN' END, (wanted->>'connection_limit')::integer,
				coalesce(wanted->>'valid_until', 'infinity'));
		END IF;
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
		PERFORM set_config('role', login, true);
	END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = format(
		'Whoever made role %1$I, or a superuser, can allow it: GRANT %1$I TO %2$I WITH ADMIN OPTION. Attributes such as SUPERUSER '
		'and BYPASSRLS only a superuser can take away', role, current_user);
END
$$
