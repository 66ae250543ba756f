package access

// This file looks for ways around the policies that only the catalogs show, since they cannot be tried without harm, or
// not by a session that has more rights than the role it has assumed.

// definitionsSQL requires row-level security, also for the owner, of every table.
const definitionsSQL = `
	INSERT INTO brownie_findings
	SELECT t.name, 'row-level security', 'any', c.relrowsecurity AND c.relforcerowsecurity,
		CASE WHEN NOT c.relrowsecurity THEN 'is off. To switch it on, with the policies: SELECT brownie.isolate_table(' || quote_literal(t.name) || ')'
			WHEN NOT c.relforcerowsecurity THEN 'does not hold for the table''s owner: FORCE ROW LEVEL SECURITY is off'
			ELSE 'is on, also for the owner' END
	FROM brownie_targets t JOIN pg_catalog.pg_class c ON c.oid = t.oid`

// policiesSQL requires that whatever lets a tenant's role see or write a row says what the isolation's own policies say.
// The server writes down both for comparison, so that its version does not matter.
const policiesSQL = `
DO $$
DECLARE
	policy record;
	tenant_column name;
BEGIN
	FOREACH tenant_column IN ARRAY ARRAY['organization_id', 'id'] LOOP
		EXECUTE format('CREATE TEMPORARY TABLE %I (%I uuid) ON COMMIT DROP', 'brownie_reference_' || tenant_column, tenant_column);
		EXECUTE format('CREATE POLICY tenant ON pg_temp.%I USING (%I = (SELECT organization_id FROM brownie.current_binding))',
			'brownie_reference_' || tenant_column, tenant_column);
	END LOOP;
	INSERT INTO brownie_findings
	SELECT t.name, 'policy ' || p.polname, 'any', coalesce(
			coalesce(pg_catalog.pg_get_expr(p.polqual, p.polrelid), wanted.expression) = wanted.expression
			AND coalesce(pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), wanted.expression) = wanted.expression
			AND coalesce(p.polqual, p.polwithcheck) IS NOT NULL, false),
		'lets a tenant''s role through when ' || concat_ws(' and when ', pg_catalog.pg_get_expr(p.polqual, p.polrelid),
			pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
	FROM brownie_targets t
	JOIN pg_catalog.pg_policy p ON p.polrelid = t.oid AND p.polpermissive
	JOIN LATERAL (
		SELECT pg_catalog.pg_get_expr(r.polqual, r.polrelid) AS expression FROM pg_catalog.pg_policy r
		WHERE r.polrelid = to_regclass(format('pg_temp.%I', 'brownie_reference_' || t.tenant_column))
	) wanted ON true
	WHERE EXISTS (
		SELECT FROM unnest(p.polroles) AS applies (role), brownie_attackers a
		WHERE applies.role = 0 OR pg_catalog.pg_has_role(a.role_name, applies.role, 'USAGE'));
END
$$`

// bindingSQL requires that the view of the current binding is what the migration made.
const bindingSQL = `
DO $$
BEGIN
	CREATE TEMPORARY VIEW brownie_reference_binding AS
		SELECT organization_id, access,
			organization_id IS NULL AND access IN ('reader', 'writer', 'admin', 'backup') AS all_tenants,
			organization_id IS NULL AND access IN ('writer', 'admin') AS writes_all_tenants
		FROM brownie.role_bindings
		WHERE role_name = session_user AND (valid_until IS NULL OR valid_until > now());
	INSERT INTO brownie_findings
	SELECT 'brownie.current_binding', 'definition', 'any',
		pg_catalog.pg_get_viewdef(c.oid) = pg_catalog.pg_get_viewdef('pg_temp.brownie_reference_binding'::regclass)
			AND c.reloptions @> ARRAY['security_barrier=true'],
		CASE WHEN c.reloptions @> ARRAY['security_barrier=true'] THEN '' ELSE 'is no security barrier; ' END
			|| 'it is defined as' || pg_catalog.pg_get_viewdef(c.oid)
	FROM pg_catalog.pg_class c WHERE c.oid = 'brownie.current_binding'::regclass;
END
$$`

