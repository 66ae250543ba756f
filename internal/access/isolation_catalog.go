package access

// This file looks for ways around the policies that only the catalogs show, since they cannot be tried without harm, or
// not by a session that has more rights than the role it has assumed.

// definitionsSQL requires of every table a tenant's key that policies can compare, and row-level security, also for the
// owner. Of a partition it does so if a tenant's role may use it directly.
const definitionsSQL = `
	INSERT INTO brownie_findings
	SELECT t.name, 'row-level security', 'any', c.relrowsecurity AND c.relforcerowsecurity,
		CASE WHEN NOT c.relrowsecurity THEN 'is off. To switch it on, with the policies: SELECT brownie.isolate_table(' || quote_literal(t.name) || ')'
			WHEN NOT c.relforcerowsecurity THEN 'does not hold for the table''s owner: FORCE ROW LEVEL SECURITY is off'
			ELSE 'is on, also for the owner' END
	FROM brownie_targets t JOIN pg_catalog.pg_class c ON c.oid = t.oid
	WHERE NOT c.relispartition OR EXISTS (SELECT FROM brownie_attackers a WHERE ` + usesTable + `)
	UNION ALL
	SELECT t.name, 'tenant column', 'any', false, format('%I is of type %s, which no policy can compare with a tenant''s key, a uuid: '
		'ALTER TABLE %s ALTER COLUMN %1$I TYPE uuid USING %1$I::uuid', t.tenant_column, t.declared_type, t.name)
	FROM brownie_targets t WHERE t.key_type <> 'uuid'::regtype`

// usesTable says whether the role a may do anything with the rows of the table c.
const usesTable = `(pg_catalog.has_any_column_privilege(a.role_name, c.oid, 'SELECT, INSERT, UPDATE')
	OR pg_catalog.has_table_privilege(a.role_name, c.oid, 'DELETE, TRUNCATE'))`

// policiesSQL requires that whatever lets a tenant's role see or write a row says what the isolation's own policies say.
// The server writes down both for comparison, so that its version does not matter. Roles that other policies let through
// are remembered: what they own or lend is a way around.
const policiesSQL = `
DO $$
DECLARE
	key record;
BEGIN
	CREATE TEMPORARY TABLE brownie_wanted_policies (tenant_column name, declared_type text, expression text) ON COMMIT DROP;
	FOR key IN SELECT DISTINCT tenant_column, declared_type FROM brownie_targets LOOP
		BEGIN
			EXECUTE format('CREATE TEMPORARY TABLE brownie_reference (%I %s)', key.tenant_column, key.declared_type);
			EXECUTE format('CREATE POLICY tenant ON pg_temp.brownie_reference USING (%I = (SELECT organization_id FROM brownie.current_binding))',
				key.tenant_column);
			INSERT INTO brownie_wanted_policies
				SELECT key.tenant_column, key.declared_type, pg_catalog.pg_get_expr(polqual, polrelid)
				FROM pg_catalog.pg_policy WHERE polrelid = 'pg_temp.brownie_reference'::regclass;
			DROP TABLE pg_temp.brownie_reference;
		-- A key of another type is told as such.
		EXCEPTION WHEN undefined_function THEN NULL;
		END;
	END LOOP;
	CREATE TEMPORARY TABLE brownie_policies ON COMMIT DROP AS
		SELECT t.name, p.polname, p.polroles, concat_ws(' and when ', pg_catalog.pg_get_expr(p.polqual, p.polrelid),
				pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)) AS expression,
			coalesce(coalesce(pg_catalog.pg_get_expr(p.polqual, p.polrelid), wanted.expression) = wanted.expression
				AND coalesce(pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), wanted.expression) = wanted.expression
				AND coalesce(p.polqual, p.polwithcheck) IS NOT NULL, false) AS is_tenants
		FROM brownie_targets t
		JOIN pg_catalog.pg_policy p ON p.polrelid = t.oid AND p.polpermissive
		LEFT JOIN brownie_wanted_policies wanted USING (tenant_column, declared_type);
	INSERT INTO brownie_findings
	SELECT p.name, 'policy ' || p.polname, 'any', p.is_tenants, 'lets a tenant''s role through when ' || p.expression
	FROM brownie_policies p
	WHERE EXISTS (
		SELECT FROM unnest(p.polroles) AS applies (role), brownie_attackers a
		WHERE applies.role = 0 OR pg_catalog.pg_has_role(a.role_name, applies.role, 'MEMBER'));
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
		WHERE role_name = session_user AND (valid_until IS NULL OR valid_until > statement_timestamp());
	INSERT INTO brownie_findings
	SELECT 'brownie.current_binding', 'definition', 'any',
		pg_catalog.pg_get_viewdef(c.oid) = pg_catalog.pg_get_viewdef('pg_temp.brownie_reference_binding'::regclass)
			AND c.reloptions @> ARRAY['security_barrier=true'],
		CASE WHEN c.reloptions @> ARRAY['security_barrier=true'] THEN '' ELSE 'is no security barrier; ' END
			|| 'it is defined as' || pg_catalog.pg_get_viewdef(c.oid)
	FROM pg_catalog.pg_class c WHERE c.oid = 'brownie.current_binding'::regclass;
END
$$`

