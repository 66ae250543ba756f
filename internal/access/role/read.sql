-- The lists are sorted, for comparison. A setting of the role in this database wins over one in all databases. Times that no
-- calendar holds are brought into its range. The bindings were read before, with their owner's rights. Before there was a group
-- role for it, each role had the right to connect itself. Names are joined and groups found once, or the server
-- would compare each of its roles with all of them, for each role that is read.
WITH connecting AS MATERIALIZED (
	SELECT acl.grantee AS oid FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) acl
	WHERE d.datname = current_database() AND acl.privilege_type = 'CONNECT'
), known AS MATERIALIZED (
	SELECT g.oid, g.rolname::text AS name
	FROM unnest(@groups::text[] || pg_catalog.current_setting('brownie.connect_group')) AS wanted
	JOIN pg_catalog.pg_roles g ON g.rolname = wanted
)
SELECT r.rolname::text AS name, r.oid, coalesce(b.access, '') AS access, b.organization_id, b.change_id::text,
	r.rolconnlimit AS connection_limit, CASE WHEN nullif(r.rolvaliduntil, 'infinity') IS NOT NULL THEN
		least(greatest(r.rolvaliduntil, '0001-01-01 00:00:00Z'), '9999-12-31 23:59:59Z') END AS valid_until, (
		SELECT substr(setting, length('statement_timeout=') + 1)
		FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) AS setting
		WHERE s.setrole = r.oid AND setting LIKE 'statement\_timeout=%'
			AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
		ORDER BY s.setdatabase DESC LIMIT 1) AS statement_timeout,
	groups.member_of, 'brownie_pooled' = ANY (groups.member_of) AS pooled,
	NOT r.rolcanlogin AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.usesysid = r.oid) AS locked,
	array_remove(ARRAY[
		CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
		CASE WHEN r.oid IN (SELECT oid FROM connecting) OR groups.is_connecting THEN 'CONNECT' END,
		CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
		CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
		CASE WHEN r.rolinherit THEN 'INHERIT' END,
		CASE WHEN r.rolcanlogin THEN 'LOGIN' END,
		CASE WHEN r.rolreplication THEN 'REPLICATION' END,
		CASE WHEN r.rolsuper THEN 'SUPERUSER' END,
		CASE WHEN b.role_name IS NOT NULL AND b.valid_until IS DISTINCT FROM nullif(r.rolvaliduntil, 'infinity')
			THEN 'VALID UNTIL DIFFERS' END
	], NULL) || groups.odd_options AS attributes,
	CASE WHEN @ask_passwords::boolean THEN pg_catalog.has_column_privilege('pg_catalog.pg_authid', 'rolpassword', 'SELECT') ELSE false END
		AS passwords_visible
FROM unnest(@names::text[]) AS wanted
JOIN pg_catalog.pg_roles r ON r.rolname = wanted
LEFT JOIN json_to_recordset(pg_catalog.current_setting('brownie.rows')::pg_catalog.json) AS b
	(role_name name, organization_id uuid, access text, change_id uuid, valid_until timestamptz) ON b.role_name = r.rolname,
LATERAL (
	SELECT coalesce(array_agg(m.name ORDER BY m.name) FILTER (WHERE m.name = ANY (@groups::text[])), '{}') AS member_of,
		coalesce(array_agg(m.name || ' WITH ' || m.odd ORDER BY m.name) FILTER (WHERE m.odd <> ''), '{}') AS odd_options,
		coalesce(bool_or(m.oid IN (SELECT oid FROM connecting)), false) AS is_connecting
	FROM (
		SELECT g.oid, g.name, concat_ws(' AND ', CASE WHEN bool_or(m.admin_option) THEN 'ADMIN' END,
			CASE WHEN NOT bool_and(m.inherit_option) THEN 'NOINHERIT' END,
			CASE WHEN bool_or(m.set_option) AND g.name <> ALL (@groups_to_become::text[]) THEN 'SET' END) AS odd
		FROM pg_catalog.pg_auth_members m
		JOIN known g ON g.oid = m.roleid
		WHERE m.member = r.oid
		GROUP BY g.oid, g.name
	) m
) groups
