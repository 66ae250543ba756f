-- Looks whether tables, policies, the binding view and the planner's fence are what the migrations made.

-- Every table needs a tenant's key that policies can compare, and row-level security, also for the owner. Of a partition
-- that is required if a tenant's role may use it directly. The bindings are read as their owner by the binding view, so
-- that there nobody else may have any right.
INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail)
SELECT t.name, 'row-level security', 'any', c.relrowsecurity AND (c.relforcerowsecurity OR t.ident = 'brownie.role_bindings'),
	CASE WHEN NOT c.relrowsecurity THEN 'is off. To switch it on, with the policies: SELECT brownie.isolate_table(' ||
		quote_literal(t.ident) || ')'
		WHEN NOT c.relforcerowsecurity AND t.ident <> 'brownie.role_bindings'
			THEN format('does not hold for the table''s owner: ALTER TABLE %s FORCE ROW LEVEL SECURITY', t.ident)
		ELSE 'is on, also for the owner' END
FROM brownie_targets t JOIN pg_catalog.pg_class c ON c.oid = t.oid
WHERE NOT c.relispartition OR EXISTS (SELECT FROM brownie_attackers a WHERE pg_temp.brownie_uses(a.role_name, c.oid))
UNION ALL
SELECT t.name, 'tenant column', 'any', false, format('%I is of type %s, which no policy can compare with a tenant''s key, a uuid: '
	'ALTER TABLE %s ALTER COLUMN %1$I TYPE uuid USING %1$I::uuid', t.tenant_column, t.declared_type, t.ident)
FROM brownie_targets t WHERE t.key_type <> 'uuid'::regtype
UNION ALL
SELECT core.name, 'tenant column', 'any', false, CASE WHEN to_regclass(core.ident) IS NULL
	THEN 'the table is missing: restore it from a backup'
	ELSE format('has no column organization_id: ALTER TABLE %s RENAME COLUMN %I TO organization_id; SELECT brownie.isolate_table(%1$L)',
		core.ident,
		coalesce((SELECT a.attname FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid
			AND a.attnum = f.conkey[1]
			WHERE f.conrelid = to_regclass(core.ident) AND f.contype = 'f' AND cardinality(f.conkey) = 1
				AND f.confrelid = to_regclass('public.organizations') LIMIT 1), '...')) END
FROM (SELECT name, 'public.' || name AS ident FROM unnest(ARRAY['organizations', 'teams', 'users', 'agent_configs', 'configs',
	'incidents', 'stats']) AS name) AS core
WHERE NOT EXISTS (SELECT FROM brownie_targets t WHERE t.ident = core.ident);

-- Whatever lets a tenant's role see or write a row must say what the isolation's own policies say. The server writes down
-- both for comparison, so that its version does not matter. Roles that other policies let through are remembered: what
-- they own or lend is a way around.
DO $$
DECLARE
	key record;
BEGIN
	CREATE TEMPORARY TABLE brownie_wanted_policies (tenant_column name, declared_type text, expression text) ON COMMIT DROP;
	FOR key IN SELECT DISTINCT tenant_column, declared_type FROM brownie_targets LOOP
		BEGIN
			EXECUTE format('CREATE TEMPORARY TABLE brownie_reference (%I %s)', key.tenant_column, key.declared_type);
			EXECUTE format('CREATE POLICY tenant ON pg_temp.brownie_reference USING (%I = brownie.planned_organization())',
				key.tenant_column);
			INSERT INTO brownie_wanted_policies
				SELECT key.tenant_column, key.declared_type, pg_catalog.pg_get_expr(polqual, polrelid)
				FROM pg_catalog.pg_policy WHERE polrelid = 'pg_temp.brownie_reference'::regclass;
			DROP TABLE pg_temp.brownie_reference;
		-- A key of another type is told as such.
		EXCEPTION WHEN undefined_function OR undefined_object OR invalid_schema_name THEN NULL;
		END;
	END LOOP;
	CREATE TEMPORARY TABLE brownie_policies ON COMMIT DROP AS
		SELECT t.oid, t.ident, t.name, p.polname, p.polroles, concat_ws(' and when ', pg_catalog.pg_get_expr(p.polqual, p.polrelid),
				pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)) AS expression,
			coalesce(coalesce(pg_catalog.pg_get_expr(p.polqual, p.polrelid), wanted.expression) = wanted.expression
				AND coalesce(pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), wanted.expression) = wanted.expression
				AND coalesce(p.polqual, p.polwithcheck) IS NOT NULL, false) AS is_tenants
		FROM brownie_targets t
		JOIN pg_catalog.pg_policy p ON p.polrelid = t.oid AND p.polpermissive
		LEFT JOIN brownie_wanted_policies wanted USING (tenant_column, declared_type);
	INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail)
	SELECT p.name, 'policy ' || p.polname, 'any', p.is_tenants, 'lets a tenant''s role through when ' || p.expression || CASE
		WHEN p.is_tenants THEN ''
		ELSE format('. To replace all policies of the table: SELECT brownie.isolate_table(%L)', p.ident) END
	FROM brownie_policies p
	WHERE EXISTS (
		SELECT FROM unnest(p.polroles) AS applies (role), brownie_attackers a
		WHERE applies.role = 0 OR pg_catalog.pg_has_role(a.role_name, applies.role, 'MEMBER'));