// An unconfined role is one that sees rows of all tenants, or can change the rules. One that watches sees what the sessions
// of all tenants do, or can end them; it may still own views, since those show what its rights to tables allow.
const unconfinedSQL = `
	unconfined AS (
		SELECT r.oid, r.rolname, r.rolname IN ('pg_monitor', 'pg_read_all_stats', 'pg_stat_scan_tables', 'pg_signal_backend') AS watches, CASE
			WHEN r.rolsuper THEN 'is a superuser' WHEN r.rolbypassrls THEN 'has BYPASSRLS'
			WHEN r.rolname IN ('brownie_all_tenants', 'brownie_backup', 'brownie_migrator') THEN 'is above tenants'
			WHEN r.rolname LIKE 'pg\_%' THEN 'is above tenants'
			WHEN p.polname IS NOT NULL THEN format('sees rows of other tenants by policy %I on %s', p.polname, p.name)
			ELSE 'owns tables of tenants or the database' END AS reason
		FROM pg_catalog.pg_roles r
		LEFT JOIN LATERAL (SELECT p.name, p.polname FROM brownie_policies p WHERE r.oid = ANY (p.polroles) AND NOT p.is_tenants
			ORDER BY 1, 2 LIMIT 1) p ON true
		WHERE r.rolsuper OR r.rolbypassrls OR p.polname IS NOT NULL
			OR r.rolname IN ('brownie_all_tenants', 'brownie_backup', 'brownie_migrator', 'pg_read_all_data', 'pg_write_all_data',
				'pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files', 'pg_maintain', 'pg_create_subscription',
				'pg_monitor', 'pg_read_all_stats', 'pg_stat_scan_tables', 'pg_signal_backend')
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
	FROM brownie_attackers a LEFT JOIN unconfined u ON u.rolname <> a.role_name AND pg_catalog.pg_has_role(a.role_name, u.oid, 'MEMBER')
		AND NOT (u.watches AND a.role_name = 'brownie_monitor')
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
	SELECT c.oid::regclass::text, 'privileges', a.role_name, false, 'may change which tenant a role acts for, or what may be done with a tenant', a.bound
	FROM brownie_attackers a, pg_catalog.pg_class c
	WHERE c.oid IN ('brownie.role_bindings'::regclass, 'brownie.current_binding'::regclass, 'brownie.organization_options'::regclass)
		AND (pg_catalog.has_any_column_privilege(a.role_name, c.oid, 'INSERT, UPDATE') OR pg_catalog.has_table_privilege(a.role_name, c.oid, 'DELETE'))
	UNION ALL
	SELECT c.oid::regclass::text, 'open table', min(a.role_name), false, 'has no organization_id, and tenants'' roles may use all of its rows. '
		'To keep them out: REVOKE ALL ON ' || c.oid::regclass || ' FROM PUBLIC, brownie_reader, brownie_writer, brownie_admin. If the rows are meant '
		'for all: ENABLE and FORCE ROW LEVEL SECURITY, and a policy that says so, FOR SELECT USING (true)', false
	FROM pg_catalog.pg_class c
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema')
	JOIN brownie_attackers a ON a.role_name NOT IN ('brownie_monitor', 'brownie_pooler') AND ` + usesTable + `
	WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
		AND c.oid NOT IN (SELECT oid FROM brownie_targets)
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
			WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
	GROUP BY c.oid
	UNION ALL
	SELECT 'database ' || current_database(), 'connect', 'any', NOT open.is_open, CASE WHEN open.is_open
		THEN format('roles of other databases of the cluster may connect: REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database())
		ELSE 'only roles that were allowed to may connect' END, false
	FROM (SELECT pg_catalog.has_database_privilege('public', current_database(), 'CONNECT') AS is_open) AS open
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
	SELECT c.oid::regclass::text, 'view', a.role_name, false, 'a materialized view of tenants'' rows, which no policy covers', a.bound
	FROM readers
	JOIN pg_catalog.pg_class c ON c.oid = readers.oid AND c.relkind = 'm'
	JOIN brownie_attackers a ON pg_catalog.has_any_column_privilege(a.role_name, c.oid, 'SELECT')
	UNION ALL
	SELECT c.oid::regclass::text, 'view', a.role_name, false, 'reads tenants'' rows with the rights of ' || u.rolname || ', which ' || u.reason
			|| ': ALTER VIEW … SET (security_invoker = true)', a.bound
	FROM readers
	JOIN pg_catalog.pg_class c ON c.oid = readers.oid AND c.relkind <> 'm' AND c.relpersistence <> 't' AND c.oid <> 'brownie.current_binding'::regclass
	JOIN unconfined u ON NOT u.watches AND (u.oid = c.relowner OR pg_catalog.pg_has_role(c.relowner, u.oid, 'USAGE'))
	JOIN brownie_attackers a ON pg_catalog.has_any_column_privilege(a.role_name, c.oid, 'SELECT, INSERT, UPDATE')
		OR pg_catalog.has_table_privilege(a.role_name, c.oid, 'DELETE')
	WHERE NOT EXISTS (
		SELECT FROM pg_catalog.pg_options_to_table(c.reloptions) WHERE option_name = 'security_invoker' AND option_value::boolean)
	GROUP BY c.oid, a.role_name, a.bound, u.rolname, u.reason
	UNION ALL
	SELECT p.oid::regprocedure::text, 'security definer', a.role_name, false,
		'runs with the rights of ' || u.rolname || ', which ' || u.reason || '. Revoke EXECUTE, or give it to an owner without such rights', a.bound
	FROM pg_catalog.pg_proc p
	JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema')
	JOIN unconfined u ON NOT u.watches AND (u.oid = p.proowner OR pg_catalog.pg_has_role(p.proowner, u.oid, 'USAGE'))
	JOIN brownie_attackers a ON pg_catalog.has_function_privilege(a.role_name, p.oid, 'EXECUTE')
		AND pg_catalog.has_schema_privilege(a.role_name, n.oid, 'USAGE')
	WHERE p.prosecdef AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) AND p.oid <> to_regprocedure('brownie.pooler_lookup(text)')
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
			WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
	GROUP BY p.oid, a.role_name, a.bound, u.rolname, u.reason
	UNION ALL
	SELECT c.oid::regclass::text, 'trigger ' || g.tgname, min(a.role_name), false, format('calls %s, which runs with the rights of %I, which %s. '
		'Make it SECURITY INVOKER, or give it to an owner without such rights', p.oid::regprocedure, u.rolname, u.reason), false
	FROM pg_catalog.pg_trigger g
	JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
	JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid AND p.prosecdef
	JOIN unconfined u ON NOT u.watches AND (u.oid = p.proowner OR pg_catalog.pg_has_role(p.proowner, u.oid, 'USAGE'))
	JOIN brownie_attackers a ON ` + changesTable + `
	WHERE NOT g.tgisinternal
	GROUP BY c.oid, g.tgname, p.oid, u.rolname, u.reason
	UNION ALL
	SELECT 'brownie.pooler_lookup(text)', 'security definer', a.role_name, false, 'tells the names of roles to others than the pooler', a.bound
	FROM brownie_attackers a WHERE pg_catalog.has_function_privilege(a.role_name, 'brownie.pooler_lookup(text)', 'EXECUTE')
		AND NOT pg_catalog.pg_has_role(a.role_name, 'brownie_pooler', 'USAGE')
	UNION ALL
	SELECT c.oid::regclass::text, 'sequence', a.role_name, false, 'shows how many rows other tenants make', a.bound
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, brownie_attackers a
	WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
		AND pg_catalog.has_sequence_privilege(a.role_name, c.oid, 'SELECT, USAGE, UPDATE')`