// An unconfined role is one that sees rows of all tenants, or can change the rules.
const unconfinedSQL = `
	unconfined AS (
		SELECT r.oid, r.rolname, CASE
			WHEN r.rolsuper THEN 'is a superuser' WHEN r.rolbypassrls THEN 'has BYPASSRLS'
			WHEN r.rolname IN ('brownie_all_tenants', 'brownie_backup', 'brownie_migrator') THEN 'is above tenants'
			WHEN r.rolname LIKE 'pg\_%' THEN 'is above tenants'
			ELSE 'owns tables of tenants or the database' END AS reason
		FROM pg_catalog.pg_roles r
		WHERE r.rolsuper OR r.rolbypassrls OR r.rolname IN ('brownie_all_tenants', 'brownie_backup', 'brownie_migrator', 'pg_read_all_data',
				'pg_write_all_data', 'pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files', 'pg_maintain')
			OR r.oid IN (SELECT c.relowner FROM brownie_targets t JOIN pg_catalog.pg_class c ON c.oid = t.oid)
			OR r.oid = (SELECT relowner FROM pg_catalog.pg_class WHERE oid = 'brownie.current_binding'::regclass)
			OR r.oid IN (SELECT nspowner FROM pg_catalog.pg_namespace WHERE nspname = 'brownie')
			OR r.oid = (SELECT datdba FROM pg_catalog.pg_database WHERE datname = current_database())
	)`

// rightsSQL looks at what each role is, belongs to and may do beyond the rows of its tenant.
const rightsSQL = `
	WITH ` + unconfinedSQL + `
	INSERT INTO brownie_findings
	SELECT a.role_name, 'attributes', a.role_name, NOT (r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolreplication),
		coalesce(nullif(concat_ws(', ', CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
			CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END), ''), 'none that matters'), a.bound
	FROM brownie_attackers a JOIN pg_catalog.pg_roles r ON r.rolname = a.role_name
	UNION ALL
	SELECT coalesce(u.rolname, a.role_name), 'set role', a.role_name, u.oid IS NULL,
		coalesce('is a member of ' || u.rolname || ', which ' || u.reason, 'is no member of a role that is above tenants'), a.bound
	FROM brownie_attackers a LEFT JOIN unconfined u ON u.rolname <> a.role_name AND u.rolname NOT LIKE 'pg\_%monitor%'
		AND pg_catalog.pg_has_role(a.role_name, u.oid, 'MEMBER')
	UNION ALL
	SELECT coalesce(o.name, '*'), 'ownership', a.role_name, o.name IS NULL, CASE WHEN o.name IS NULL THEN 'owns none' ELSE 'owns it' END, a.bound
	FROM brownie_attackers a LEFT JOIN (
		SELECT t.name, c.relowner FROM brownie_targets t JOIN pg_catalog.pg_class c ON c.oid = t.oid
		UNION ALL SELECT 'schema ' || nspname, nspowner FROM pg_catalog.pg_namespace WHERE nspname IN ('public', 'brownie')
	) o ON o.relowner = quote_ident(a.role_name)::regrole
	UNION ALL
	SELECT t.name, 'privileges', a.role_name, false, 'may TRUNCATE, REFERENCE or put triggers on it, past every policy', a.bound
	FROM brownie_attackers a, brownie_targets t
	WHERE pg_catalog.has_table_privilege(a.role_name, t.oid, 'TRUNCATE, REFERENCES, TRIGGER')
	UNION ALL
	SELECT r.rolname, 'pooled superuser', r.rolname, false, 'is a superuser and a member of brownie_pooled, so that the pooler''s certificate opens it', false
	FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.member AND r.rolsuper
	WHERE m.roleid = 'brownie_pooled'::regrole
	UNION ALL
	SELECT 'schema ' || n.nspname, 'create in schema', a.role_name, NOT pg_catalog.has_schema_privilege(a.role_name, n.oid, 'CREATE'),
		CASE WHEN pg_catalog.has_schema_privilege(a.role_name, n.oid, 'CREATE') THEN 'may create what others might run' ELSE 'may not' END, a.bound
	FROM brownie_attackers a, pg_catalog.pg_namespace n WHERE n.nspname IN ('public', 'brownie')`

