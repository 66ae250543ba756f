package access

// This file tries what a role could do against another tenant, as that role, and takes it back.

// What an attempt changed is undone before it returns, together with the role that it assumed. The count, if one is
// asked for, is made by the role that makes the proof before and after the attempt; grown is by how much it changed.
const attemptFunctionSQL = `
CREATE FUNCTION pg_temp.brownie_attempt(attacker name, statements text[], count_sql text DEFAULT NULL,
	OUT code text, OUT touched bigint, OUT message text, OUT counted bigint, OUT grown bigint)
	LANGUAGE plpgsql AS $$
DECLARE
	statement text;
	prover name := current_user;
BEGIN
	IF count_sql IS NOT NULL THEN
		EXECUTE count_sql INTO counted;
	END IF;
	EXECUTE format('SET LOCAL ROLE %I', attacker);
	FOREACH statement IN ARRAY statements LOOP
		EXECUTE statement;
		GET DIAGNOSTICS touched = ROW_COUNT;
	END LOOP;
	IF count_sql IS NOT NULL THEN
		EXECUTE format('SET LOCAL ROLE %I', prover);
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
$$`

// A row gets what is given, and something in every other column that wants a value. References to teams and users are
// to those that have the tenant's own ID.
const insertFunctionSQL = `
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
			WHEN t.typcategory = 'E' THEN quote_literal((SELECT enumlabel FROM pg_catalog.pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder LIMIT 1))
			WHEN t.typname IN ('json', 'jsonb') THEN quote_literal('{}')
			ELSE quote_literal(tenant) END, ', ')
	INTO column_names, column_values
	FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
	WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity = ''
		AND (given ? a.attname OR a.attnotnull AND NOT a.atthasdef);
	EXECUTE format('INSERT INTO %s (%s) VALUES (%s)', target, column_names, column_values);
END
$$`

// tenantsSQL makes the two organizations with a row in every table, and binds the session to the first. Rules and triggers
// of a table that somebody changed may refuse such a row; then the other attempts must do.
const tenantsSQL = `
DO $$
DECLARE
	tenants jsonb := current_setting('brownie.wanted');
	tenant text;
	target record;
BEGIN
	FOREACH tenant IN ARRAY ARRAY[tenants->>'own', tenants->>'other'] LOOP
		BEGIN
			PERFORM pg_temp.brownie_insert('public.organizations', tenant, jsonb_build_object('id', tenant,
				'name', 'isolation proof ' || tenant, 'slug', 'isolation-proof-' || tenant));
		EXCEPTION WHEN integrity_constraint_violation OR data_exception OR raise_exception THEN
			RAISE EXCEPTION 'the proof cannot make an organization: %', SQLERRM
				USING HINT = 'It inserts a row into public.organizations with what every NOT NULL column without a default needs, and rolls back';
		END;
		FOR target IN
			SELECT t.oid, coalesce(core.given, '{}') || jsonb_build_object(t.tenant_column, tenant) AS given
			FROM brownie_targets t
			LEFT JOIN (VALUES
				('public.teams'::regclass, 1, jsonb_build_object('id', tenant, 'name', 'isolation proof', 'slug', 'isolation-proof')),
				('public.users', 2, jsonb_build_object('id', tenant, 'team_id', tenant, 'username', tenant,
					'email', tenant || '@isolation-proof.invalid')),
				('public.incidents', 3, jsonb_build_object('assigned_to', tenant, 'created_by', tenant)),
				('brownie.role_bindings', 4, jsonb_build_object('role_name', 'isolation-proof-' || tenant, 'access', 'reader'))
			) AS core (name, turn, given) ON core.name = t.oid
			WHERE t.oid <> 'public.organizations'::regclass
			ORDER BY core.turn
		LOOP
			BEGIN
				PERFORM pg_temp.brownie_insert(target.oid, tenant, target.given);
			EXCEPTION
				WHEN lock_not_available OR deadlock_detected THEN RAISE;
				WHEN OTHERS THEN NULL;
			END;
		END LOOP;
	END LOOP;
	INSERT INTO brownie.role_bindings (role_name, organization_id, access) VALUES (session_user, (tenants->>'own')::uuid, 'admin')
		ON CONFLICT (role_name) DO UPDATE SET organization_id = excluded.organization_id, access = 'admin', valid_until = NULL;
END
$$`

