-- Looks for what reads or carries tenants' rows past the policies: views, functions, rules, triggers, relatives, copies.
INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail, bound)
WITH RECURSIVE readers AS (
	SELECT r.ev_class AS oid, false AS of_server FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
	WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
		AND d.refobjid IN (SELECT oid FROM brownie_targets) AND d.refobjid <> r.ev_class
	UNION
	-- Dependencies on catalogs are not recorded, but the rule names them by number.
	SELECT r.ev_class, true FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON r.ev_action::text ~ (':relid ' || c.oid || '\M')
	WHERE r.ev_class >= 16384 AND c.relnamespace = 'pg_catalog'::regnamespace AND c.relname IN
		('pg_authid', 'pg_statistic', 'pg_statistic_ext_data', 'pg_largeobject', 'pg_user_mapping', 'pg_subscription')
	UNION
	SELECT r.ev_class, readers.of_server FROM readers
	JOIN pg_catalog.pg_depend d ON d.refobjid = readers.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
	JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_catalog.pg_rewrite'::regclass
	WHERE d.refobjid <> r.ev_class
), viewers AS (
	SELECT c.oid, c.relkind, c.relowner, c.relacl, readers.of_server, a.role_name, a.bound
	FROM readers
	JOIN pg_catalog.pg_class c ON c.oid = readers.oid AND c.relpersistence <> 't' AND c.oid <> 'brownie.current_binding'::regclass
	JOIN brownie_attackers a ON pg_catalog.has_any_column_privilege(a.role_name, c.oid, 'SELECT, INSERT, UPDATE')
		OR pg_catalog.has_table_privilege(a.role_name, c.oid, 'DELETE')
	WHERE NOT EXISTS (
		SELECT FROM pg_catalog.pg_options_to_table(c.reloptions) WHERE option_name = 'security_invoker' AND option_value::boolean)
)
SELECT pg_temp.brownie_name(oid), 'view', role_name, false,
	format('a materialized view of tenants'' rows, which no policy covers: REVOKE ALL ON %s FROM %s', oid::regclass,
	pg_temp.brownie_grantees(role_name, relacl, 'SELECT')), bound
FROM viewers WHERE relkind = 'm'
UNION ALL
SELECT pg_temp.brownie_name(v.oid), 'view', v.role_name, false,
	format('reads %s with the rights of %I, which %s: ALTER VIEW %s SET (security_invoker = true)',
	CASE WHEN v.of_server THEN 'what the server keeps to itself' ELSE 'tenants'' rows' END, u.rolname, u.reason, v.oid::regclass), v.bound
FROM viewers v JOIN brownie_unconfined u ON NOT u.watches AND (u.oid = v.relowner OR pg_catalog.pg_has_role(v.relowner, u.oid, 'USAGE'))
WHERE v.relkind <> 'm'
GROUP BY v.oid, v.of_server, v.role_name, v.bound, u.rolname, u.reason
UNION ALL
SELECT pg_temp.brownie_name(p.oid), 'inheritance', a.role_name, false,
	format('shows the rows of its child %s by its own rules: ALTER TABLE %s NO INHERIT %s', t.name, t.ident, p.oid::regclass), a.bound
FROM (
	WITH RECURSIVE relatives AS (
		SELECT t.oid AS child, i.inhparent AS parent FROM brownie_targets t JOIN pg_catalog.pg_inherits i ON i.inhrelid = t.oid
		UNION SELECT relatives.child, i.inhparent FROM relatives JOIN pg_catalog.pg_inherits i ON i.inhrelid = relatives.parent
	) SELECT * FROM relatives
) AS related
JOIN brownie_targets t ON t.oid = related.child
JOIN pg_catalog.pg_class p ON p.oid = related.parent AND p.oid NOT IN (SELECT oid FROM brownie_targets)
JOIN brownie_attackers a ON pg_temp.brownie_uses(a.role_name, p.oid)
UNION ALL
SELECT pg_temp.brownie_name(c.oid), 'open table', min(a.role_name), false,
	format('has no organization_id, and tenants'' roles may use all of its rows. '
	'To keep them out: REVOKE ALL ON %1$s FROM PUBLIC, %2$s. If the rows are meant for all: ALTER TABLE %1$s ENABLE ROW LEVEL SECURITY, '
	'FORCE ROW LEVEL SECURITY, and a policy that says so, FOR SELECT USING (true)', c.oid::regclass, pg_temp.brownie_tenant_names()), false
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema')
JOIN brownie_attackers a ON a.role_name NOT IN (SELECT name FROM brownie_groups WHERE kind = 'service')
	AND pg_temp.brownie_uses(a.role_name, c.oid)
WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
	AND c.oid NOT IN (SELECT oid FROM brownie_targets)
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
		WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
GROUP BY c.oid
UNION ALL
SELECT pg_temp.brownie_name(c.oid), 'sequence', a.role_name, false,
	format('shows how many rows other tenants make: REVOKE ALL ON SEQUENCE %s FROM %s', c.oid::regclass,
	pg_temp.brownie_grantees(a.role_name, c.relacl, 'SELECT, USAGE, UPDATE')), a.bound
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, brownie_attackers a
WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
	AND pg_catalog.has_sequence_privilege(a.role_name, c.oid, 'SELECT, USAGE, UPDATE')
UNION ALL
-- A rule that does nothing acts with nobody's rights.
SELECT pg_temp.brownie_name(c.oid), 'rule ' || r.rulename, min(a.role_name), false,
	format('acts with the rights of the table''s owner, %I, when a tenant changes rows: DROP RULE %I ON %s',
	pg_catalog.pg_get_userbyid(c.relowner), r.rulename, c.oid::regclass), false
FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class AND c.oid >= 16384 AND c.relpersistence <> 't'
JOIN brownie_attackers a ON pg_temp.brownie_changes(a.role_name, c.oid)
WHERE r.ev_type <> '1' AND pg_catalog.pg_get_ruledef(r.oid) !~ 'DO INSTEAD NOTHING;$'
GROUP BY c.oid, r.rulename, c.relowner;

-- Functions: with somebody else's rights, outside the trusted languages, or called leakproof. A superuser's word that a
-- function is leakproof lets the planner run it on rows that policies hide.
INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail, bound)
SELECT pg_temp.brownie_function(p.oid), 'security definer', a.role_name, false, format('runs with the rights of %I, which %s. '
	'Give it to an owner without such rights, or: REVOKE EXECUTE ON FUNCTION %s FROM %s', u.rolname, u.reason, p.oid::regprocedure,
	pg_temp.brownie_grantees(a.role_name, coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner)), 'EXECUTE')), a.bound
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace AND n.nspname !~ '^pg_temp_'
JOIN brownie_unconfined u ON NOT u.watches AND (u.oid = p.proowner OR pg_catalog.pg_has_role(p.proowner, u.oid, 'USAGE'))
JOIN brownie_attackers a ON pg_catalog.has_function_privilege(a.role_name, p.oid, 'EXECUTE')
	AND pg_catalog.has_schema_privilege(a.role_name, n.oid, 'USAGE')
WHERE p.prosecdef AND p.oid >= 16384 AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
	AND p.oid IS DISTINCT FROM to_regprocedure('brownie.pooler_lookup(text)')
GROUP BY p.oid, p.proowner, p.proacl, a.role_name, a.bound, u.rolname, u.reason
UNION ALL
SELECT 'brownie.pooler_lookup(text)', 'security definer', a.role_name, false, format('tells the names of roles to others than the pooler: '
	'REVOKE EXECUTE ON FUNCTION brownie.pooler_lookup(text) FROM %s', pg_temp.brownie_grantees(a.role_name, coalesce(p.proacl,
		pg_catalog.acldefault('f', p.proowner)), 'EXECUTE')), a.bound
FROM brownie_attackers a, pg_catalog.pg_proc p
WHERE p.oid = to_regprocedure('brownie.pooler_lookup(text)') AND pg_catalog.has_function_privilege(a.role_name, p.oid, 'EXECUTE')
	AND NOT pg_catalog.pg_has_role(a.role_name, 'brownie_pooler', 'USAGE')
UNION ALL
SELECT pg_temp.brownie_function(p.oid), 'leakproof', 'any', false,
	format('the planner runs it on rows that policies hide: ALTER FUNCTION %s NOT LEAKPROOF', p.oid::regprocedure), false
