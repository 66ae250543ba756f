-- Creates the roles, or renames one, and refuses changes of what is not there, or not to be changed.
DO $$
DECLARE
	wanted jsonb;
	role name;
	before name;
	found pg_catalog.pg_roles;
	bound record;
	existing name;
	makers CONSTANT jsonb := current_setting('brownie.makers');
	login CONSTANT text := current_setting('role');
BEGIN
	FOR wanted IN SELECT jsonb_array_elements(current_setting('brownie.wanted')::jsonb) LOOP
		role := wanted->>'name';
		before := nullif(wanted->>'before', '');
		existing := NULL;
		PERFORM set_config('role', coalesce(makers->>coalesce(before, role), login), true);
		SELECT * INTO found FROM pg_catalog.pg_roles WHERE rolname = before;
		SELECT * INTO bound FROM json_to_recordset(coalesce(nullif(pg_catalog.current_setting('brownie.rows', true), ''), '[]')::pg_catalog.json) AS b
			(role_name name, organization_id uuid, access text, change_id uuid, valid_until timestamptz) WHERE role_name = before;
		IF before IS NOT NULL AND found.oid IS NULL THEN
			RAISE EXCEPTION 'role % does not exist', before USING CONSTRAINT = 'role_missing';
		ELSIF before = session_user AND (found.rolsuper OR found.rolcreaterole OR (wanted->>'locked')::boolean) THEN
			RAISE EXCEPTION 'role % is the one that makes this change', before USING CONSTRAINT = 'role_is_own';
		ELSIF bound.role_name IS NOT NULL AND bound.organization_id IS DISTINCT FROM (wanted->>'organization_id')::uuid
			AND EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE usesysid = found.oid) THEN
			RAISE EXCEPTION 'role % has sessions', before USING CONSTRAINT = 'role_has_sessions';
		END IF;
		IF before IS DISTINCT FROM role THEN
			-- The catalog's index finds names by their beginning. Letter by letter, in either case, costs the same with any number of roles.
			WITH RECURSIVE spelled (beginning, letters) AS (
				SELECT '' COLLATE "C", 0
				UNION ALL
				SELECT s.beginning || letter, s.letters + 1
				FROM spelled s, LATERAL (SELECT substr(role, s.letters + 1, 1) COLLATE "C" AS written) AS next,
					LATERAL (SELECT lower(written) AS letter UNION SELECT upper(written)) AS cases
				WHERE s.letters < length(role) AND EXISTS (SELECT FROM pg_catalog.pg_roles
					WHERE rolname >= (s.beginning || letter)::name AND rolname < (s.beginning || letter || '~')::name)
			)
			SELECT r.rolname INTO existing FROM spelled s JOIN pg_catalog.pg_roles r ON r.rolname = s.beginning::name
			WHERE s.letters = length(role) AND r.rolname IS DISTINCT FROM before ORDER BY r.rolname = role DESC LIMIT 1;
			IF existing IS NOT NULL THEN
				RAISE EXCEPTION 'role % exists', existing USING CONSTRAINT = 'role_exists ' || existing;
			END IF;
		END IF;
		IF before IS NULL THEN
			EXECUTE format('CREATE ROLE %I %s CONNECTION LIMIT %s VALID UNTIL %L', role, CASE WHEN (wanted->>'locked')::boolean THEN 'NOLOGIN'
				ELSE 'LOGIN' END, (wanted->>'connection_limit')::integer, coalesce(wanted->>'valid_until', 'infinity'));
		ELSIF before <> role THEN
			EXECUTE format('ALTER ROLE %I RENAME TO %I', before, role);
		END IF;
	END LOOP;
	PERFORM set_config('role', login, true);
EXCEPTION
	WHEN insufficient_privilege THEN
		RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = CASE WHEN before IS NULL
			THEN format('As an administrator: ALTER ROLE %I CREATEROLE', current_user)
			ELSE format('Whoever made role %1$I, or a superuser, can allow it: GRANT %1$I TO %2$I WITH ADMIN OPTION', before,
				current_user) END;
	-- Another database of the cluster made it at the same moment.
	WHEN unique_violation OR duplicate_object THEN
		RAISE EXCEPTION 'role % exists', role USING CONSTRAINT = 'role_exists ' || role;
END
$$