// attackersSQL collects the roles to assume. Without a superuser's rights, assuming a role takes a grant of it.
const attackersSQL = `
DO $$
DECLARE
	attacker record;
BEGIN
	INSERT INTO brownie_attackers
		SELECT unnest(ARRAY['brownie_reader', 'brownie_writer', 'brownie_admin', 'brownie_monitor', 'brownie_pooler', 'brownie_pooled']), false
		UNION ALL
		SELECT r.rolname, true
		FROM brownie.role_bindings b JOIN pg_catalog.pg_roles r ON r.rolname = b.role_name
		WHERE b.organization_id IS NOT NULL AND b.role_name <> session_user;
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
$$`

// attackTablesSQL tries to reach the other tenant's rows, with each role, in each table. An attempt that fails for any
// other reason than a missing right proves nothing; then the tenant is stopped if the table's definition and policies are
// what they should be. A row that a trigger gave back to the own tenant did not get to the other one.
const attackTablesSQL = `
DO $$
DECLARE
	own text := current_setting('brownie.wanted')::jsonb->>'own';
	other text := current_setting('brownie.wanted')::jsonb->>'other';
	attacker record;
	target record;
	attack record;
	result record;
	changeable name;
BEGIN
	SET CONSTRAINTS ALL IMMEDIATE;
	CREATE TEMPORARY TABLE brownie_guarded ON COMMIT DROP AS
		SELECT t.*, NOT EXISTS (SELECT FROM brownie_findings f WHERE f.table_name = t.name AND NOT f.stopped) AS guarded
		FROM brownie_targets t WHERE t.key_type IN ('uuid'::regtype, 'text'::regtype, 'varchar'::regtype, 'bpchar'::regtype);
	FOR attacker IN SELECT * FROM brownie_attackers LOOP
		FOR target IN SELECT * FROM brownie_guarded LOOP
			SELECT coalesce(min(attname) FILTER (WHERE attname <> target.tenant_column), target.tenant_column) INTO changeable
			FROM pg_catalog.pg_attribute
			WHERE attrelid = target.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity = ''
				AND pg_catalog.has_column_privilege(attacker.role_name, attrelid, attnum, 'UPDATE')
				AND pg_catalog.has_column_privilege(attacker.role_name, attrelid, attnum, 'SELECT');
			FOR attack IN
				SELECT 'read' AS name, ARRAY['42501'] AS refusals, NULL::bigint AS harmless_growth,
					format('SELECT FROM %s WHERE %I IS DISTINCT FROM %L LIMIT 1', target.name, target.tenant_column, own) AS sql
				UNION ALL SELECT 'insert', ARRAY['42501'], 1,
					format('INSERT INTO %s (%I) VALUES (%L)', target.name, target.tenant_column, other)
				UNION ALL SELECT 'update', ARRAY['42501'], NULL,
					format('UPDATE %s SET %I = %2$I WHERE %I = %L', target.name, changeable, target.tenant_column, other)
				UNION ALL SELECT 'delete', ARRAY['42501'], NULL,
					format('DELETE FROM %s WHERE %I = %L', target.name, target.tenant_column, other)
				UNION ALL SELECT 're-parent', ARRAY['42501', '23514'], 0,
					format('UPDATE %s SET %I = %L WHERE %2$I = %4$L', target.name, target.tenant_column, other, own)
				UNION ALL SELECT 'steal', ARRAY['42501'], NULL,
					format('UPDATE %s SET %I = %L WHERE %2$I = %4$L', target.name, target.tenant_column, own, other)
				UNION ALL SELECT 'reference by ' || a.attname, ARRAY['42501', '23503', '23514'], NULL,
					format('UPDATE %s SET %I = %L WHERE %I = %L', target.name, a.attname, other, target.tenant_column, own)
				FROM pg_catalog.pg_constraint f
				JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = ANY (f.conkey)
				WHERE f.contype = 'f' AND f.conrelid = target.oid AND a.attname <> target.tenant_column AND f.confrelid IN
					('public.organizations'::regclass, 'public.teams'::regclass, 'public.users'::regclass)
				GROUP BY a.attname
			LOOP
				result := pg_temp.brownie_attempt(attacker.role_name, ARRAY[attack.sql], CASE WHEN attack.harmless_growth IS NOT NULL
					THEN format('SELECT count(*) FROM %s WHERE %I = %L', target.name, target.tenant_column, own) END);
				INSERT INTO brownie_findings VALUES (target.name, attack.name, attacker.role_name,
					CASE WHEN result.code IS NULL THEN result.touched = 0
							OR coalesce(result.counted + attack.harmless_growth > 0 AND result.grown = attack.harmless_growth, false)
						WHEN result.code = ANY (attack.refusals) THEN true
						ELSE target.guarded END,
					CASE WHEN result.code <> ALL (attack.refusals) THEN 'inconclusive: ' || result.message || CASE WHEN target.guarded
						THEN '. The table''s definition and policies are what they should be' ELSE '' END ELSE result.message END,
					attacker.bound);
			END LOOP;
		END LOOP;
	END LOOP;
END
$$`