FROM pg_catalog.pg_proc p
WHERE p.proleakproof AND (p.oid >= 16384 OR p.oid::integer <> ALL (
	-- Those that PostgreSQL 16, 17 or 18 itself calls leakproof; their numbers are the same in all versions.
	ARRAY[
	56, 57, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 72, 73, 74, 84, 144, 145, 146, 147, 148, 149, 150, 151, 157, 158, 159, 160, 161,
		162, 163, 164,
	165, 166, 167, 168, 169, 184, 185, 235, 236, 240, 241, 242, 243, 244, 245, 246, 247, 248, 249, 250, 251, 252, 253, 287, 288, 289,
		290, 291,
	292, 293, 294, 295, 296, 297, 298, 299, 300, 301, 302, 303, 304, 305, 306, 307, 308, 309, 310, 311, 313, 316, 318, 350, 351, 354,
		355, 356,
	358, 359, 360, 377, 404, 406, 407, 409, 458, 459, 467, 468, 469, 470, 471, 472, 474, 475, 476, 477, 478, 479, 481, 482, 619, 652,
		655, 656,
	657, 658, 659, 677, 678, 679, 680, 681, 716, 717, 740, 741, 742, 743, 754, 830, 831, 832, 833, 834, 835, 836, 842, 852, 853, 854,
		855, 856,
	857, 888, 889, 890, 891, 892, 893, 920, 921, 922, 923, 924, 925, 926, 999, 1048, 1049, 1050, 1051, 1052, 1053, 1063, 1064, 1078,
		1086, 1087,
	1088, 1089, 1090, 1091, 1092, 1102, 1103, 1104, 1105, 1106, 1107, 1145, 1152, 1153, 1154, 1155, 1156, 1157, 1162, 1163, 1164, 1165,
		1166,
	1167, 1246, 1265, 1288, 1292, 1314, 1315, 1319, 1352, 1353, 1354, 1355, 1356, 1357, 1358, 1370, 1400, 1401, 1462, 1463, 1464, 1465,
		1466,
	1467, 1482, 1483, 1484, 1485, 1486, 1581, 1582, 1592, 1593, 1594, 1595, 1596, 1638, 1639, 1666, 1667, 1668, 1669, 1670, 1671, 1672,
		1691,
	1692, 1693, 1740, 1742, 1743, 1781, 1782, 1850, 1851, 1852, 1853, 1854, 1855, 1856, 1857, 1858, 1859, 1860, 1861, 1948, 1949, 1950,
		1951,
	1952, 1953, 1954, 2045, 2052, 2053, 2054, 2055, 2056, 2057, 2160, 2161, 2163, 2164, 2166, 2174, 2175, 2177, 2178, 2180, 2188, 2189,
		2190,
	2191, 2192, 2193, 2194, 2195, 2311, 2321, 2557, 2558, 2790, 2791, 2792, 2793, 2794, 2954, 2955, 2956, 2957, 2958, 2959, 2960, 3231,
		3232,
	3233, 3234, 3235, 3236, 3251, 3308, 3309, 3419, 3420, 3421, 3422, 3432, 3696, 4113, 4114, 4115, 4116, 4117, 4118, 4119, 4123, 5034,
		5035,
	5036, 5037, 5084, 5085, 5096, 6342, 6343, 6364, 6365, 6367, 6368, 6369, 6393, 6394]
))
UNION ALL
SELECT pg_temp.brownie_function(p.oid), 'untrusted language', a.role_name, false,
	format('is written in %s, whose functions may do what the server''s process may: '
	'REVOKE EXECUTE ON FUNCTION %s FROM %s', l.lanname, p.oid::regprocedure, pg_temp.brownie_grantees(a.role_name, coalesce(p.proacl,
		pg_catalog.acldefault('f', p.proowner)), 'EXECUTE')), a.bound
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang AND NOT l.lanpltrusted
JOIN brownie_attackers a ON pg_catalog.has_function_privilege(a.role_name, p.oid, 'EXECUTE')
	AND pg_catalog.has_schema_privilege(a.role_name, p.pronamespace, 'USAGE')
WHERE p.oid >= 16384 AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid
		AND d.deptype = 'e')
UNION ALL
SELECT 'language ' || l.lanname, 'untrusted language', a.role_name, false,
	format('lets a tenant write functions that may do what the server''s process may: '
	'REVOKE USAGE ON LANGUAGE %I FROM %s', l.lanname, pg_temp.brownie_grantees(a.role_name, l.lanacl, 'USAGE')), a.bound
FROM pg_catalog.pg_language l JOIN brownie_attackers a ON pg_catalog.has_language_privilege(a.role_name, l.oid, 'USAGE')
WHERE NOT l.lanpltrusted AND l.lanname NOT IN ('internal', 'c');

-- Triggers that a tenant sets off with somebody else's rights, or that send what they see to whoever listens. A function
-- that notifies may be called by another.
INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail)
WITH RECURSIVE notifiers AS (
	SELECT p.oid, p.proname FROM pg_catalog.pg_proc p WHERE p.oid >= 16384 AND (p.prosrc ~* '\mnotify\M|pg_notify'
		OR pg_catalog.pg_get_function_sqlbody(p.oid) ~* 'pg_notify')
	UNION
	SELECT p.oid, p.proname FROM notifiers JOIN pg_catalog.pg_proc p ON p.oid >= 16384 AND p.prosrc ~ ('\m' || notifiers.proname || '\M')
)
SELECT pg_temp.brownie_name(c.oid), 'trigger ' || g.tgname, min(a.role_name), false,
	format('calls %s, which runs with the rights of %I, which %s. '
	'Give it to an owner without such rights, or: ALTER FUNCTION %1$s SECURITY INVOKER', p.oid::regprocedure, u.rolname, u.reason)
