-- Causes come first, then what follows from them, table by table. What bound roles were stopped at is told once for each
-- role and not for each of thousands of attempts. The IDs of what the proof makes are new each time, and findings that
-- differ each time would be shown as a change each time.
SELECT table_name, attack, role_name, stopped, regexp_replace(
		replace(replace(detail, wanted->>'own', '(own)'), wanted->>'other', '(other)'),
		'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', '(id)', 'g')
		|| CASE WHEN NOT stopped AND a.alike > 0 THEN format(' (as do %s roles that are like this one)', a.alike) ELSE '' END AS detail,
	1::bigint AS attempts, is_cause, known
FROM brownie_findings f LEFT JOIN brownie_attackers a USING (role_name), CAST(current_setting('brownie.wanted') AS jsonb) AS wanted
WHERE NOT stopped OR NOT f.bound
UNION ALL
SELECT '*', 'all of these', role_name, true, count(*) || ' attempts stopped' || CASE WHEN a.alike > 0
	THEN format('; so are those of %s roles that are like this one', a.alike) ELSE '' END,
	count(*), true, false
FROM brownie_findings f JOIN brownie_attackers a USING (role_name) WHERE stopped AND f.bound GROUP BY role_name, a.alike
ORDER BY stopped, known, is_cause DESC, table_name, role_name, attack
