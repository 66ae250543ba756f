-- Looks for keys and indexes by which a tenant could learn of other tenants' rows: foreign keys that accept rows of all
-- tenants, unique keys among all tenants, and indexes that find rows of all tenants, which EXPLAIN ANALYZE counts.
INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail)
SELECT t.name, 'foreign key ' || f.conname, min(a.role_name), false, format('accepts rows of %1$s of other tenants. '
	'Make it one of both columns: FOREIGN KEY (%2$I, ...) REFERENCES %1$s (%3$I, ...)', r.name, t.tenant_column, r.tenant_column)
FROM pg_catalog.pg_constraint f
JOIN brownie_targets t ON t.oid = f.conrelid
JOIN brownie_targets r ON r.oid = f.confrelid AND r.oid <> 'public.organizations'::regclass
JOIN brownie_attackers a ON pg_temp.brownie_changes(a.role_name, t.oid)
WHERE f.contype = 'f' AND NOT EXISTS (
	SELECT FROM unnest(f.conkey, f.confkey) AS pair (referencing, referenced)
	WHERE pair.referencing = t.tenant_attnum AND pair.referenced = r.tenant_attnum)
GROUP BY t.name, f.conname, r.name, t.tenant_column, r.tenant_column
UNION ALL
SELECT t.name, 'foreign key of ' || a.attname, 'any', false,
	format('there is none, so that the column accepts the IDs of other tenants'' rows: '
	'ALTER TABLE %s ADD FOREIGN KEY (organization_id, %I) REFERENCES ... (organization_id, id)', t.ident, a.attname)
FROM (VALUES ('public.users', 'team_id'), ('public.agent_configs', 'team_id'), ('public.configs', 'team_id'), ('public.stats', 'team_id'),
	('public.incidents', 'team_id'), ('public.incidents', 'assigned_to'), ('public.incidents', 'created_by')) AS core (ident, column_name)
JOIN brownie_targets t USING (ident)
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attname = core.column_name AND NOT a.attisdropped
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint f WHERE f.conrelid = t.oid AND f.contype = 'f' AND a.attnum = ANY (f.conkey));

-- A tenant uses an index of a partition by way of the table. It cannot use a partial index whose condition it may not
-- write.
CREATE TEMPORARY TABLE brownie_revealing ON COMMIT DROP AS
	SELECT t.name, t.ident, t.tenant_column, k.relname, i.indexrelid, i.indisprimary, i.indisunique OR i.indisexclusion AS is_unique,
		coalesce(pg_catalog.pg_get_indexdef(i.indexrelid, 1, true), '') AS first_column,
		t.ident = 'public.organizations' AND i.indnatts = 1 AND pg_catalog.pg_get_indexdef(i.indexrelid, 1, true) IN ('name', 'slug')
			OR t.ident = 'public.users' AND i.indnatts = 1
				AND pg_catalog.pg_get_indexdef(i.indexrelid, 1, true) IN ('email', 'username', 'oidc_subject')
			AS is_sign_in,
		(SELECT min(a.role_name) FROM brownie_attackers a WHERE pg_temp.brownie_changes(a.role_name, t.oid)) AS changer,
		(SELECT min(a.role_name) FROM brownie_attackers a WHERE pg_catalog.has_any_column_privilege(a.role_name, t.oid, 'SELECT')
			OR EXISTS (
			SELECT FROM pg_catalog.pg_partition_ancestors(t.oid) p
				WHERE pg_catalog.has_any_column_privilege(a.role_name, p.relid, 'SELECT'))) AS reader
	FROM brownie_targets t
	JOIN pg_catalog.pg_index i ON i.indrelid = t.oid AND i.indkey[0] IS DISTINCT FROM t.tenant_attnum
	JOIN pg_catalog.pg_class k ON k.oid = i.indexrelid
	WHERE NOT EXISTS (
		SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_operator o ON o.oid = d.refobjid
			AND o.oprnamespace = to_regnamespace('brownie_service')
		WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = i.indexrelid AND d.refclassid = 'pg_catalog.pg_operator'::regclass
			AND i.indpred IS NOT NULL);

INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail)
SELECT r.name, 'unique key ' || r.relname, r.changer, false, format('a refused row tells what other tenants have. '
	'Make the key unique for each tenant: (%I, ...)', r.tenant_column)
FROM brownie_revealing r JOIN pg_catalog.pg_index i USING (indexrelid)
WHERE r.is_unique AND NOT r.indisprimary AND NOT r.is_sign_in AND r.changer IS NOT NULL AND r.ident <> 'public.organizations'
	AND NOT EXISTS (SELECT FROM brownie_targets t WHERE t.ident = r.ident AND t.tenant_attnum = ANY (i.indkey));

INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail)
SELECT name, 'index ' || relname, reader, false, format('does not begin with %I, so that EXPLAIN ANALYZE tells whether other tenants '
	'have a value: '
	'DROP INDEX %s; CREATE INDEX ON %s (%1$I, ...)', tenant_column, indexrelid::regclass, ident)
FROM brownie_revealing r WHERE NOT is_sign_in AND NOT indisprimary AND reader IS NOT NULL
	-- What the primary key tells anyway.
	AND NOT EXISTS (SELECT FROM brownie_revealing p WHERE p.ident = r.ident AND p.indisprimary AND p.first_column = r.first_column)
	AND NOT EXISTS (SELECT FROM brownie_findings f WHERE f.table_name = r.name AND f.attack = 'unique key ' || r.relname);