// waysAroundSQL looks for what reads tenants' tables with somebody else's rights, and for counters that tenants share.
const waysAroundSQL = `
	WITH RECURSIVE ` + unconfinedSQL + `, readers AS (
		SELECT r.ev_class AS oid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
		WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
			AND d.refobjid IN (SELECT oid FROM brownie_targets) AND d.refobjid <> r.ev_class
		UNION
		SELECT r.ev_class FROM readers
		JOIN pg_catalog.pg_depend d ON d.refobjid = readers.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
		JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_catalog.pg_rewrite'::regclass
		WHERE d.refobjid <> r.ev_class
	)
	INSERT INTO brownie_findings
	SELECT c.oid::regclass::text, 'view', a.role_name, false, CASE c.relkind
		WHEN 'm' THEN 'a materialized view of tenants'' rows, which no policy covers'
		ELSE 'reads tenants'' rows with the rights of ' || u.rolname || ', which ' || u.reason
			|| ': ALTER VIEW … SET (security_invoker = true)' END, a.bound
	FROM readers
	JOIN pg_catalog.pg_class c ON c.oid = readers.oid AND c.relpersistence <> 't' AND c.oid <> 'brownie.current_binding'::regclass
	JOIN unconfined u ON u.oid = c.relowner OR pg_catalog.pg_has_role(c.relowner, u.oid, 'USAGE')
	JOIN brownie_attackers a ON pg_catalog.has_any_column_privilege(a.role_name, c.oid, 'SELECT, INSERT, UPDATE')
	WHERE c.relkind = 'm' OR NOT EXISTS (
		SELECT FROM pg_catalog.pg_options_to_table(c.reloptions) WHERE option_name = 'security_invoker' AND option_value::boolean)
	GROUP BY c.oid, c.relkind, a.role_name, a.bound, u.rolname, u.reason
	UNION ALL
	SELECT p.oid::regprocedure::text, 'security definer', a.role_name, false,
		'runs with the rights of ' || u.rolname || ', which ' || u.reason || '. Revoke EXECUTE, or give it to an owner without such rights', a.bound
	FROM pg_catalog.pg_proc p
	JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema')
	JOIN unconfined u ON u.oid = p.proowner OR pg_catalog.pg_has_role(p.proowner, u.oid, 'USAGE')
	JOIN brownie_attackers a ON pg_catalog.has_function_privilege(a.role_name, p.oid, 'EXECUTE')
		AND pg_catalog.has_schema_privilege(a.role_name, n.oid, 'USAGE')
	WHERE p.prosecdef AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) AND p.oid <> to_regprocedure('brownie.pooler_lookup(text)')
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
			WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
	GROUP BY p.oid, a.role_name, a.bound, u.rolname, u.reason
	UNION ALL
	SELECT 'brownie.pooler_lookup(text)', 'security definer', a.role_name, false, 'tells the names of roles to others than the pooler', a.bound
	FROM brownie_attackers a WHERE pg_catalog.has_function_privilege(a.role_name, 'brownie.pooler_lookup(text)', 'EXECUTE')
		AND NOT pg_catalog.pg_has_role(a.role_name, 'brownie_pooler', 'USAGE')
	UNION ALL
	SELECT c.oid::regclass::text, 'sequence', a.role_name, false, 'shows how many rows other tenants make', a.bound
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, brownie_attackers a
	WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
		AND pg_catalog.has_sequence_privilege(a.role_name, c.oid, 'SELECT, USAGE')`
