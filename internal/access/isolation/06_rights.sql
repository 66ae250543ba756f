-- Looks at what each role is, belongs to, owns and may do beyond the rows of its tenant.
INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail, bound)
SELECT a.role_name, 'attributes', a.role_name, NOT (r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolreplication),
	coalesce(nullif(concat_ws(', ', CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
		CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END)
		|| format(': ALTER ROLE %I%s%s%s%s', a.role_name, CASE WHEN r.rolsuper THEN ' NOSUPERUSER' END, CASE WHEN r.rolbypassrls
			THEN ' NOBYPASSRLS' END,
			CASE WHEN r.rolcreaterole THEN ' NOCREATEROLE' END, CASE WHEN r.rolreplication THEN ' NOREPLICATION' END),
		format(': ALTER ROLE %I', a.role_name)), 'none that matters'), a.bound
FROM brownie_attackers a JOIN pg_catalog.pg_roles r ON r.rolname = a.role_name
UNION ALL
SELECT coalesce(u.rolname, a.role_name), 'set role', a.role_name, u.oid IS NULL,
	CASE WHEN u.oid IS NULL THEN 'is no member of a role that is above tenants'
		ELSE format('is a member of %I, which %s: %s', u.rolname, u.reason, (
			-- The memberships by which a tenant's role, or a group of such roles, leaves the tenants' groups.
			SELECT string_agg(format('REVOKE %s FROM %s GRANTED BY %s', m.roleid::regrole, m.member::regrole, m.grantor::regrole), '; '
				ORDER BY m.member, m.roleid)
			FROM pg_catalog.pg_auth_members m
			WHERE (m.member = quote_ident(a.role_name)::regrole OR m.member = ANY (pg_temp.brownie_tenant_groups())
					AND pg_catalog.pg_has_role(a.role_name, m.member, 'MEMBER'))
				AND m.roleid <> ALL (pg_temp.brownie_tenant_groups()) AND pg_catalog.pg_has_role(m.roleid, u.oid, 'MEMBER'))) END, a.bound
FROM brownie_attackers a LEFT JOIN brownie_unconfined u ON u.rolname <> a.role_name AND pg_catalog.pg_has_role(a.role_name, u.oid, 'MEMBER')
	AND NOT (u.watches AND a.role_name = 'brownie_monitor')
UNION ALL
SELECT r.rolname, 'login', r.rolname, false, format('is a role that others are members of, and can log in: ALTER ROLE %I NOLOGIN PASSWORD NULL',
	r.rolname), false
FROM pg_catalog.pg_roles r
WHERE r.rolcanlogin AND (r.oid IN (SELECT oid FROM brownie_groups) OR r.rolname LIKE 'brownie\_connect\_%'
	OR r.rolname LIKE 'brownie\_maker\_%')
UNION ALL
SELECT r.rolname, 'attributes', r.rolname, false, format('makes roles for somebody who may not make any: ALTER ROLE %I NOCREATEROLE',
	r.rolname), false
FROM pg_catalog.pg_roles r
WHERE r.rolname LIKE 'brownie\_maker\_%' AND r.rolcreaterole AND (SELECT NOT bool_or(l.rolcreaterole OR l.rolsuper)
	FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles l ON l.oid = m.member WHERE m.roleid = r.oid)
UNION ALL
SELECT coalesce(o.name, '*'), 'ownership', a.role_name, o.name IS NULL, CASE WHEN o.name IS NULL THEN 'owns none'
	ELSE format('owns it: REASSIGN OWNED BY %I TO brownie_migrator', a.role_name) END, a.bound
