-- Borrows the rights of the roles that are changed, and of the heirs of what they own, for the statements up to give_back.sql.
-- Only a superuser has them anyhow: ending a role's sessions and giving its objects away take them, and nothing else does. Each
-- GRANT costs more the more roles there are.
DO $$
DECLARE
	wanted jsonb;
	role pg_catalog.pg_roles;
	borrowed jsonb := '[]';
	gives_away boolean;
BEGIN
	FOR wanted IN SELECT jsonb_array_elements(current_setting('brownie.wanted')::jsonb) LOOP
		gives_away := (wanted->>'rehearsal')::boolean AND EXISTS (SELECT FROM pg_catalog.pg_shdepend
			WHERE refclassid = 'pg_catalog.pg_authid'::regclass AND refobjid = to_regrole(quote_ident(wanted->>'before')));
		FOR role IN SELECT * FROM pg_catalog.pg_roles WHERE rolname IN (wanted->>'before', wanted->>'reassign_to') LOOP
			IF role.rolname = wanted->>'before' AND (wanted->>'oid')::oid NOT IN (0, role.oid) THEN
				RAISE EXCEPTION 'role % is another one now', role.rolname USING CONSTRAINT = 'role_replaced';
			ELSIF NOT (gives_away OR (wanted->>'borrow_from_idle')::boolean
				OR current_setting('brownie.busy')::jsonb ? role.rolname)
			THEN
				CONTINUE;
			ELSIF NOT pg_catalog.pg_has_role(role.oid, 'USAGE') THEN
				EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE, SET TRUE', role.rolname, current_user);
				borrowed := borrowed || to_jsonb(role.rolname);
			END IF;
		END LOOP;
	END LOOP;
	PERFORM pg_catalog.set_config('brownie.borrowed', borrowed::text, true);
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = format(
		'Whoever made role %1$I, or a superuser, can allow it: GRANT %1$I TO %2$I WITH ADMIN OPTION', role.rolname, current_user);
END
$$
