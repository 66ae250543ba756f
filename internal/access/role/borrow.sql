-- Borrows the rights of the roles that are changed, and of the heirs of what they own, for the statements up to give_back.sql.
-- Only a superuser has them anyhow: ending a role's sessions and giving its objects away take them, and nothing else does. Each
-- GRANT costs more the more roles there are. Where only another role that the login administers can lend one, as its maker, that
-- comes before, in the order of names: another database of the cluster locks them so, too. Makers also change roles (setting brownie.makers).
DO $$
DECLARE
	self pg_catalog.pg_roles;
	replaced name;
	lender record;
	makers jsonb := '{}';
	borrowed jsonb := '[]';
BEGIN
	SELECT * INTO self FROM pg_catalog.pg_roles WHERE rolname = current_user;
	SELECT r.rolname INTO replaced FROM jsonb_array_elements(current_setting('brownie.wanted')::jsonb) AS w
		JOIN pg_catalog.pg_roles r ON r.rolname = w->>'before' WHERE (w->>'oid')::oid NOT IN (0, r.oid) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'role % is another one now', replaced USING CONSTRAINT = 'role_replaced';
	END IF;
	FOR lender IN
		WITH changed AS MATERIALIZED (
			SELECT r.oid, r.rolname, n, (w->>'borrow_from_idle')::boolean OR current_setting('brownie.busy')::jsonb ? r.rolname
				OR (w->>'rehearsal')::boolean AND EXISTS (SELECT FROM pg_catalog.pg_shdepend
					WHERE refclassid = 'pg_catalog.pg_authid'::regclass AND refobjid = to_regrole(quote_ident(w->>'before'))) AS lends
			FROM jsonb_array_elements(current_setting('brownie.wanted')::jsonb) WITH ORDINALITY AS all_wanted (w, n)
			JOIN pg_catalog.pg_roles r ON r.rolname IN (w->>'before', w->>'reassign_to')
		)
		SELECT a.oid, a.rolname, jsonb_object_agg(c.rolname, a.rolname)
			FILTER (WHERE a.rolname LIKE 'brownie\_maker\_%' AND a.rolcreaterole) AS made, 0 AS n
		FROM changed c JOIN pg_catalog.pg_auth_members m ON m.roleid = c.oid AND m.admin_option
		JOIN pg_catalog.pg_roles a ON a.oid = m.member AND a.oid <> self.oid AND NOT a.rolsuper
		WHERE NOT self.rolsuper AND NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE roleid = c.oid AND member = self.oid AND admin_option)
			AND CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE roleid = a.oid AND member = self.oid AND admin_option) THEN true
				ELSE pg_catalog.pg_has_role(a.oid, 'MEMBER WITH ADMIN OPTION') END
		GROUP BY a.oid, a.rolname
		UNION ALL
		SELECT oid, rolname, '{}', n FROM changed WHERE lends
		ORDER BY n, rolname
	LOOP
		makers := makers || coalesce(lender.made, '{}');
		CONTINUE WHEN pg_catalog.pg_has_role(lender.oid, 'USAGE');
		EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE, SET TRUE', lender.rolname, current_user);
		borrowed := (SELECT jsonb_agg(jsonb_build_object('lender', lender.oid, 'grantor', m.grantor::regrole))
			FROM pg_catalog.pg_auth_members m WHERE m.roleid = lender.oid AND m.member = self.oid AND m.inherit_option)
			|| borrowed; -- The last one borrowed is given back first.
	END LOOP;
	PERFORM pg_catalog.set_config('brownie.borrowed', borrowed::text, true), pg_catalog.set_config('brownie.makers', makers::text, true);
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = format(
		'Whoever made role %1$I, or a superuser, can allow it: GRANT %1$I TO %2$I WITH ADMIN OPTION', lender.rolname, current_user);
END
$$
