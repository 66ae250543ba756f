-- What runs with the owner's rights: the statements in the setting brownie.run. It leaves the rows of the last one in the
-- setting brownie.rows. EXECUTE of a prepared statement finds out the types of its parameters. Rows that a policy hides are not
-- gone, so that a statement with fewer rows than its fewest is refused, unless a policy shows the session the rows of all tenants.
DECLARE
	statement record;
	result record;
	rows json[] := '{}';
	shown bigint;
	cause text;
	policies text;
BEGIN
	PERFORM set_config('TimeZone', 'UTC', true), set_config('row_security', 'on', true);
	FOR statement IN
		SELECT value->>'sql' AS sql, i = json_array_length(run->'statements') AS is_last,
			(value->>'fewest')::integer AS fewest, (value->>'computed')::boolean AS computed, coalesce((
			SELECT '(' || string_agg(quote_nullable(CASE json_typeof(arg) WHEN 'array'
				THEN ARRAY(SELECT json_array_elements_text(arg))::text
				ELSE arg #>> '{}' END), ', ' ORDER BY n) || ')'
			FROM json_array_elements(value->'args') WITH ORDINALITY AS args (arg, n)), '') AS args
		FROM CAST(current_setting('brownie.run') AS json) AS run,
			json_array_elements(run->'statements') WITH ORDINALITY AS statements (value, i) ORDER BY i
	LOOP
		IF EXISTS (SELECT FROM pg_prepared_statements WHERE name = 'brownie_run') THEN
			DEALLOCATE brownie_run;
		END IF;
		EXECUTE 'PREPARE brownie_run AS ' || statement.sql;
		IF statement.is_last THEN
			FOR result IN EXECUTE 'EXECUTE brownie_run' || statement.args LOOP
				rows := rows || to_json(result);
			END LOOP;
			shown := cardinality(rows);
		ELSE
			EXECUTE 'EXECUTE brownie_run' || statement.args;
			GET DIAGNOSTICS shown = ROW_COUNT;
		END IF;
		CONTINUE WHEN shown >= statement.fewest::bigint OR to_regclass('brownie.current_binding') IS NULL;
		SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.relname) FILTER (WHERE NOT visible),
			string_agg(narrowing, ', ' ORDER BY c.relname) FILTER (WHERE strpos(statement.sql, c.relname) > 0) INTO cause, policies
		FROM pg_class c, LATERAL (
			SELECT coalesce(bool_or(qual = 'true' OR polname IN ('all_tenants_read', 'backup') AND (SELECT all_tenants FROM brownie.current_binding))
					FILTER (WHERE polpermissive), false) AS visible,
				-- What others have made hides rows, and so does what they have changed of the migrations' own.
				string_agg(format('%I of %s', polname, c.oid::regclass), ', ' ORDER BY polname) FILTER (WHERE NOT polpermissive AND NOT (qual = 'true'
					OR EXISTS (SELECT FROM pg_attribute, quote_ident(attname) AS key
						WHERE attrelid = c.oid AND replace(qual, format('(%s)::uuid', key), key) = CASE
							WHEN polname = '0_tenant' THEN '(brownie.policy_first() AND ((' || key || ' = ANY (ARRAY( SELECT '
								'current_binding.organization_id FROM brownie.current_binding))) OR ( SELECT current_binding.all_tenants FROM '
								'brownie.current_binding) OR ( SELECT pg_has_role(pg_class.relowner, ''USAGE''::text) AS pg_has_role FROM pg_class '
								'WHERE (pg_class.oid = (' || quote_literal(c.oid::regclass) || '::regclass)::oid))))'
							WHEN polname = 'all_tenants_indexes' AND attnotnull
								THEN '(' || key || ' OPERATOR(brownie_service.>=) ''00000000-0000-0000-0000-000000000000''::uuid)' END)))
					AS narrowing
			FROM (SELECT *, regexp_replace(coalesce(pg_get_expr(polqual, polrelid), 'true'), '\s+', ' ', 'g') AS qual FROM pg_policy) AS policy
			WHERE polrelid = c.oid AND polcmd IN ('r', '*')
				AND EXISTS (SELECT FROM unnest(polroles) AS r WHERE r = 0::oid OR pg_has_role(r, 'USAGE'))) AS policies_of_session
		-- Those of backups hold no tenant's rows: they count where they are asked for. Nor does that of moves.
		WHERE c.relrowsecurity AND row_security_active(c.oid) AND c.oid IS DISTINCT FROM to_regclass('brownie.moves')
			AND (NOT starts_with(c.relname, 'backup') OR strpos(statement.sql, c.relname) > 0)
			AND (c.relnamespace = 'brownie'::regnamespace::oid OR c.oid IN (SELECT conrelid FROM pg_constraint
				WHERE confrelid = 'public.organizations'::regclass::oid UNION ALL SELECT 'public.organizations'::regclass::oid));
		IF policies IS NOT NULL AND NOT (statement.computed AND shown > 0) THEN
			RAISE insufficient_privilege USING CONSTRAINT = 'hidden_rows', HINT = 'Drop these policies, restore those that the migrations '
				'made (drift of brownie_migration tells how), or log in (provider argument username) with a role that they are not for',
				MESSAGE = format('role %I does not see the rows of all tenants: somebody''s restrictive policies may hide some (%s)',
					session_user, policies);
		END IF;
		IF cause IS NOT NULL AND pg_has_role(session_user, (SELECT nspowner FROM pg_namespace WHERE nspname = 'brownie'), 'USAGE') THEN
			RAISE insufficient_privilege USING CONSTRAINT = 'hidden_rows', HINT = 'Restore it: drift of brownie_migration tells how',
				MESSAGE = format('role %I owns the schema, but does not see the rows of all tenants in %s: somebody dropped or changed a '
					'policy', session_user, cause);
		ELSIF cause IS NOT NULL THEN
			RAISE insufficient_privilege USING CONSTRAINT = 'hidden_rows', MESSAGE = format('role %I does not see the rows of all tenants in %s: %s',
				session_user, cause, coalesce((SELECT 'it acts for organization ' || organization_id::text || ' only' FROM brownie.current_binding
					WHERE organization_id IS NOT NULL), (SELECT 'its valid_until has passed, at ' || to_char(rolvaliduntil, 'YYYY-MM-DD"T"HH24:MI:SSOF')
					FROM pg_roles WHERE rolname = session_user AND rolvaliduntil <= now()), 'it is a service role of another access, has no row in '
					'brownie.role_bindings, or that has ended, and does not own the schema'));
		END IF;
	END LOOP;
	PERFORM set_config('brownie.rows', array_to_json(rows)::text, true);
	SET CONSTRAINTS ALL IMMEDIATE;
END
