-- Refuses a new name for a role, unless the pooler's, that pg_ident.conf lets in as somebody else. A map that other methods
-- than certificates use is about names of the operating system. Who may not read the files is not held up.
DO $$
DECLARE
	all_wanted jsonb := current_setting('brownie.wanted');
	bindings json := coalesce(nullif(pg_catalog.current_setting('brownie.rows', true), ''), '[]');
	mapping record;
BEGIN
	IF NOT (SELECT pg_catalog.bool_and(pg_catalog.has_table_privilege('pg_catalog.' || v, 'SELECT')
		AND pg_catalog.has_function_privilege('pg_catalog.' || v || '()', 'EXECUTE'))
		FROM pg_catalog.unnest(ARRAY['pg_hba_file_rules', 'pg_ident_file_mappings']) AS v)
	THEN
		RETURN;
	END IF;
	SELECT m.map_name, m.line_number, m.file_name, m.pg_username, w->>'name' AS role INTO mapping
	FROM pg_catalog.pg_ident_file_mappings m, jsonb_array_elements(all_wanted) AS w
	WHERE w->>'access' <> 'pooler' AND pg_catalog.lower(m.sys_name COLLATE "C") = pg_catalog.lower((w->>'name') COLLATE "C")
		AND m.pg_username <> w->>'name'
		AND NOT (w->>'before' = w->>'name' AND EXISTS (SELECT FROM json_to_recordset(bindings) AS b (role_name name, access text)
			WHERE role_name = w->>'name' AND access <> 'pooler'))
		AND coalesce((SELECT pg_catalog.bool_or(h.auth_method = 'cert') FROM pg_catalog.pg_hba_file_rules h
			WHERE 'map=' || m.map_name = ANY (h.options)), true)
	ORDER BY m.map_number LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'line % of % (map %) lets a certificate of that name log in as %',
			mapping.line_number, mapping.file_name, mapping.map_name, mapping.pg_username USING CONSTRAINT = 'role_name_mapped';
	END IF;
END
$$
