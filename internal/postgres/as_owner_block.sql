-- What runs with the owner's rights: the statements in the setting brownie.run. It leaves the rows of the last one in the
-- setting brownie.rows. EXECUTE of a prepared statement finds out the types of its parameters.
DECLARE
	statement record;
	result record;
	rows json[] := '{}';
BEGIN
	PERFORM set_config('TimeZone', 'UTC', true), set_config('row_security', 'on', true);
	FOR statement IN
		SELECT value->>'sql' AS sql, i = json_array_length(run->'statements') AS is_last, coalesce((
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
		ELSE
			EXECUTE 'EXECUTE brownie_run' || statement.args;
		END IF;
	END LOOP;
	PERFORM set_config('brownie.rows', array_to_json(rows)::text, true);
	SET CONSTRAINTS ALL IMMEDIATE;
END
