-- What the proof works with. Everything is temporary, and rolled back together with what was tried.

-- One row for each attempt and each look into the catalogs. A cause is what lets others through; a known channel is a
-- weakness that PostgreSQL or the original schema makes unavoidable.
CREATE TEMPORARY TABLE brownie_findings (
	table_name text, attack text, role_name text, stopped boolean, detail text,
	bound boolean NOT NULL DEFAULT false, is_cause boolean NOT NULL DEFAULT true, known boolean NOT NULL DEFAULT false
) ON COMMIT DROP;

-- The group roles, by what they are to the proof: "tenant", "service" (confined, but of no tenant), "pooled", "above" (sees
-- all tenants) or "granter" (hands out the others). The tasks are what a role of a tenant must be able to do.
CREATE TEMPORARY TABLE brownie_groups ON COMMIT DROP AS
	SELECT g.name, g.kind, g.tasks, to_regrole(g.name)::oid AS oid
	FROM jsonb_to_recordset(current_setting('brownie.wanted')::jsonb->'groups') AS g (name text, kind text, tasks text[]);
GRANT SELECT ON brownie_groups TO PUBLIC;
CREATE FUNCTION pg_temp.brownie_tenant_groups() RETURNS oid[] LANGUAGE sql STABLE AS $$
	SELECT array_agg(oid) FROM brownie_groups WHERE kind = 'tenant'
$$;
-- The same, as a GRANT names them.
CREATE FUNCTION pg_temp.brownie_tenant_names() RETURNS text LANGUAGE sql STABLE AS $$
	SELECT string_agg(name, ', ') FROM brownie_groups WHERE kind = 'tenant'
$$;

-- The roles to assume: each kind of role, and one of each class of bound roles that are alike.
CREATE TEMPORARY TABLE brownie_attackers (role_name name, bound boolean, alike bigint) ON COMMIT DROP;

-- Every table with an organization_id, and the table of organizations itself. The key's type is what a domain stands for.
CREATE TEMPORARY TABLE brownie_targets ON COMMIT DROP AS
	WITH RECURSIVE keys AS (
		SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS ident,
			CASE n.nspname WHEN 'public' THEN quote_ident(c.relname) ELSE format('%I.%I', n.nspname, c.relname) END AS name,
			a.attname AS tenant_column, a.attnum AS tenant_attnum,
			pg_catalog.format_type(a.atttypid, a.atttypmod) AS declared_type, a.atttypid AS key_type
		FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped AND a.attnum > 0
			AND (a.attname = 'organization_id' OR c.oid = to_regclass('public.organizations') AND a.attname = 'id')
		WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
		UNION ALL
		SELECT keys.oid, ident, name, tenant_column, tenant_attnum, declared_type, t.typbasetype
		FROM keys JOIN pg_catalog.pg_type t ON t.oid = keys.key_type AND t.typtype = 'd'
	)
	SELECT keys.* FROM keys JOIN pg_catalog.pg_type t ON t.oid = keys.key_type AND t.typtype <> 'd';
GRANT SELECT ON brownie_targets TO PUBLIC;

-- What people call an object.
CREATE FUNCTION pg_temp.brownie_name(object oid) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT CASE n.nspname WHEN 'public' THEN quote_ident(c.relname) ELSE format('%I.%I', n.nspname, c.relname) END
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = object
$$;
CREATE FUNCTION pg_temp.brownie_function(object oid) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT regexp_replace(object::regprocedure::text, '^public\.', '')
$$;

-- Through which grants, by name, a role has a privilege: what a REVOKE must speak of.
CREATE FUNCTION pg_temp.brownie_grantees(attacker name, acl aclitem[], privilege text) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT coalesce(string_agg(DISTINCT CASE x.grantee WHEN 0 THEN 'PUBLIC'
		ELSE quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END, ', '), quote_ident(attacker))
	FROM pg_catalog.aclexplode(acl) x
	WHERE x.privilege_type = ANY (string_to_array(privilege, ', ')) AND (x.grantee = 0
		OR pg_catalog.pg_has_role(attacker, x.grantee, 'MEMBER'))
$$;

-- Whether a role may do anything with the rows of a table, and whether it may change them.
CREATE FUNCTION pg_temp.brownie_uses(attacker name, relation oid) RETURNS boolean LANGUAGE sql STABLE AS $$
	SELECT pg_catalog.has_any_column_privilege(attacker, relation, 'SELECT, INSERT, UPDATE')
		OR pg_catalog.has_table_privilege(attacker, relation, 'DELETE, TRUNCATE')
$$;
CREATE FUNCTION pg_temp.brownie_changes(attacker name, relation oid) RETURNS boolean LANGUAGE sql STABLE AS $$
	SELECT pg_catalog.has_any_column_privilege(attacker, relation, 'INSERT, UPDATE')
		OR pg_catalog.has_table_privilege(attacker, relation, 'DELETE')
$$;