END
$$;

-- The restrictive policy that runs before everything else. Of a partition it is required if a tenant's role may use it.
DO $$
DECLARE
	target record;
	wanted text;
	found record;
BEGIN
	FOR target IN SELECT t.* FROM brownie_targets t JOIN pg_catalog.pg_class c ON c.oid = t.oid
		WHERE t.key_type = 'uuid'::regtype AND c.relrowsecurity AND EXISTS (SELECT FROM brownie_attackers a
			WHERE pg_temp.brownie_uses(a.role_name, c.oid))
	LOOP
		BEGIN
			EXECUTE format('CREATE TEMPORARY TABLE brownie_reference (%I %s)', target.tenant_column, target.declared_type);
			EXECUTE format('CREATE POLICY tenant ON pg_temp.brownie_reference USING (brownie.policy_first() AND (%I = ANY (ARRAY(SELECT '
				'organization_id FROM '
				'brownie.current_binding)) OR (SELECT all_tenants FROM brownie.current_binding) OR (SELECT '
					'pg_catalog.pg_has_role(relowner, ''USAGE'') '
				'FROM pg_catalog.pg_class WHERE oid = %L::regclass)))', target.tenant_column, target.ident);
			SELECT pg_catalog.pg_get_expr(polqual, polrelid) INTO wanted FROM pg_catalog.pg_policy
				WHERE polrelid = 'pg_temp.brownie_reference'::regclass;
			DROP TABLE pg_temp.brownie_reference;
		EXCEPTION WHEN undefined_function OR undefined_object OR invalid_schema_name THEN wanted := NULL;
		END;
		SELECT polname, pg_catalog.pg_get_expr(polqual, polrelid) AS expression, polcmd, polroles INTO found FROM pg_catalog.pg_policy
			WHERE polrelid = target.oid AND NOT polpermissive AND (0 = ANY (polroles) OR polroles && pg_temp.brownie_tenant_groups())
			ORDER BY polname COLLATE "C" LIMIT 1;
		INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail)
		SELECT target.name, 'first policy', 'any', is_so, CASE WHEN is_so THEN 'runs before every condition'
			ELSE format('the restrictive policy "0_tenant" is missing, not the first or not what the migrations made, so that conditions '
				'of a tenant may run '
				'on rows of others: SELECT brownie.isolate_table(%L)', target.ident) END
		FROM (SELECT coalesce(found.expression = wanted AND found.polcmd = '*' AND found.polroles @> pg_temp.brownie_tenant_groups(),
			false) AS is_so) AS judged;
	END LOOP;
END
$$;

-- The functions on which policies and triggers rest, by what they say.
INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail)
SELECT wanted.name, 'definition', 'any', is_so, CASE WHEN is_so THEN 'is what the migrations made'
	ELSE 'is not what the migrations made, so that conditions of a tenant may run on rows of others: run the migration that makes it '
		'down and up again' END
FROM (VALUES
	('brownie.policy_first()', 'fc0c0aa0ee8d3089e11a3ea23ccb207b', 'i', false, NULL::text[]),
	('brownie.planned_organization()', '82e8d2d557ad4eedb219dee4100e059b', 'i', false, NULL::text[])
) AS wanted (name, digest, volatility, definer, config)
CROSS JOIN LATERAL (SELECT EXISTS (
	SELECT FROM pg_catalog.pg_proc p WHERE p.oid = to_regprocedure(wanted.name) AND md5(p.prosrc) = wanted.digest
		AND p.provolatile::text = wanted.volatility
		AND p.prosecdef = wanted.definer AND p.proconfig IS NOT DISTINCT FROM wanted.config AND p.prolang = (SELECT oid
			FROM pg_catalog.pg_language WHERE lanname = 'plpgsql')
) AS is_so) AS found;

