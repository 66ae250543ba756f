-- Looks for statistics that show values of all tenants to the planner, and by its estimates to everybody who may EXPLAIN.
-- Only who may read pg_statistic, a superuser as a rule, sees what was collected; others see what will be.
DO $$
DECLARE
	collected text := 'false';
BEGIN
	IF pg_catalog.has_table_privilege('pg_catalog.pg_statistic', 'SELECT') THEN
		collected := 'EXISTS (SELECT FROM pg_catalog.pg_statistic s WHERE s.starelid = a.attrelid AND s.staattnum = a.attnum)';
	END IF;
	EXECUTE format($sql$
		INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail)
		SELECT t.name, 'statistics', 'any', count(*) FILTER (WHERE shown.collects OR shown.collected) = 0,
			CASE WHEN count(*) FILTER (WHERE shown.collects OR shown.collected) = 0 THEN 'none that show values of other tenants'
				ELSE 'by many EXPLAINs a tenant can guess values of other tenants in ' || string_agg(DISTINCT shown.name, ', ')
					FILTER (WHERE shown.collects OR shown.collected)
					|| format(': SELECT brownie.hide_statistics(%%L)', t.ident) END
		FROM brownie_targets t
		LEFT JOIN pg_catalog.pg_index i ON i.indrelid = t.oid
		JOIN pg_catalog.pg_attribute a ON a.attnum > 0 AND NOT a.attisdropped
			AND (a.attrelid = t.oid OR a.attrelid = i.indexrelid AND i.indkey[a.attnum - 1] = 0)
		JOIN pg_catalog.pg_type y ON y.oid = a.atttypid AND y.typcategory NOT IN ('B', 'D', 'E')
		CROSS JOIN LATERAL (
			SELECT a.attstattarget IS DISTINCT FROM 0 AS collects, %s AS collected,
				CASE a.attrelid WHEN t.oid THEN a.attname ELSE 'an expression of index ' || pg_temp.brownie_name(a.attrelid) END AS name
		) AS shown
		GROUP BY t.name, t.ident
		UNION ALL
		SELECT t.name, 'statistics ' || e.stxname, 'any', false,
			format('extended statistics show values of other tenants: DROP STATISTICS %%I.%%I',
			e.stxnamespace::regnamespace, e.stxname)
		FROM brownie_targets t JOIN pg_catalog.pg_statistic_ext e ON e.stxrelid = t.oid
	$sql$, collected);
END
$$;
