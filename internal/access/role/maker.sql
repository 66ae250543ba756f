-- Finds the role that makes the new roles, or makes it, and puts its name by theirs into the setting brownie.makers. PostgreSQL gives whoever makes
-- a role ADMIN OPTION on it, and walks all memberships of who makes, grants, or changes to another role. So each maker makes some roles
-- only, and the login uses the rights of the newest one alone. Where there can be no maker, the login makes roles itself.
DO $$
DECLARE
	room CONSTANT integer := 250;
	self pg_catalog.pg_roles;
	prefix name;
	newest pg_catalog.pg_roles;
	former name;
BEGIN
	PERFORM set_config('brownie.makers', '{}', true);
	SELECT * INTO self FROM pg_catalog.pg_roles WHERE rolname = current_user;
	IF current_user <> session_user OR self.rolsuper OR NOT self.rolcreaterole THEN
		RETURN;
	END IF;
	prefix := format('brownie_maker_%s_', self.oid);
	SELECT * INTO newest FROM pg_catalog.pg_roles WHERE rolname > prefix AND rolname < (prefix || ':')::name
		ORDER BY length(rolname) DESC, rolname DESC LIMIT 1;
	-- One that is full, or that somebody else could use, makes no more.
	IF newest.oid IS NULL OR (SELECT count(*) FROM pg_catalog.pg_auth_members WHERE member = newest.oid) >= room
		OR newest.rolcanlogin OR newest.rolsuper OR NOT newest.rolcreaterole
		OR EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE roleid = newest.oid AND member <> self.oid)
		OR NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE roleid = newest.oid AND member = self.oid AND admin_option)
	THEN
		FOR former IN
			SELECT r.rolname FROM pg_catalog.pg_roles r
			JOIN pg_catalog.pg_auth_members m ON m.roleid = r.oid AND m.member = self.oid AND m.admin_option
			WHERE r.rolname > prefix AND r.rolname < (prefix || ':')::name AND NOT r.rolsuper
				AND NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE member = r.oid)
		LOOP
			EXECUTE format('DROP ROLE %I', former);
		END LOOP;
		IF EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE roleid = newest.oid AND member = self.oid AND grantor = self.oid) THEN
			EXECUTE format('REVOKE %I FROM %I GRANTED BY %2$I', newest.rolname, self.rolname);
		END IF;
		newest.rolname := prefix || coalesce(substr(newest.rolname, length(prefix) + 1)::integer + 1, 1);
		newest.oid := NULL;
		EXECUTE format('CREATE ROLE %I NOLOGIN CREATEROLE', newest.rolname);
	END IF;
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE roleid = newest.oid AND member = self.oid AND inherit_option AND set_option) THEN
		EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE, SET TRUE', newest.rolname, self.rolname);
	END IF;
	PERFORM set_config('brownie.makers', (SELECT jsonb_object_agg(w->>'name', newest.rolname)
		FROM jsonb_array_elements(current_setting('brownie.wanted')::jsonb) AS w)::text, true);
EXCEPTION WHEN insufficient_privilege OR unique_violation OR duplicate_object OR dependent_objects_still_exist
	OR invalid_text_representation OR numeric_value_out_of_range
THEN
	PERFORM set_config('brownie.makers', '{}', true);
END
$$
