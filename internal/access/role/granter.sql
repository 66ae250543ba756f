-- Makes sure of the role that hands out the group roles, and puts its OID into the setting brownie.granter. PostgreSQL walks all
-- memberships of who grants, and whoever makes roles is a member of each. Where the granter would give anybody a right that they
-- lack, or cannot be used, whoever makes the change grants as itself.
DO $$
DECLARE
	granter CONSTANT name := 'brownie_granter';
	all_wanted jsonb := current_setting('brownie.wanted');
	self oid := to_regrole(quote_ident(current_user));
	found pg_catalog.pg_roles;
	group_oid oid;
	others oid[];
BEGIN
	PERFORM set_config('brownie.granter', '', true);
	IF current_user <> session_user OR (SELECT rolsuper OR NOT rolcreaterole FROM pg_catalog.pg_roles WHERE oid = self) THEN
		RETURN;
	END IF;
	SELECT * INTO found FROM pg_catalog.pg_roles WHERE rolname = granter;
	IF found.oid IS NULL THEN
		EXECUTE format('CREATE ROLE %I NOLOGIN', granter);
		SELECT * INTO found FROM pg_catalog.pg_roles WHERE rolname = granter;
	END IF;
	IF found.rolcanlogin OR NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE roleid = found.oid AND member = self AND admin_option) THEN
		RETURN;
	END IF;
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE roleid = found.oid AND member = self AND set_option) THEN
		EXECUTE format('GRANT %I TO %I WITH INHERIT FALSE, SET TRUE', granter, current_user);
	END IF;
	others := ARRAY(SELECT m.member FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.member
		WHERE m.roleid = found.oid AND m.member <> self AND NOT r.rolsuper);
	FOR group_oid IN
		SELECT to_regrole(quote_ident(name)) FROM (SELECT current_setting('brownie.connect_group') AS name
			UNION SELECT jsonb_array_elements_text(w->'groups') FROM jsonb_array_elements(all_wanted) AS w) AS g ORDER BY name
	LOOP
		CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE roleid = group_oid AND member = found.oid AND admin_option)
			OR NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE roleid = group_oid AND member = self AND admin_option)
			OR EXISTS (SELECT FROM unnest(others) AS other WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members m
				WHERE m.roleid = group_oid AND m.member = other AND m.admin_option));
		EXECUTE format('GRANT %s TO %I WITH ADMIN TRUE, INHERIT FALSE, SET FALSE', group_oid::regrole, granter);
	END LOOP;
	PERFORM set_config('brownie.granter', found.oid::text, true);
EXCEPTION WHEN insufficient_privilege OR unique_violation OR duplicate_object THEN
	PERFORM set_config('brownie.granter', '', true);
END
$$
