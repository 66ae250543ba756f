-- Gives the role its group roles, and no other one of those. Memberships in other roles stay, whoever granted them.
DO $$
DECLARE
	wanted jsonb := current_setting('brownie.wanted');
	role name := wanted->>'name';
	role_oid oid := (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = role);
	group_role record;
	member record;
BEGIN
	FOR group_role IN
		SELECT g.name, g.is_wanted, wanted->'groups_to_become' ? g.name AS may_set, r.oid
		FROM (
			SELECT name, wanted->'groups' ? name AS is_wanted FROM jsonb_array_elements_text(wanted->'all_groups') AS g (name)
			UNION ALL SELECT current_setting('brownie.connect_group'), true
		) AS g LEFT JOIN pg_catalog.pg_roles r ON r.rolname = g.name
	LOOP
		IF group_role.oid IS NULL THEN
			RAISE EXCEPTION 'the group role % is missing in this cluster', group_role.name USING CONSTRAINT = 'role_right',
				HINT = 'The database was restored without its roles: restore those first (pg_dumpall --roles-only), and then the '
					'database again';
		END IF;
		FOR member IN
			SELECT grantor.rolname AS grantor FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles grantor ON grantor.oid = m.grantor
			WHERE m.roleid = group_role.oid AND m.member = role_oid AND (NOT group_role.is_wanted OR m.admin_option
				OR NOT m.inherit_option OR m.set_option <> group_role.may_set)
		LOOP
			EXECUTE format('REVOKE %I FROM %I GRANTED BY %I CASCADE', group_role.name, role, member.grantor);
		END LOOP;
		IF group_role.is_wanted AND NOT EXISTS (
			SELECT FROM pg_catalog.pg_auth_members m WHERE m.roleid = group_role.oid AND m.member = role_oid)
		THEN
			EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE, SET %s', group_role.name, role, group_role.may_set::text);
		END IF;
	END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = format(
		'Whoever made the group role %1$I, or a superuser, can allow it: GRANT %1$I TO %2$I WITH ADMIN OPTION. A membership that '
		'a superuser granted, a superuser must revoke', group_role.name, current_user);
END
$$