-- PostgreSQL evaluates the WHERE of ON CONFLICT DO UPDATE on a row that is in the way before that row's policies.
INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail)
SELECT r.name, 'guard of ' || r.relname, r.changer, guarded.is_so, CASE WHEN guarded.is_so
	THEN 'shows nothing of a row that is in the way of an INSERT'
	ELSE format('an INSERT that finds a row of another tenant in its way shows its values: SELECT brownie.isolate_table(%L)', r.ident) END
FROM brownie_revealing r
JOIN pg_catalog.pg_index i USING (indexrelid)
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid AND NOT c.relispartition
CROSS JOIN LATERAL (
	SELECT bool_or(p.prosecdef AND replace(array_to_string(p.proconfig, ';'), '"', '') = 'search_path=pg_catalog, pg_temp' AND p.prosrc ~ E'^\nBEGIN\n    IF EXISTS'
		-- It may have been made while quote_all_identifiers was on.
		AND position((SELECT replace(format('t.%I <> NEW.%1$I AND %s) THEN', r.tenant_column, string_agg(format(CASE WHEN i.indnullsnotdistinct
			THEN 't.%I IS NOT DISTINCT FROM NEW.%1$I'
			ELSE 't.%I = NEW.%1$I' END, a.attname), ' AND ' ORDER BY a.attnum)), '"', '')
		FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid
			AND a.attnum = ANY (i.indkey[:i.indnkeyatts - 1])) IN replace(p.prosrc, '"', '')) > 0) IS TRUE AS is_so
	FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid AND p.pronamespace = 'brownie'::regnamespace
	WHERE g.tgrelid = c.oid AND g.tgname = 'zz_refuse_others_keys' AND g.tgenabled IN ('O', 'A')
) AS guarded
WHERE r.is_unique AND i.indexprs IS NULL AND r.changer IS NOT NULL AND r.ident <> 'public.organizations'
	AND EXISTS (SELECT FROM brownie_attackers a WHERE pg_catalog.has_any_column_privilege(a.role_name, c.oid, 'INSERT')
		AND pg_catalog.has_any_column_privilege(a.role_name, c.oid, 'UPDATE'))
	AND NOT EXISTS (SELECT FROM brownie_targets t WHERE t.oid = c.oid AND t.tenant_attnum = ANY (i.indkey[:i.indnkeyatts - 1]));

INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail, known)
SELECT name, 'key ' || relname, 'any', true, CASE WHEN is_sign_in
	THEN first_column || ' is unique among all tenants, as people sign in or are found by it: a tenant can find out which values exist'
	ELSE 'a tenant can find out which ' || first_column || ' the rows of all tenants have' END, true
FROM brownie_revealing WHERE is_sign_in OR indisprimary AND reader IS NOT NULL
UNION ALL
SELECT r.name, 'rows being made', 'any', true, format('who guesses %s of a row before its transaction is over can read that row by ON '
	'CONFLICT DO UPDATE: take random UUIDs, '
	'or make the key DEFERRABLE', r.first_column), true
FROM brownie_revealing r JOIN pg_catalog.pg_index i USING (indexrelid)
WHERE r.is_unique AND i.indimmediate AND i.indexprs IS NULL AND r.changer IS NOT NULL AND r.ident <> 'public.organizations'
	AND NOT EXISTS (SELECT FROM brownie_targets t WHERE t.ident = r.ident AND t.tenant_attnum = ANY (i.indkey[:i.indnkeyatts - 1]))
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.indrelid
		AND a.attnum = ANY (i.indkey[:i.indnkeyatts - 1]) AND a.atttypid = 'uuid'::regtype)
UNION ALL
-- Those that migration 15 takes away; a later major version of PostgreSQL may have more, which it gives to everybody.
SELECT '*', 'statistics functions', 'any', true, format('counters (%s%s) tell whether a key found a row, or what other sessions do. A '
	'superuser can take them away: migrate as a superuser, or REVOKE EXECUTE ON FUNCTION ... FROM PUBLIC',
	array_to_string(names[:3], ', '), CASE WHEN cardinality(names) > 3 THEN ' and others' END), true
FROM (
	SELECT array_agg(oid::regprocedure::text ORDER BY oid) AS names FROM pg_catalog.pg_proc
	WHERE pronamespace = 'pg_catalog'::regnamespace AND pg_catalog.has_function_privilege('public', oid, 'EXECUTE') AND proname ~
		'^pg_stat_get_(xact_)?(backend_(io|wal)|numscans|tuples_\w+|blocks_(fetched|hit)|(live|dead)_tuples|(mod|ins)_since_\w+|lastscan|db_(tuples|blocks)_\w+)$'
) AS open WHERE names IS NOT NULL
UNION ALL
SELECT 'database ' || d.datname, 'other database', 'any', true,
	format('every login may connect to it, and make temporary tables there: REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC',
		d.datname), true
FROM pg_catalog.pg_database d WHERE d.datname IN ('postgres', 'template1') AND d.datname <> current_database() AND d.datallowconn
	AND pg_catalog.has_database_privilege('public', d.oid, 'CONNECT')
UNION ALL
SELECT '*', 'large objects', 'any', true, 'every login may store large objects, which belong to no tenant and fill the disk. A superuser '
	'can take that away: '
	'migrate as a superuser, or see the guide "Tenants, roles and certificates"', true
WHERE pg_catalog.has_function_privilege('public', 'pg_catalog.lo_from_bytea(oid, bytea)', 'EXECUTE');
