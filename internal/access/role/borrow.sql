-- Borrows the rights of the roles that are changed, and of the heirs of what they own, for the statements up to give_back.sql.
-- Only a superuser has them anyhow: ending a role's sessions and giving its objects away take them, and nothing else does. Each
-- GRANT costs more the more roles there are. A maker's come first: it lends those of the roles that it made, and changes them (setting brownie.makers).
DO $$
DECLARE
	wanted jsonb;
	role pg_catalog.pg_roles;
	lender record;
	borrowed jsonb := '[]';
	makers jsonb := '{}';
	gives_away boolean;
BEGIN
	FOR wanted IN SELECT jsonb_array_elements(current_setting('brownie.wanted')::jsonb) LOOP
		gives_away := (wanted->>'rehearsal')::boolean AND EXISTS (SELECT FROM pg_catalog.pg_shdepend
			WHERE refclassid = 'pg_catalog.pg_authid'::regclass AND refobjid = to_regrole(quote_ident(wanted->>'before')));
		FOR role IN SELECT * FROM pg_catalog.pg_roles WHERE rolname IN (wanted->>'before', wanted->>'reassign_to') LOOP
			IF role.rolname = wanted->>'before' AND (wanted->>'oid')::oid NOT IN (0, role.oid) THEN
				RAISE EXCEPTION 'role % is another one now', role.rolname USING CONSTRAINT = 'role_replaced';
			END IF;
			FOR lender IN
				SELECT maker.oid, maker.rolname, true AS is_maker FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles maker ON maker.oid = m.member
				WHERE m.roleid = role.oid AND m.admin_option AND maker.rolname LIKE 'brownie\_maker\_%' AND maker.rolcreaterole
					AND EXISTS (SELECT FROM pg_catalog.pg_auth_members
						WHERE roleid = maker.oid AND member = quote_ident(current_user)::regrole AND admin_option)
				UNION ALL
				SELECT role.oid, role.rolname, false WHERE gives_away OR (wanted->>'borrow_from_idle')::boolean
					OR current_setting('brownie.busy')::jsonb ? role.rolname
			LOOP
				IF lender.is_maker THEN
					makers := makers || jsonb_build_object(role.rolname, lender.rolname);
				END IF;
				CONTINUE WHEN pg_catalog.pg_has_role(lender.oid, 'USAGE');
				EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE, SET TRUE', lender.rolname, current_user);
				borrowed := (SELECT jsonb_agg(jsonb_build_object('lender', lender.oid, 'grantor', m.grantor::regrole))
					FROM pg_catalog.pg_auth_members m WHERE m.roleid = lender.oid AND m.member = quote_ident(current_user)::regrole
					AND m.inherit_option) || borrowed; -- The last one borrowed is given back first.
			END LOOP;
		END LOOP;
	END LOOP;
	PERFORM pg_catalog.set_config('brownie.borrowed', borrowed::text, true), pg_catalog.set_config('brownie.makers', makers::text, true);
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = format(
		'Whoever made role %1$I, or a superuser, can allow it: GRANT %1$I TO %2$I WITH ADMIN OPTION', role.rolname, current_user);
END
$$