// attackSessionSQL tries to make the session be what it is not, and then to see the other tenant; and to change what a
// tenant's admin may not change of its own organization.
const attackSessionSQL = `
DO $$
DECLARE
	other text := current_setting('brownie.wanted')::jsonb->>'other';
	look text := format('SELECT FROM public.incidents WHERE organization_id = %L', other);
	attacker record;
	attack record;
	result record;
BEGIN
	GRANT SELECT ON brownie_targets TO PUBLIC;
	FOR attacker IN SELECT * FROM brownie_attackers LOOP
		FOR attack IN
			SELECT 'custom setting' AS name, 'brownie.current_binding' AS object, array_agg(format('SELECT set_config(%L, %L, true)', setting, other)) || look AS sql
			FROM unnest(ARRAY['app.organization_id', 'app.current_organization_id', 'app.org_id', 'app.tenant_id', 'app.current_tenant',
				'brownie.organization_id', 'brownie.tenant', 'brownie.session_user', 'rls.organization_id', 'request.jwt.claims', 'my.org']) AS setting
			UNION ALL SELECT 'search_path', 'brownie.current_binding', ARRAY[
				format('CREATE TEMPORARY VIEW current_binding AS SELECT %L::uuid AS organization_id, true AS all_tenants, true AS writes_all_tenants', other),
				'SELECT set_config(''search_path'', ''pg_temp, public, brownie'', true)', look]
			UNION ALL SELECT 'row_security', 'public.incidents', ARRAY['SELECT set_config(''row_security'', ''off'', true)', look]
			UNION ALL SELECT 'change own binding', 'brownie.role_bindings', ARRAY[format(
				'UPDATE brownie.role_bindings SET organization_id = %L WHERE role_name = session_user', other), look]
			UNION ALL SELECT 'change binding view', 'brownie.current_binding', ARRAY[format(
				'UPDATE brownie.current_binding SET organization_id = %L', other), look]
			UNION ALL SELECT 'change own ' || a.attname, 'public.organizations', ARRAY[format('UPDATE public.organizations SET %I = %1$I', a.attname)]
			FROM pg_catalog.pg_attribute a
			WHERE a.attrelid = 'public.organizations'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
				AND a.attname NOT IN ('description', 'config_yaml', 'config_json', 'config_version', 'settings', 'updated_at')
			UNION ALL SELECT 'statistics', 'pg_catalog.pg_stats', ARRAY[
				'SELECT FROM pg_catalog.pg_stats s JOIN brownie_targets t ON t.oid = format(''%I.%I'', s.schemaname, s.tablename)::regclass']
			UNION ALL SELECT 'statistics', 'pg_catalog.' || catalog, ARRAY[format('SELECT FROM pg_catalog.%I LIMIT 1', catalog)]
			FROM unnest(ARRAY['pg_statistic', 'pg_statistic_ext_data', 'pg_authid']) AS catalog
		LOOP
			result := pg_temp.brownie_attempt(attacker.role_name, attack.sql);
			INSERT INTO brownie_findings VALUES (attack.object, attack.name, attacker.role_name,
				CASE WHEN result.code IS NULL THEN result.touched = 0 ELSE result.code IN ('42501', '55000', '428C9') END,
				result.message, attacker.bound);
		END LOOP;
		-- PostgreSQL asks who logged in, and lets a superuser do it whatever role it has assumed. So a superuser's proof
		-- looks at the role instead.
		IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user) THEN
			INSERT INTO brownie_findings SELECT rolname, 'set session authorization', rolname, NOT rolsuper,
				CASE WHEN rolsuper THEN 'a superuser may' ELSE 'only a superuser may' END, attacker.bound
			FROM pg_catalog.pg_roles WHERE rolname = attacker.role_name;
		ELSE
			result := pg_temp.brownie_attempt(attacker.role_name, ARRAY['SET LOCAL SESSION AUTHORIZATION brownie_all_tenants', look]);
			INSERT INTO brownie_findings VALUES (attacker.role_name, 'set session authorization', attacker.role_name,
				result.code = '42501', result.message, attacker.bound);
		END IF;
	END LOOP;
END
$$`
