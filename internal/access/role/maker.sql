-- Finds the role that makes the new roles, or makes it, and puts its name by theirs into the setting brownie.makers. PostgreSQL gives whoever makes
-- a role ADMIN OPTION on it, and walks all memberships of who makes, grants, or changes to another role. So each maker makes some roles
-- only, and the login uses the rights of the newest two alone: a change of another database may have begun with the last but one. Where
-- there can be no maker, the login makes roles itself.
DO $$
DECLARE
	room CONSTANT integer := 250;
	self pg_catalog.pg_roles;
	prefix name;
	newest record;
	other name;
	number integer;
BEGIN
	PERFORM set_config('brownie.makers', '{}', true);
	SELECT * INTO self FROM pg_catalog.pg_roles WHERE rolname = current_user;
	IF current_user <> session_user OR self.rolsuper OR NOT self.rolcreaterole THEN
		RETURN;
	END IF;
	prefix := format('brownie_maker_%s_', self.oid);
	-- One that is full, or that somebody else could use, makes no more.
	SELECT r.oid, r.rolname, substr(r.rolname, length(prefix) + 1)::integer AS number, NOT (r.rolcanlogin OR r.rolsuper OR NOT r.rolcreaterole
			OR EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE roleid = r.oid AND member <> self.oid)
			OR (SELECT count(DISTINCT roleid) FROM pg_catalog.pg_auth_members WHERE member = r.oid) >= room) AS makes
		INTO newest FROM pg_catalog.pg_roles r
		WHERE r.rolname > prefix AND r.rolname < (prefix || ':')::name AND substr(r.rolname, length(prefix) + 1) ~ '^[1-9][0-9]{0,8}$'
			AND EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE roleid = r.oid AND member = self.oid AND admin_option)
		ORDER BY length(r.rolname) DESC, r.rolname DESC LIMIT 1;
	IF newest.makes IS NOT TRUE THEN
		FOR other IN
			SELECT r.rolname FROM pg_catalog.pg_roles r
			JOIN pg_catalog.pg_auth_members m ON m.roleid = r.oid AND m.member = self.oid AND m.grantor = self.oid
			WHERE r.rolname > prefix AND r.rolname < (prefix || ':')::name AND r.oid IS DISTINCT FROM newest.oid ORDER BY r.rolname
		LOOP
			EXECUTE format('REVOKE %I FROM %I GRANTED BY %2$I', other, self.rolname);
		END LOOP;
		FOR other IN
			SELECT r.rolname FROM pg_catalog.pg_roles r
			JOIN pg_catalog.pg_auth_members m ON m.roleid = r.oid AND m.member = self.oid AND m.admin_option
			WHERE r.rolname > prefix AND r.rolname < (prefix || ':')::name AND r.oid IS DISTINCT FROM newest.oid AND NOT r.rolsuper
				AND NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE member = r.oid) ORDER BY r.rolname
		LOOP
			BEGIN
				EXECUTE format('DROP ROLE %I', other);
			EXCEPTION WHEN OTHERS THEN -- Another database of the cluster drops it, too, or something depends on it: it may stay.
				NULL;
			END;
		END LOOP;
		number := coalesce(newest.number, 0);
		LOOP
			number := number + 1;
			SELECT NULL::oid AS oid, (prefix || number)::name AS rolname INTO newest;
			EXIT WHEN to_regrole(quote_ident(newest.rolname)) IS NULL;
		END LOOP;
		EXECUTE format('CREATE ROLE %I NOLOGIN CREATEROLE', newest.rolname);
	END IF;
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE roleid = newest.oid AND member = self.oid AND inherit_option AND set_option) THEN
		EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE, SET TRUE', newest.rolname, self.rolname);
	END IF;
	PERFORM set_config('brownie.makers', (SELECT jsonb_object_agg(w->>'name', newest.rolname)
		FROM jsonb_array_elements(current_setting('brownie.wanted')::jsonb) AS w)::text, true);
EXCEPTION WHEN insufficient_privilege OR unique_violation OR duplicate_object THEN
	PERFORM set_config('brownie.makers', '{}', true);
END
$$