FROM brownie_attackers a LEFT JOIN LATERAL (
	SELECT coalesce(pg_temp.brownie_name(CASE d.classid WHEN 'pg_catalog.pg_class'::regclass THEN d.objid END),
		pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)) AS name
	FROM pg_catalog.pg_shdepend d
	WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.refobjid = quote_ident(a.role_name)::regrole AND d.deptype = 'o'
		AND d.dbid IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
		AND d.classid <> 'pg_catalog.pg_default_acl'::regclass AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c
			WHERE d.classid = 'pg_catalog.pg_class'::regclass AND c.oid = d.objid AND c.relpersistence = 't')
) o ON true
UNION ALL
SELECT t.name, 'privileges', a.role_name, false, format('may TRUNCATE, REFERENCE or maintain it or put triggers on it, past every '
	'policy: REVOKE %s ON %s FROM %s',
	p.list, t.ident, pg_temp.brownie_grantees(a.role_name, c.relacl, p.list)), a.bound
FROM brownie_attackers a, brownie_targets t JOIN pg_catalog.pg_class c ON c.oid = t.oid,
	(SELECT CASE WHEN current_setting('server_version_num')::integer >= 170000 THEN 'TRUNCATE, REFERENCES, TRIGGER, MAINTAIN'
		ELSE 'TRUNCATE, REFERENCES, TRIGGER' END AS list) AS p
WHERE pg_catalog.has_table_privilege(a.role_name, t.oid, p.list) OR pg_catalog.has_any_column_privilege(a.role_name, t.oid, 'REFERENCES')
UNION ALL
SELECT pg_temp.brownie_name(c.oid), 'privileges', a.role_name, false,
	format('may change which tenant a role acts for, or what may be done with a tenant: '
	'REVOKE ALL ON %s FROM %s', c.oid::regclass, pg_temp.brownie_grantees(a.role_name, c.relacl, 'INSERT, UPDATE, DELETE')), a.bound
FROM brownie_attackers a, pg_catalog.pg_class c
WHERE c.oid IN ('brownie.role_bindings'::regclass, 'brownie.current_binding'::regclass, 'brownie.organization_options'::regclass)
	AND pg_temp.brownie_changes(a.role_name, c.oid)
UNION ALL
SELECT 'users', 'column password_hash', min(a.role_name), false,
	format('tenants'' roles read hashes of passwords: REVOKE SELECT ON public.users FROM %s; '
	'and grant the other columns again', string_agg(DISTINCT quote_ident(a.role_name), ', ')), false
FROM brownie_attackers a JOIN pg_catalog.pg_attribute c ON c.attrelid = to_regclass('public.users') AND c.attname = 'password_hash'
	AND NOT c.attisdropped
WHERE pg_catalog.has_column_privilege(a.role_name, c.attrelid, c.attnum, 'SELECT')
HAVING count(*) > 0
UNION ALL
SELECT 'database ' || current_database(), 'connect', 'any', NOT open.is_open, CASE WHEN open.is_open
	THEN format('roles of other databases of the cluster may connect: REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC',
		current_database())
	ELSE 'only roles that were allowed to may connect' END, false
FROM (SELECT pg_catalog.has_database_privilege('public', current_database(), 'CONNECT') AS is_open) AS open
UNION ALL
SELECT 'database ' || d.datname, lower(p.privilege), a.role_name, false, CASE p.privilege
	WHEN 'CREATE' THEN 'may create schemas, and functions in them that others or the planner might run'
	ELSE 'may create temporary functions, which the planner runs before a policy, and fill the disk with temporary tables' END
	|| format(': REVOKE %s ON DATABASE %I FROM %s', p.privilege, d.datname, pg_temp.brownie_grantees(a.role_name, d.datacl,
		p.privilege)), a.bound
FROM brownie_attackers a, pg_catalog.pg_database d, unnest(ARRAY['CREATE', 'TEMPORARY']) AS p (privilege)
WHERE d.datname = current_database() AND pg_catalog.has_database_privilege(a.role_name, d.oid, p.privilege)
UNION ALL
SELECT r.rolname, 'pooled superuser', r.rolname, false, format('is a superuser and a member of brownie_pooled, so that the pooler''s '
	'certificate opens it: '
	'REVOKE brownie_pooled FROM %I GRANTED BY %s', r.rolname, m.grantor::regrole), false
FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.member AND r.rolsuper
WHERE m.roleid = 'brownie_pooled'::regrole
UNION ALL
SELECT 'schema ' || n.nspname, 'create in schema', a.role_name, NOT may, CASE WHEN may
	THEN format('may create what others or the planner might run: REVOKE CREATE ON SCHEMA %I FROM %s', n.nspname,
		pg_temp.brownie_grantees(a.role_name, n.nspacl, 'CREATE')) ELSE 'may not' END, a.bound
FROM brownie_attackers a, pg_catalog.pg_namespace n, pg_catalog.has_schema_privilege(a.role_name, n.oid, 'CREATE') AS may
WHERE n.nspname IN ('public', 'brownie') OR may AND n.nspname !~ '^pg_(toast_)?temp_|^pg_toast'
UNION ALL
SELECT 'schema brownie_service', 'usage', a.role_name, false,
	format('may use indexes that are for service roles only, and tell what others have: '
	'REVOKE USAGE ON SCHEMA brownie_service FROM %s', pg_temp.brownie_grantees(a.role_name, n.nspacl, 'USAGE')), a.bound
FROM brownie_attackers a JOIN pg_catalog.pg_namespace n ON n.nspname = 'brownie_service'
	AND pg_catalog.has_schema_privilege(a.role_name, n.oid, 'USAGE');

-- What a superuser alone may do by default, and what tells of everybody: functions and catalogs that the server itself
-- keeps from PUBLIC, parameters, large objects and foreign servers.
INSERT INTO brownie_findings (table_name, attack, role_name, stopped, detail, bound)
SELECT CASE i.classoid WHEN 'pg_catalog.pg_proc'::regclass THEN pg_temp.brownie_function(i.objoid) ELSE i.objoid::regclass::text END,
	CASE i.classoid WHEN 'pg_catalog.pg_proc'::regclass THEN 'function of superusers' ELSE 'catalog of superusers' END, a.role_name, false,
	format('only superusers may use it by default: REVOKE %s ON %s %s FROM %s', o.privilege, o.kind,
		CASE i.classoid WHEN 'pg_catalog.pg_proc'::regclass THEN i.objoid::regprocedure::text ELSE i.objoid::regclass::text END,
		pg_temp.brownie_grantees(a.role_name, o.acl, o.privilege)), a.bound
FROM brownie_attackers a, pg_catalog.pg_init_privs i
CROSS JOIN LATERAL (
	SELECT 'FUNCTION' AS kind, 'EXECUTE' AS privilege, p.proacl AS acl, pg_catalog.has_function_privilege(a.role_name, p.oid,
		'EXECUTE') AS may
	FROM pg_catalog.pg_proc p WHERE i.classoid = 'pg_catalog.pg_proc'::regclass AND p.oid = i.objoid
	UNION ALL
	SELECT 'TABLE', 'SELECT', c.relacl, pg_catalog.has_table_privilege(a.role_name, c.oid, 'SELECT')
	FROM pg_catalog.pg_class c WHERE i.classoid = 'pg_catalog.pg_class'::regclass AND c.oid = i.objoid AND c.relkind IN ('r', 'v', 'm')
) AS o
WHERE o.may AND i.objsubid = 0 AND NOT EXISTS (
	SELECT FROM pg_catalog.aclexplode(i.initprivs) x WHERE x.privilege_type = o.privilege
		AND (x.grantee = 0 OR pg_catalog.pg_has_role(a.role_name, x.grantee, 'USAGE')))
UNION ALL
SELECT 'parameter ' || p.parname, 'parameter', a.role_name, false,
	format('may set a parameter of superusers: REVOKE %s ON PARAMETER %s FROM %s',
	g.privilege, p.parname, pg_temp.brownie_grantees(a.role_name, p.paracl, g.privilege)), a.bound
