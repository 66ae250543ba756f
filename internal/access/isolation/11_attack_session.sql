-- Tries to make the session be what it is not, and then to see the other tenant; and to change what a tenant's admin may
-- not change of its own organization.
DO $$
DECLARE
	other text := current_setting('brownie.wanted')::jsonb->>'other';
	look text := format('SELECT FROM public.incidents WHERE organization_id = %L', other);
	attacker record;
	attack record;
	result record;
BEGIN
	FOR attacker IN SELECT * FROM brownie_attackers LOOP
		FOR attack IN
			SELECT 'custom setting' AS name, 'brownie.current_binding' AS object, array_agg(format('SELECT set_config(%L, %L, true)',
				setting, other)) || look AS sql
			FROM unnest(ARRAY['app.organization_id', 'app.current_organization_id', 'app.org_id', 'app.tenant_id', 'app.current_tenant',
				'brownie.organization_id', 'brownie.tenant', 'brownie.session_user', 'rls.organization_id', 'request.jwt.claims',
					'my.org']) AS setting
			UNION ALL SELECT 'search_path', 'brownie.current_binding', ARRAY[
				format('CREATE TEMPORARY VIEW current_binding AS SELECT %L::uuid AS organization_id, true AS all_tenants, true AS '
					'writes_all_tenants', other),
				'SELECT set_config(''search_path'', ''pg_temp, public, brownie'', true)', look]
			UNION ALL SELECT 'row_security', 'public.incidents', ARRAY['SELECT set_config(''row_security'', ''off'', true)', look]
			UNION ALL SELECT 'change own binding', 'brownie.role_bindings', ARRAY[format(
				'UPDATE brownie.role_bindings SET organization_id = %L WHERE role_name = session_user', other)]
			UNION ALL SELECT 'change binding view', 'brownie.current_binding', ARRAY[format(
				'UPDATE brownie.current_binding SET organization_id = %L', other)]
			UNION ALL SELECT 'look past the binding view', 'brownie.current_binding', ARRAY[
				'SELECT pg_catalog.set_config(name, ''off'', true) FROM '
					'unnest(ARRAY[''enable_indexscan'', ''enable_bitmapscan'', ''enable_indexonlyscan'']) AS name',
				'SELECT pg_catalog.set_config(''brownie.reached'', '''', true)',
				format('SELECT FROM brownie.current_binding WHERE CASE WHEN organization_id = ANY (''{%s}'') '
					'THEN (SELECT pg_catalog.set_config(''brownie.reached'', ''yes'', true)) IS NULL ELSE false END', other),
				'SELECT WHERE pg_catalog.current_setting(''brownie.reached'') = ''yes''']
			UNION ALL SELECT 'change own ' || a.attname, 'public.organizations',
				ARRAY[format('UPDATE public.organizations SET %I = %1$I', a.attname)]
			FROM pg_catalog.pg_attribute a
			WHERE a.attrelid = 'public.organizations'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
				AND a.attname NOT IN ('description', 'config_yaml', 'config_json', 'config_version', 'settings', 'updated_at')
			UNION ALL SELECT 'statistics', 'pg_catalog.pg_stats', ARRAY[
				'SELECT FROM pg_catalog.pg_stats s JOIN brownie_targets t ON t.oid = format(''%I.%I'', s.schemaname, '
					's.tablename)::regclass']
			UNION ALL SELECT 'statistics', 'pg_catalog.' || catalog, ARRAY[format('SELECT FROM pg_catalog.%I LIMIT 1', catalog)]
			FROM unnest(ARRAY['pg_statistic', 'pg_statistic_ext_data', 'pg_authid']) AS catalog
		LOOP
			result := pg_temp.brownie_attempt(attacker.role_name, attack.sql);
			INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail, bound, is_cause) VALUES (attack.object,
				attack.name, attacker.role_name,
				CASE WHEN result.code IS NULL THEN result.touched = 0 ELSE result.code IN ('42501', '55000', '428C9') END,
				result.message, attacker.bound, false);
		END LOOP;
		-- PostgreSQL asks who logged in, and lets a superuser do it whatever role it has assumed. So a superuser's proof
		-- looks at the role instead.
		IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user) THEN
			INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail, bound, is_cause)
			SELECT rolname, 'set session authorization', rolname, NOT rolsuper,
				CASE WHEN rolsuper THEN 'a superuser may' ELSE 'only a superuser may' END, attacker.bound, false
			FROM pg_catalog.pg_roles WHERE rolname = attacker.role_name;
		ELSE
			result := pg_temp.brownie_attempt(attacker.role_name, ARRAY['SET LOCAL SESSION AUTHORIZATION brownie_all_tenants', look]);
			INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail, bound, is_cause) VALUES (attacker.role_name,
				'set session authorization', attacker.role_name,
				result.code = '42501', result.message, attacker.bound, false);
		END IF;
	END LOOP;
END
$$;
