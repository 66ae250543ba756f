-- Tries to reach the other tenant's rows, with each role, in each table. An attempt that fails for any other reason than a
-- missing right proves nothing; then the tenant is stopped if the table's definition and policies are what they should be.
-- A row that a trigger gave back to the own tenant did not get to the other one. The last attempt puts a condition of the
-- tenant, and a sub-select that shows whether it was reached, in front of the policy, and in an INSERT that finds the other
-- tenant's row in its way.
DO $$
DECLARE
	own text := current_setting('brownie.wanted')::jsonb->>'own';
	other text := current_setting('brownie.wanted')::jsonb->>'other';
	attacker record;
	target record;
	attack record;
	result record;
	changeable name;
	prover name := current_user;
BEGIN
	SET CONSTRAINTS ALL IMMEDIATE;
	CREATE TEMPORARY TABLE brownie_guarded ON COMMIT DROP AS
		SELECT t.*, NOT EXISTS (SELECT FROM brownie_findings f WHERE f.table_name = t.name
			AND NOT f.stopped) AS guarded, NULL::text AS other_row, NULL::text AS other_place
		FROM brownie_targets t WHERE t.key_type IN ('uuid'::regtype, 'text'::regtype, 'varchar'::regtype, 'bpchar'::regtype);
	FOR target IN SELECT * FROM brownie_guarded LOOP
		BEGIN
			EXECUTE format('SET LOCAL ROLE %I', current_setting('brownie.owner'));
			EXECUTE format('SELECT to_jsonb(t)::text, t.ctid::text FROM %s AS t WHERE t.%I = %L LIMIT 1', target.ident,
				target.tenant_column, other)
				INTO target.other_row, target.other_place;
		EXCEPTION
			WHEN lock_not_available OR deadlock_detected THEN RAISE;
			WHEN OTHERS THEN NULL;
		END;
		EXECUTE format('SET LOCAL ROLE %I', prover);
		UPDATE brownie_guarded SET other_row = target.other_row, other_place = target.other_place WHERE oid = target.oid;
	END LOOP;
	FOR attacker IN SELECT * FROM brownie_attackers LOOP
		FOR target IN SELECT * FROM brownie_guarded LOOP
			SELECT coalesce(min(attname) FILTER (WHERE attname <> target.tenant_column), target.tenant_column) INTO changeable
			FROM pg_catalog.pg_attribute
			WHERE attrelid = target.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity = ''
				AND pg_catalog.has_column_privilege(attacker.role_name, attrelid, attnum, 'UPDATE')
				AND pg_catalog.has_column_privilege(attacker.role_name, attrelid, attnum, 'SELECT');
			FOR attack IN
				SELECT 'read' AS name, ARRAY['42501'] AS refusals, NULL::bigint AS harmless_growth,
					ARRAY[format('SELECT FROM %s WHERE %I IS DISTINCT FROM %L LIMIT 1', target.ident, target.tenant_column, own)] AS sql
				UNION ALL SELECT 'insert', ARRAY['42501'], 1,
					ARRAY[format('INSERT INTO %s (%I) VALUES (%L)', target.ident, target.tenant_column, other)]
				UNION ALL SELECT 'update', ARRAY['42501'], NULL,
					ARRAY[format('UPDATE %s SET %I = %2$I WHERE %I = %L', target.ident, changeable, target.tenant_column, other)]
				UNION ALL SELECT 'delete', ARRAY['42501'], NULL,
					ARRAY[format('DELETE FROM %s WHERE %I = %L', target.ident, target.tenant_column, other)]
				UNION ALL SELECT 're-parent', ARRAY['42501', '23514'], 0,
					ARRAY[format('UPDATE %s SET %I = %L WHERE %2$I = %4$L', target.ident, target.tenant_column, other, own)]
				UNION ALL SELECT 'steal', ARRAY['42501'], NULL,
					ARRAY[format('UPDATE %s SET %I = %L WHERE %2$I = %4$L', target.ident, target.tenant_column, own, other)]
				UNION ALL SELECT 'reference by ' || a.attname, ARRAY['42501', '23503', '23514'], NULL,
					ARRAY[format('UPDATE %s SET %I = %L WHERE %I = %L', target.ident, a.attname, other, target.tenant_column, own)]
				FROM pg_catalog.pg_constraint f
				JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = ANY (f.conkey)
				WHERE f.contype = 'f' AND f.conrelid = target.oid AND a.attname <> target.tenant_column AND f.confrelid IN
					('public.organizations'::regclass, 'public.teams'::regclass, 'public.users'::regclass)
				GROUP BY a.attname
				-- The row is looked at by its place, so that nothing else of a large table is.
				UNION ALL SELECT 'condition before the policy', ARRAY['42501'], NULL, ARRAY[
					'SELECT pg_catalog.set_config(''brownie.reached'', '''', true)',
					format('SELECT FROM %2$s AS t WHERE t.ctid = %4$L AND CASE WHEN t.%1$I = ANY (''{%3$s}'') '
						'THEN (SELECT pg_catalog.set_config(''brownie.reached'', ''yes'', true)) IS NULL ELSE false END',
							target.tenant_column, target.ident, other, target.other_place),
					'SELECT WHERE pg_catalog.current_setting(''brownie.reached'') = ''yes''']
				UNION ALL SELECT 'condition merged with the policy', ARRAY['42501'], NULL, ARRAY[
					'SELECT pg_catalog.set_config(''brownie.reached'', '''', true)',
					format('SELECT FROM %2$s AS t WHERE t.ctid = %4$L AND (CASE WHEN t.%1$I = ANY (''{%3$s}'') THEN (SELECT CASE WHEN '
						'pg_catalog.set_config(''brownie.reached'', ''yes'', true) '
						'IS NOT NULL THEN pg_catalog.gen_random_uuid() END) END) = (CASE WHEN t.%1$I IS NOT NULL THEN t.%1$I END) '
						'AND (CASE WHEN t.%1$I IS NOT NULL THEN t.%1$I END) = t.%1$I', target.tenant_column, target.ident, other,
							target.other_place),
					'SELECT WHERE pg_catalog.current_setting(''brownie.reached'') = ''yes''']
				UNION ALL SELECT 'condition on a row in the way of ' || k.relname, ARRAY['42501', '23505'], NULL, ARRAY[
					'SELECT pg_catalog.set_config(''brownie.reached'', '''', true)',
					format('INSERT INTO %1$s (%2$s) OVERRIDING SYSTEM VALUE SELECT %3$s FROM '
						'pg_catalog.jsonb_populate_record(NULL::%1$s, %4$L) AS r '
						'ON CONFLICT (%5$s) DO UPDATE SET %6$I = excluded.%6$I WHERE (SELECT '
							'pg_catalog.set_config(''brownie.reached'', ''yes'', true)) IS NULL',
						target.ident, columns.names, columns.vals, target.other_row, columns.keys, changeable),
					'SELECT WHERE pg_catalog.current_setting(''brownie.reached'') = ''yes''']
				FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class k ON k.oid = i.indexrelid
				CROSS JOIN LATERAL (
					SELECT string_agg(quote_ident(a.attname), ', ') AS names, string_agg(CASE WHEN target.ident <> 'public.organizations'
							AND a.attname IN (target.tenant_column, 'org_id') THEN quote_literal(own) || '::uuid'
								ELSE format('r.%I', a.attname) END, ', ') AS vals,
						string_agg(quote_ident(a.attname), ', ') FILTER (WHERE a.attnum = ANY (i.indkey[:i.indnkeyatts - 1])) AS keys
					FROM pg_catalog.pg_attribute a WHERE a.attrelid = target.oid AND a.attnum > 0 AND NOT a.attisdropped
						AND a.attgenerated = ''
				) AS columns
				WHERE i.indrelid = target.oid AND i.indisunique AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
					AND target.tenant_attnum <> ALL (i.indkey[:i.indnkeyatts - 1]) AND target.other_row IS NOT NULL
			LOOP
				result := pg_temp.brownie_attempt(attacker.role_name, attack.sql, CASE WHEN attack.harmless_growth IS NOT NULL
					THEN format('SELECT count(*) FROM %s WHERE %I = %L', target.ident, target.tenant_column, own) END);
				INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail, bound, is_cause) VALUES (target.name,
					attack.name, attacker.role_name,
					CASE WHEN result.code IS NULL THEN result.touched = 0
							OR coalesce(result.counted + attack.harmless_growth > 0 AND result.grown = attack.harmless_growth, false)
						WHEN result.code = ANY (attack.refusals) THEN true
						ELSE target.guarded END,
					CASE WHEN result.code <> ALL (attack.refusals) THEN 'inconclusive: ' || result.message || CASE WHEN target.guarded
						THEN '. The table''s definition and policies are what they should be' ELSE '' END
						WHEN attack.name LIKE 'condition %' AND result.touched > 0
						THEN 'a tenant''s condition runs on rows that the policy hides, and shows their values. To write the policies '
							'and the guard anew: SELECT brownie.isolate_table('
							|| quote_literal(target.ident) || ')' ELSE result.message END,
					attacker.bound, false);
			END LOOP;
		END LOOP;
	END LOOP;
END
$$;