// changesTable says whether the role a may write rows of the table c.
const changesTable = `(pg_catalog.has_any_column_privilege(a.role_name, c.oid, 'INSERT, UPDATE')
	OR pg_catalog.has_table_privilege(a.role_name, c.oid, 'DELETE'))`

// keysSQL looks for constraints by whose failures a tenant could learn of other tenants' rows: foreign keys that accept
// rows of all tenants, and unique keys among all tenants. Primary keys are left out, since nobody guesses a uuid; and so
// is what people log in by, which is unique on purpose.
const keysSQL = `
	INSERT INTO brownie_findings
	SELECT t.name, 'foreign key ' || f.conname, min(a.role_name), false, format('accepts rows of %s of other tenants. '
		'Make it one of both columns: FOREIGN KEY (…, %I) REFERENCES %2$s (…, %I)', r.name, t.tenant_column, r.tenant_column), false
	FROM pg_catalog.pg_constraint f
	JOIN brownie_targets t ON t.oid = f.conrelid
	JOIN brownie_targets r ON r.oid = f.confrelid AND r.oid <> 'public.organizations'::regclass
	JOIN pg_catalog.pg_class c ON c.oid = t.oid
	JOIN brownie_attackers a ON ` + changesTable + `
	WHERE f.contype = 'f' AND NOT EXISTS (
		SELECT FROM unnest(f.conkey, f.confkey) AS pair (referencing, referenced)
		WHERE pair.referencing = t.tenant_attnum AND pair.referenced = r.tenant_attnum)
	GROUP BY t.name, f.conname, r.name, t.tenant_column, r.tenant_column
	UNION ALL
	SELECT t.name, 'foreign key of ' || a.attname, 'any', false, 'there is none, so that the column accepts the IDs of other tenants'' rows: '
		'ADD FOREIGN KEY (' || a.attname || ', organization_id) REFERENCES … (id, organization_id)', false
	FROM (VALUES ('public.users'::regclass, 'team_id'), ('public.agent_configs', 'team_id'), ('public.configs', 'team_id'), ('public.stats', 'team_id'),
		('public.incidents', 'team_id'), ('public.incidents', 'assigned_to'), ('public.incidents', 'created_by')) AS core (oid, column_name)
	JOIN brownie_targets t USING (oid)
	JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attname = core.column_name AND NOT a.attisdropped
	WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint f WHERE f.conrelid = t.oid AND f.contype = 'f' AND a.attnum = ANY (f.conkey))
	UNION ALL
	SELECT t.name, 'unique key ' || k.relname, min(a.role_name), false, format('a refused row tells what other tenants have. '
		'Make the key unique for each tenant: (%I, …)', t.tenant_column), false
	FROM brownie_targets t
	JOIN pg_catalog.pg_index i ON i.indrelid = t.oid AND (i.indisunique AND NOT i.indisprimary OR i.indisexclusion)
		AND t.tenant_attnum <> ALL (i.indkey)
	JOIN pg_catalog.pg_class k ON k.oid = i.indexrelid
	JOIN pg_catalog.pg_class c ON c.oid = t.oid
	JOIN brownie_attackers a ON ` + changesTable + `
	WHERE t.oid <> 'public.organizations'::regclass AND NOT (t.oid = 'public.users'::regclass AND i.indnatts = 1 AND EXISTS (
		SELECT FROM pg_catalog.pg_attribute u WHERE u.attrelid = t.oid AND u.attnum = i.indkey[0] AND u.attname IN ('email', 'username', 'oidc_subject')))
	GROUP BY t.name, k.relname, t.tenant_column`

