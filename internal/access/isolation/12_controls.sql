-- The positive control: each kind of role must be able to do what it is for. Where tenants can do nothing, nothing is
-- proved about what keeps them apart. What a trigger or a check of the table's own refuses is its business.
DO $$
DECLARE
	own text := current_setting('brownie.wanted')::jsonb->>'own';
	broken text[] := ARRAY['42501', '42P17', '42883', '42P01', '3F000', '0A000', '25001'];
	core text[] := ARRAY['public.organizations', 'public.teams', 'public.users', 'public.agent_configs', 'public.configs',
		'public.incidents', 'public.stats'];
	made boolean;
	task record;
	result record;
BEGIN
	FOR task IN
		SELECT a.role_name, a.bound, t.name, t.ident, t.tenant_column, k.what FROM brownie_attackers a
		JOIN brownie_targets t ON t.ident = ANY (core) AND t.key_type = 'uuid'::regtype
		CROSS JOIN unnest(ARRAY['read', 'insert', 'change', 'change the organization']) AS k (what)
		WHERE (k.what = 'read' OR (k.what = 'change the organization') = (t.ident = 'public.organizations'))
			AND EXISTS (SELECT FROM brownie_groups g WHERE k.what = ANY (g.tasks) AND pg_catalog.pg_has_role(a.role_name, g.oid, 'USAGE'))
	LOOP
		result := pg_temp.brownie_attempt(current_setting('brownie.owner'), ARRAY[format('SELECT FROM %s WHERE %I = %L LIMIT 1',
			task.ident, task.tenant_column, own)]);
		made := coalesce(result.touched > 0, false);
		result := pg_temp.brownie_attempt(task.role_name, ARRAY[CASE task.what
			WHEN 'read' THEN format('SELECT FROM %s WHERE %I = %L LIMIT 1', task.ident, task.tenant_column, own)
			WHEN 'change' THEN format('UPDATE %s SET updated_at = now() WHERE %I = %L', task.ident, task.tenant_column, own)
			WHEN 'insert' THEN format('SELECT pg_temp.brownie_insert(%L, gen_random_uuid()::text, %L)', task.ident,
				jsonb_build_object(task.tenant_column, own)
				|| CASE WHEN task.ident IN ('public.users', 'public.agent_configs', 'public.incidents')
					THEN jsonb_build_object('team_id', own) ELSE '{}' END)
			ELSE format('UPDATE public.organizations SET description = description WHERE id = %L', own) END]);
		INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail, bound)
		VALUES (task.name, 'positive control: ' || task.what, task.role_name,
			NOT (coalesce(result.code = ANY (broken), false) OR made AND task.what = 'read' AND (result.code IS NOT NULL
				OR result.touched = 0)),
			CASE WHEN result.code IS NULL AND result.touched > 0 THEN 'works'
				ELSE format('a tenant cannot do what the role is for, so that this database is not isolated but broken: %s. %s',
					coalesce(result.message, 'no row'), CASE
					WHEN result.message ~ 'schema public'
						THEN 'As the schema''s owner: GRANT USAGE ON SCHEMA public TO ' || pg_temp.brownie_tenant_names() ||
							', brownie_all_tenants, brownie_backup'
					WHEN result.code = '42501' AND result.message !~ 'row-level' THEN format('GRANT %s ON %s TO %I', CASE task.what
						WHEN 'read' THEN 'SELECT' WHEN 'insert' THEN 'INSERT' ELSE 'UPDATE' END, task.ident, task.role_name)
					ELSE format('To write the policies anew: SELECT brownie.isolate_table(%L)', task.ident) END) END, task.bound);
	END LOOP;

	FOR task IN
		SELECT 'brownie_pooler' AS role_name, 'brownie.pooler_lookup(text)' AS name, 'look up' AS what,
			'SELECT FROM brownie.pooler_lookup(''nobody'')' AS sql,
			'GRANT EXECUTE ON FUNCTION brownie.pooler_lookup(text) TO brownie_pooler' AS remedy
		UNION ALL SELECT 'brownie_monitor', 'pg_catalog.pg_stat_activity', 'read', 'SELECT FROM pg_catalog.pg_stat_activity',
			'GRANT pg_monitor TO brownie_monitor'
	LOOP
		result := pg_temp.brownie_attempt(task.role_name, ARRAY[task.sql]);
		INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail) VALUES (task.name,
			'positive control: ' || task.what, task.role_name, result.code IS NULL,
			CASE WHEN result.code IS NULL THEN 'works' ELSE format('the role cannot do what it is for: %s. %s', result.message,
				task.remedy) END);
	END LOOP;
	INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail)
	SELECT replace(ident, 'public.', ''), 'positive control: read', role_name, may, CASE WHEN may THEN 'works'
		ELSE format('the role cannot do what it is for. As the owner: GRANT USAGE ON SCHEMA public TO %I; GRANT SELECT ON %s TO %1$I',
			role_name, ident) END
	FROM unnest(core) AS ident, unnest(ARRAY['brownie_backup', 'brownie_all_tenants']) AS role_name,
		LATERAL (SELECT pg_catalog.has_schema_privilege(role_name, 'public', 'USAGE') AND (role_name <> 'brownie_backup'
			OR pg_catalog.has_table_privilege(role_name, ident, 'SELECT')) AS may) AS right_to_read
	WHERE to_regclass(ident) IS NOT NULL;
END
$$;
