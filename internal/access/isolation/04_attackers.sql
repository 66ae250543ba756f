-- Collects the roles to assume. Bound roles of the same attributes, memberships, settings and grants are one class, of
-- which one is tried. Without a superuser's rights, assuming a role takes a grant of it.
DO $$
DECLARE
	attacker record;
	maker name;
	here oid := (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database());
BEGIN
	INSERT INTO brownie_attackers
		SELECT name, false, 0 FROM brownie_groups WHERE kind NOT IN ('above', 'granter');
	INSERT INTO brownie_attackers
	WITH bound AS MATERIALIZED (
		SELECT r.oid, r.rolname, concat_ws(' ', r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolcreatedb, r.rolreplication,
			r.rolinherit) AS attributes
		FROM jsonb_array_elements_text(current_setting('brownie.bound')::jsonb) AS b (name) JOIN pg_catalog.pg_roles r ON r.rolname = b.name
	), memberships AS (
		SELECT m.member AS oid, string_agg(DISTINCT concat_ws(' ', m.roleid, m.admin_option, m.inherit_option, m.set_option), ',') AS list
		FROM pg_catalog.pg_auth_members m JOIN bound ON bound.oid = m.member GROUP BY m.member
	), settings AS (
		SELECT s.setrole AS oid, string_agg(setting, ',' ORDER BY s.setdatabase, setting) AS list
		FROM pg_catalog.pg_db_role_setting s JOIN bound ON bound.oid = s.setrole, unnest(s.setconfig) AS setting
		WHERE s.setdatabase IN (0, here) AND setting !~ '^(statement_timeout|lock_timeout|idle_\w+_timeout|application_name|TimeZone)='
		GROUP BY s.setrole
	), mentions AS MATERIALIZED (
		SELECT d.* FROM pg_catalog.pg_shdepend d JOIN bound ON bound.oid = d.refobjid
		WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.dbid IN (0, here)
			AND d.classid <> 'pg_catalog.pg_auth_members'::regclass
	), objects AS (
		SELECT DISTINCT classid, objid FROM mentions WHERE deptype = 'a'
	), acls (class, object, acl) AS (
		SELECT 'relation', c.oid::text, c.relacl FROM objects o JOIN pg_catalog.pg_class c
			ON o.classid = 'pg_catalog.pg_class'::regclass AND c.oid = o.objid
		UNION ALL SELECT 'column', a.attrelid || '.' || a.attnum, a.attacl FROM objects o
			JOIN pg_catalog.pg_attribute a ON o.classid = 'pg_catalog.pg_class'::regclass AND a.attrelid = o.objid AND a.attacl IS NOT NULL
		UNION ALL SELECT 'schema', n.oid::text, n.nspacl FROM objects o JOIN pg_catalog.pg_namespace n
			ON o.classid = 'pg_catalog.pg_namespace'::regclass AND n.oid = o.objid
		UNION ALL SELECT 'function', p.oid::text, p.proacl FROM objects o JOIN pg_catalog.pg_proc p
			ON o.classid = 'pg_catalog.pg_proc'::regclass AND p.oid = o.objid
		UNION ALL SELECT 'database', d.oid::text, d.datacl FROM objects o JOIN pg_catalog.pg_database d
			ON o.classid = 'pg_catalog.pg_database'::regclass AND d.oid = o.objid
	), grants AS (
		SELECT x.grantee AS oid, string_agg(concat_ws(' ', class, object, x.privilege_type, x.is_grantable), ','
			ORDER BY class, object, x.privilege_type) AS list
		FROM acls, pg_catalog.aclexplode(acls.acl) x GROUP BY x.grantee
	), others AS (
		SELECT refobjid AS oid, string_agg(concat_ws(' ', classid, objid, objsubid, deptype), ','
			ORDER BY classid, objid, objsubid, deptype) AS list
		FROM mentions GROUP BY refobjid
	), classes AS (
		SELECT min(bound.rolname) AS role_name, count(*) - 1 AS alike
		FROM bound LEFT JOIN memberships USING (oid) LEFT JOIN settings USING (oid) LEFT JOIN grants USING (oid) LEFT JOIN others
			USING (oid)
		GROUP BY bound.attributes, memberships.list, settings.list, grants.list, others.list
	)
	SELECT role_name, true, alike FROM classes;
	-- Makers lend the roles that they made. They come first, in the order in which changes of roles lock them.
	FOR maker IN
		SELECT DISTINCT r.rolname FROM brownie_attackers a
		JOIN pg_catalog.pg_auth_members m ON m.roleid = quote_ident(a.role_name)::regrole AND m.admin_option
		JOIN pg_catalog.pg_roles r ON r.oid = m.member AND r.rolname LIKE 'brownie\_maker\_%'
		WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION') AND NOT pg_catalog.pg_has_role(r.oid, 'USAGE') ORDER BY r.rolname
	LOOP
		EXECUTE format('GRANT %I TO %I WITH INHERIT TRUE', maker, current_user);
	END LOOP;
	FOR attacker IN SELECT role_name FROM brownie_attackers WHERE NOT pg_catalog.pg_has_role(role_name, 'SET') LOOP
		BEGIN
			EXECUTE format('GRANT %I TO %I WITH INHERIT FALSE, SET TRUE', attacker.role_name, current_user);
		EXCEPTION WHEN insufficient_privilege THEN
			RAISE EXCEPTION 'role % cannot assume role %, so that nothing can be proved about it', current_user, attacker.role_name
				USING HINT = format('Whoever made that role, or a superuser, can allow it: GRANT %I TO %I WITH ADMIN OPTION',
					attacker.role_name, current_user);
		END;
	END LOOP;
END
$$;
