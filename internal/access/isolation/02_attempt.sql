-- What an attempt changed is undone before it returns, together with the role that it assumed. The count, if one is
-- asked for, is made by the schema's owner before and after the attempt; grown is by how much it changed.
CREATE FUNCTION pg_temp.brownie_attempt(attacker name, statements text[], count_sql text DEFAULT NULL,
	OUT code text, OUT touched bigint, OUT message text, OUT counted bigint, OUT grown bigint)
	LANGUAGE plpgsql AS $$
DECLARE
	statement text;
	owner name := current_setting('brownie.owner');
BEGIN
	IF count_sql IS NOT NULL THEN
		EXECUTE format('SET LOCAL ROLE %I', owner);
		EXECUTE count_sql INTO counted;
	END IF;
	EXECUTE format('SET LOCAL ROLE %I', attacker);
	-- Triggers of others may rely on it.
	PERFORM set_config('search_path', 'pg_catalog, public, pg_temp', true);
	FOREACH statement IN ARRAY statements LOOP
		EXECUTE statement;
		GET DIAGNOSTICS touched = ROW_COUNT;
	END LOOP;
	IF count_sql IS NOT NULL THEN
		EXECUTE format('SET LOCAL ROLE %I', owner);
		EXECUTE count_sql INTO grown;
		grown := grown - counted;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'BR000';
EXCEPTION
	WHEN lock_not_available OR deadlock_detected THEN
		RAISE;
	WHEN SQLSTATE 'BR000' THEN
		message := CASE touched WHEN 0 THEN 'no row' WHEN 1 THEN '1 row' ELSE touched || ' rows' END;
	WHEN OTHERS THEN
		code := SQLSTATE;
		message := SQLERRM;
END
$$;

-- A row gets what is given, and something in every other column that wants a value. References to teams and users are
-- to those that have the tenant's own ID.
CREATE FUNCTION pg_temp.brownie_insert(target regclass, tenant text, given jsonb) RETURNS void
	LANGUAGE plpgsql AS $$
DECLARE
	column_names text;
	column_values text;
BEGIN
	SELECT string_agg(quote_ident(a.attname), ', '), string_agg(CASE
			WHEN given ? a.attname THEN quote_literal(given->>a.attname)
			WHEN t.typcategory = 'S' THEN quote_literal(CASE WHEN a.atttypmod > 4 THEN left(tenant, a.atttypmod - 4) ELSE tenant END)
			WHEN t.typcategory = 'N' THEN '0'
			WHEN t.typcategory = 'B' THEN 'false'
			WHEN t.typcategory = 'D' THEN 'now()'
			WHEN t.typcategory = 'A' THEN quote_literal('{}')
			WHEN t.typcategory = 'E' THEN quote_literal((SELECT enumlabel FROM pg_catalog.pg_enum WHERE enumtypid = t.oid
				ORDER BY enumsortorder LIMIT 1))
			WHEN t.typname IN ('json', 'jsonb') THEN quote_literal('{}')
			ELSE quote_literal(tenant) END, ', ')
	INTO column_names, column_values
	FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
	WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity = ''
		AND (given ? a.attname OR a.attnotnull AND NOT a.atthasdef);
	EXECUTE format('INSERT INTO %s (%s) VALUES (%s)', target, column_names, column_values);
END
$$;