-- The binding view.
DO $$
BEGIN
	CREATE TEMPORARY VIEW brownie_reference_binding AS
		SELECT own.organization_id, own.access, own.all_tenants, own.writes_all_tenants
		FROM (
			SELECT organization_id, access,
				organization_id IS NULL AND access IN ('reader', 'writer', 'admin', 'backup') AS all_tenants,
				organization_id IS NULL AND access IN ('writer', 'admin') AS writes_all_tenants
			FROM brownie.role_bindings
			WHERE role_name = session_user AND (valid_until IS NULL OR valid_until > clock_timestamp())
			OFFSET 0
		) AS own;
	INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail)
	SELECT 'brownie.current_binding', 'definition', 'any',
		pg_catalog.pg_get_viewdef(c.oid) = pg_catalog.pg_get_viewdef('pg_temp.brownie_reference_binding'::regclass)
			AND c.reloptions @> ARRAY['security_barrier=true'],
		CASE WHEN c.reloptions @> ARRAY['security_barrier=true'] THEN ''
			ELSE 'is no security barrier: ALTER VIEW brownie.current_binding SET (security_barrier = true); ' END
			|| 'it is defined as' || pg_catalog.pg_get_viewdef(c.oid)
	FROM pg_catalog.pg_class c WHERE c.oid = 'brownie.current_binding'::regclass
	UNION ALL
	SELECT 'brownie.current_binding', 'owner', 'any', v.relowner = t.relowner, CASE WHEN v.relowner = t.relowner
		THEN 'is that of the bindings'
		ELSE format('is not the owner of the bindings, so that policies may hold for it: ALTER VIEW brownie.current_binding OWNER TO %I',
			pg_catalog.pg_get_userbyid(t.relowner)) END
	FROM pg_catalog.pg_class v, pg_catalog.pg_class t WHERE v.oid = 'brownie.current_binding'::regclass
		AND t.oid = 'brownie.role_bindings'::regclass;
END
$$;

-- An unconfined role is one that sees rows of all tenants, or can change the rules. One that watches sees what the sessions
-- of all tenants do, or can end them; it may still own views, since those show what its rights to tables allow.
CREATE TEMPORARY TABLE brownie_unconfined ON COMMIT DROP AS
	SELECT r.oid, r.rolname, r.rolname IN ('pg_monitor', 'pg_read_all_stats', 'pg_stat_scan_tables', 'pg_signal_backend') AS watches, CASE
		WHEN r.rolsuper THEN 'is a superuser' WHEN r.rolbypassrls THEN 'has BYPASSRLS'
		WHEN r.oid IN (SELECT oid FROM brownie_groups WHERE kind = 'above') THEN 'is above tenants'
		WHEN r.rolname LIKE 'pg\_%' THEN 'is above tenants'
		WHEN r.oid IN (SELECT oid FROM brownie_groups WHERE kind = 'granter') THEN 'hands out the group roles'
		WHEN r.rolname LIKE 'brownie\_maker\_%' THEN 'makes, changes and drops roles'
		WHEN p.polname IS NOT NULL THEN format('sees rows of other tenants by policy %I on %s', p.polname, p.name)
		ELSE 'owns tables of tenants or the database' END AS reason
	FROM pg_catalog.pg_roles r
	LEFT JOIN (SELECT DISTINCT ON (role) role, name, polname FROM brownie_policies, unnest(polroles) AS role
		WHERE NOT is_tenants ORDER BY role, name, polname) p ON p.role = r.oid
	WHERE r.rolsuper OR r.rolbypassrls OR p.polname IS NOT NULL OR r.rolname LIKE 'brownie\_maker\_%'
		OR r.oid IN (SELECT oid FROM brownie_groups WHERE kind IN ('above', 'granter')) OR r.rolname IN ('pg_read_all_data', 'pg_write_all_data',
			'pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files', 'pg_maintain', 'pg_create_subscription',
			'pg_monitor', 'pg_read_all_stats', 'pg_stat_scan_tables', 'pg_signal_backend')
		OR r.oid IN (SELECT c.relowner FROM brownie_targets t JOIN pg_catalog.pg_class c ON c.oid = t.oid)
		OR r.oid = (SELECT relowner FROM pg_catalog.pg_class WHERE oid = 'brownie.current_binding'::regclass)
		OR r.oid IN (SELECT nspowner FROM pg_catalog.pg_namespace WHERE nspname = 'brownie')
		OR r.oid = (SELECT datdba FROM pg_catalog.pg_database WHERE datname = current_database());