// statisticsSQL looks for statistics that show values of all tenants to the planner, and by its estimates to everybody who
// may EXPLAIN. Only who may read pg_statistic, a superuser as a rule, sees what was collected; others see what will be.
const statisticsSQL = `
DO $$
DECLARE
	collected text := 'false';
BEGIN
	IF pg_catalog.has_table_privilege('pg_catalog.pg_statistic', 'SELECT') THEN
		collected := 'EXISTS (SELECT FROM pg_catalog.pg_statistic s WHERE s.starelid = a.attrelid AND s.staattnum = a.attnum)';
	END IF;
	EXECUTE format($sql$
		INSERT INTO brownie_findings
		SELECT t.name, 'statistics', 'any', count(*) FILTER (WHERE shown.collects OR shown.collected) = 0,
			CASE WHEN count(*) FILTER (WHERE shown.collects OR shown.collected) = 0 THEN 'none that show values of other tenants'
				ELSE 'by many EXPLAINs a tenant can guess values of other tenants in ' || string_agg(DISTINCT shown.name, ', ')
					FILTER (WHERE shown.collects OR shown.collected)
					|| format(': SELECT brownie.hide_statistics(%%L)', t.name) END
		FROM brownie_targets t
		LEFT JOIN pg_catalog.pg_index i ON i.indrelid = t.oid
		JOIN pg_catalog.pg_attribute a ON a.attnum > 0 AND NOT a.attisdropped
			AND (a.attrelid = t.oid OR a.attrelid = i.indexrelid AND i.indkey[a.attnum - 1] = 0)
		JOIN pg_catalog.pg_type y ON y.oid = a.atttypid AND y.typcategory NOT IN ('B', 'D', 'E')
		CROSS JOIN LATERAL (
			SELECT a.attstattarget IS DISTINCT FROM 0 AS collects, %s AS collected,
				CASE a.attrelid WHEN t.oid THEN a.attname ELSE 'an expression of index ' || a.attrelid::regclass END AS name
		) AS shown
		GROUP BY t.name
		UNION ALL
		SELECT t.name, 'statistics ' || e.stxname, 'any', false,
			'extended statistics show values of other tenants: DROP STATISTICS ' || quote_ident(e.stxnamespace::regnamespace::text) || '.' || quote_ident(e.stxname)
		FROM brownie_targets t JOIN pg_catalog.pg_statistic_ext e ON e.stxrelid = t.oid
	$sql$, collected);
END
$$`