FROM pg_catalog.pg_trigger g
JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid AND p.prosecdef
	AND NOT (g.tgname LIKE 'zz\_refuse\_others\_keys%' AND p.pronamespace = 'brownie'::regnamespace
		AND p.proname LIKE 'refuse\_others\_keys\_of\_%')
	-- It only writes down what was deleted, where no tenant reads.
	AND p.oid IS DISTINCT FROM to_regprocedure('brownie.note_change_of_organization()')
	-- They only look up whether an organization moves, all names qualified, and tell its own tenant.
	AND p.oid IS DISTINCT FROM to_regprocedure('brownie.refuse_while_moving()')
	AND p.oid IS DISTINCT FROM to_regprocedure('brownie.refuse_organization_while_moving()')
JOIN brownie_unconfined u ON NOT u.watches AND (u.oid = p.proowner OR pg_catalog.pg_has_role(p.proowner, u.oid, 'USAGE'))
JOIN brownie_attackers a ON pg_temp.brownie_changes(a.role_name, c.oid)
WHERE NOT g.tgisinternal
GROUP BY c.oid, g.tgname, p.oid, u.rolname, u.reason
UNION ALL
SELECT t.name, 'trigger ' || g.tgname, 'any', false, format('notifies, and every session may listen to it: DROP TRIGGER %I ON %s, or '
	'send no more than that something changed '
	'in a table that no tenant writes', g.tgname, t.ident)
FROM brownie_targets t JOIN pg_catalog.pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal JOIN notifiers ON notifiers.oid = g.tgfoid;

-- Tables that all tenants may read, and that carry a tenant under another name: by reference, by name, or by what is in
-- them.
DO $$
DECLARE
	shared record;
	carries text;
	seen text[];
	prover name := current_user;
BEGIN
	FOR shared IN
		SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS ident, a.attname, min(k.role_name) AS role_name, (
			SELECT format('%s references %s', a.attname, r.name) FROM pg_catalog.pg_constraint f JOIN brownie_targets r
				ON r.oid = f.confrelid
			WHERE f.conrelid = c.oid AND f.contype = 'f' AND a.attnum = ANY (f.conkey) LIMIT 1) AS reference,
			a.attname ~* '^(org|organi[sz]ation|tenant|customer|account|company)s?(_?(id|uuid|key|ref))?$'
				AND (t.typcategory IN ('S', 'N') OR t.typname = 'uuid') AS is_named_so
		FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema')
		JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
		JOIN brownie_attackers k ON k.role_name NOT IN (SELECT name FROM brownie_groups WHERE kind = 'service')
			AND pg_catalog.has_column_privilege(k.role_name, c.oid, a.attnum, 'SELECT')
		WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND c.oid NOT IN (SELECT oid FROM brownie_targets) AND c.oid >= 16384
		GROUP BY c.oid, n.nspname, c.relname, a.attname, a.attnum, t.typcategory, t.typname
		ORDER BY c.oid, a.attnum
	LOOP
		carries := coalesce(shared.reference, CASE WHEN shared.is_named_so THEN shared.attname || ' is named like a tenant' END);
		IF carries IS NULL THEN
			BEGIN
				EXECUTE format('SET LOCAL ROLE %I', shared.role_name);
				EXECUTE format('SELECT array_agg(seen.value) FROM (SELECT %I::text AS value FROM %s LIMIT 1000) AS seen',
					shared.attname, shared.ident) INTO seen;
				EXECUTE format('SET LOCAL ROLE %I', current_setting('brownie.owner'));
				SELECT format('values of %s are organizations', shared.attname) INTO carries FROM public.organizations o
					WHERE o.id::text = ANY (seen) LIMIT 1;
			EXCEPTION
				WHEN lock_not_available OR deadlock_detected THEN RAISE;
				WHEN OTHERS THEN NULL; -- No text can be made of it.
			END;
			EXECUTE format('SET LOCAL ROLE %I', prover);
		END IF;
		INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail)
		SELECT pg_temp.brownie_name(shared.oid), 'tenant column', shared.role_name, false,
			format('all tenants may read it, but %s. To give its rows to their tenants: '
			'ALTER TABLE %s RENAME COLUMN %I TO organization_id; SELECT brownie.isolate_table(%2$L). Or: REVOKE ALL ON %2$s FROM PUBLIC, '
				'%4$s',
			carries, shared.ident, shared.attname, pg_temp.brownie_tenant_names()) WHERE carries IS NOT NULL;
	END LOOP;
END
$$;
