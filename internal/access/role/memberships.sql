-- Gives the roles their group roles, and no other one of those. Memberships in other roles stay, whoever granted them. What the
-- granter hands out, it also takes back; it is changed to once only, since that costs more the more roles there are.
DO $$
DECLARE
	all_wanted jsonb := current_setting('brownie.wanted');
	connect_group jsonb := to_jsonb(current_setting('brownie.connect_group'));
	granter oid := nullif(current_setting('brownie.granter'), '');
	login CONSTANT text := current_setting('role');
	self CONSTANT name := current_user;
	by_granter boolean;
	group_role record;
	member record;
	refused text; -- how who granted the membership that is being revoked can do it
BEGIN
	FOREACH by_granter IN ARRAY ARRAY[false, true] LOOP
		EXIT WHEN by_granter AND granter IS NULL;
		IF by_granter THEN
			PERFORM set_config('role', granter::regrole::text, true);
		END IF;
		FOR group_role IN
			SELECT w->>'name' AS role, to_regrole(quote_ident(w->>'name'))::oid AS role_oid, g.name, g.oid,
				(w->'groups' || connect_group) ? g.name AS is_wanted, w->'groups_to_become' ? g.name AS may_set, EXISTS (SELECT
				FROM pg_catalog.pg_auth_members m WHERE m.roleid = g.oid AND m.member = granter AND m.admin_option) AS of_granter
			FROM jsonb_array_elements(all_wanted) AS w, LATERAL (SELECT name, to_regrole(quote_ident(name))::oid AS oid
				FROM jsonb_array_elements_text(w->'all_groups' || connect_group) AS g (name)) AS g
			ORDER BY g.name, w->>'name' -- in which order another database of the cluster locks them, too
		LOOP
			IF group_role.oid IS NULL THEN
				RAISE EXCEPTION 'the group role % is missing in this cluster', group_role.name USING CONSTRAINT = 'role_right',
					HINT = 'The database was restored without its roles: restore those first (pg_dumpall --roles-only), and then the '
						'database again';
			END IF;
			FOR member IN
				SELECT m.grantor::regrole AS grantor FROM pg_catalog.pg_auth_members m
				WHERE m.roleid = group_role.oid AND m.member = group_role.role_oid AND (m.grantor = granter IS TRUE) = by_granter
					AND (NOT group_role.is_wanted OR m.admin_option OR NOT m.inherit_option OR m.set_option <> group_role.may_set)
			LOOP
				refused := format('Role %3$s, which granted that membership, or a superuser, can revoke it: REVOKE %1$I FROM %2$I '
					'GRANTED BY %3$s', group_role.name, group_role.role, member.grantor);
				EXECUTE format('REVOKE %I FROM %I GRANTED BY %s CASCADE', group_role.name, group_role.role, member.grantor);
				refused := NULL;
			END LOOP;
			IF group_role.is_wanted AND group_role.of_granter = by_granter AND NOT EXISTS (
				SELECT FROM pg_catalog.pg_auth_members m WHERE m.roleid = group_role.oid AND m.member = group_role.role_oid)
			THEN
				EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE, SET %s', group_role.name, group_role.role, group_role.may_set::text);
			END IF;
		END LOOP;
	END LOOP;
	PERFORM set_config('role', login, true);
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION '% (as role %)', SQLERRM, self USING CONSTRAINT = 'role_right', HINT = coalesce(refused, format(
		'Whoever made the group role %1$I, or a superuser, can allow it: GRANT %1$I TO %2$I WITH ADMIN OPTION', group_role.name, self));
END
$$