FROM brownie_attackers a, pg_catalog.pg_parameter_acl p, unnest(ARRAY['SET', 'ALTER SYSTEM']) AS g (privilege)
WHERE pg_catalog.has_parameter_privilege(a.role_name, p.parname, g.privilege)
UNION ALL
SELECT 'parameter ' || split_part(setting, '=', 1), 'setting', coalesce(a.role_name, 'any'), false,
	format('%s is set, which switches triggers, foreign keys or '
		'rights off, or loads code into sessions: ALTER %s RESET %s', setting, CASE WHEN a.role_name IS NULL
			THEN format('%s', CASE s.setdatabase WHEN 0
			THEN format('ROLE %s', CASE s.setrole WHEN 0 THEN 'ALL' ELSE s.setrole::regrole::text END)
				ELSE format('DATABASE %I', current_database()) END)
		ELSE format('ROLE %I%s', a.role_name, CASE s.setdatabase WHEN 0 THEN '' ELSE format(' IN DATABASE %I', current_database()) END) END,
		split_part(setting, '=', 1)), coalesce(a.bound, false)
FROM pg_catalog.pg_db_role_setting s
CROSS JOIN unnest(s.setconfig) AS setting
LEFT JOIN brownie_attackers a ON quote_ident(a.role_name)::regrole = s.setrole
WHERE (s.setrole = 0 OR a.role_name IS NOT NULL) AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database
	WHERE datname = current_database()))
	AND setting ~* '^(session_replication_role=(replica|local)|lo_compat_privileges=(on|true|yes|1)|'
		'allow_system_table_mods=(on|true|yes|1)|\w+_preload_libraries=.|dynamic_library_path=)'
UNION ALL
SELECT 'parameter ' || name, 'setting', 'any', false, format('is %s for the whole server: ALTER SYSTEM RESET %s', reset_val, name), false
FROM pg_catalog.pg_settings
WHERE source NOT IN ('database', 'user', 'database user', 'client', 'session') AND (name = 'session_replication_role'
	AND reset_val <> 'origin'
	OR name IN ('lo_compat_privileges', 'allow_system_table_mods') AND reset_val = 'on')
UNION ALL
SELECT 'large object ' || l.oid, 'large object', a.role_name, false,
	format('belongs to no tenant, and the role reads or writes it: REVOKE ALL ON LARGE OBJECT %s FROM %s',
	l.oid, pg_temp.brownie_grantees(a.role_name, l.lomacl, 'SELECT, UPDATE')), a.bound
FROM brownie_attackers a, pg_catalog.pg_largeobject_metadata l
WHERE EXISTS (SELECT FROM pg_catalog.aclexplode(l.lomacl) x WHERE (x.grantee = 0
	OR pg_catalog.pg_has_role(a.role_name, x.grantee, 'USAGE')) AND x.grantee <> l.lomowner)
UNION ALL
SELECT 'foreign server ' || s.srvname, 'foreign server', a.role_name, false,
	format('reaches another server with somebody else''s rights: REVOKE USAGE ON FOREIGN SERVER %I FROM %s',
	s.srvname, pg_temp.brownie_grantees(a.role_name, s.srvacl, 'USAGE')), a.bound
FROM brownie_attackers a, pg_catalog.pg_foreign_server s WHERE pg_catalog.has_server_privilege(a.role_name, s.oid, 'USAGE')
UNION ALL
SELECT 'foreign-data wrapper ' || w.fdwname, 'foreign server', a.role_name, false,
	format('may define servers to reach: REVOKE USAGE ON FOREIGN DATA WRAPPER %I FROM %s',
	w.fdwname, pg_temp.brownie_grantees(a.role_name, w.fdwacl, 'USAGE')), a.bound
FROM brownie_attackers a, pg_catalog.pg_foreign_data_wrapper w
	WHERE pg_catalog.has_foreign_data_wrapper_privilege(a.role_name, w.oid, 'USAGE');
