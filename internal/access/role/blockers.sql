-- What keeps roles from being dropped: what the role owns here, unless there is an heir; anything that depends on it in
-- another database of the cluster, where this connection cannot look or change, and the right to connect to one, its own or
-- by a group role of ours, which says that the role is in use there; memberships that it granted to others, which would go with it; its prepared transactions;
-- and an heir that does not exist. Temporary tables are left out, because they go away with sessions, and so are default
-- privileges.
WITH role AS (
	SELECT DISTINCT r.oid, r.rolname, format('%I', r.rolname) AS name, asked.heir
	FROM unnest(@names::text[], @heirs::text[]) AS asked (name, heir) JOIN pg_catalog.pg_roles r ON r.rolname = asked.name
),
here AS (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
SELECT role.rolname::text AS role, role.heir, regexp_replace(pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid), '\mpublic\.', '', 'g') AS object,
	'To give what it owns to another role, set reassign_owned_to to that role''s name, apply, and destroy then.' AS remedy
FROM role JOIN pg_catalog.pg_shdepend d ON d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.refobjid = role.oid
WHERE role.heir = '' AND d.deptype = 'o' AND d.dbid IN (0, (SELECT oid FROM here)) AND d.classid <> 'pg_catalog.pg_default_acl'::regclass
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c
		WHERE d.classid = 'pg_catalog.pg_class'::regclass AND c.oid = d.objid AND c.relpersistence = 't')
UNION ALL
SELECT role.rolname, role.heir, format('%s objects or privileges in database %I', count(*), o.datname),
	format('In database %I, as a superuser: REASSIGN OWNED BY %s TO another_role; DROP OWNED BY %2$s.', o.datname, role.name)
FROM role JOIN pg_catalog.pg_shdepend d ON d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.refobjid = role.oid
JOIN pg_catalog.pg_database o ON o.oid = d.dbid
	OR d.dbid = 0 AND d.classid = 'pg_catalog.pg_database'::regclass AND d.objid = o.oid AND d.deptype = 'a'
WHERE o.datname <> current_database()
GROUP BY o.datname, role.rolname, role.name, role.heir
UNION ALL
SELECT role.rolname, role.heir, format('the right to connect to database %I, as a member of role %I', o.datname, g.rolname),
	format('If it is not in use there: REVOKE %I FROM %s GRANTED BY %s.', g.rolname, role.name, m.grantor::regrole)
FROM role JOIN pg_catalog.pg_auth_members m ON m.member = role.oid
JOIN pg_catalog.pg_roles g ON g.oid = m.roleid AND g.rolname LIKE 'brownie\_connect\_%'
JOIN pg_catalog.pg_shdepend d ON d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.refobjid = g.oid
	AND d.dbid = 0 AND d.classid = 'pg_catalog.pg_database'::regclass AND d.deptype = 'a'
JOIN pg_catalog.pg_database o ON o.oid = d.objid
WHERE o.datname <> current_database()
UNION ALL
SELECT role.rolname, role.heir, format('membership of role %I in role %I, which it granted', member.rolname, g.rolname),
	format('Let another role grant it instead: REVOKE %1$I FROM %2$I GRANTED BY %3$s; GRANT %1$I TO %2$I.', g.rolname, member.rolname,
		role.name)
FROM role JOIN pg_catalog.pg_auth_members m ON m.grantor = role.oid
JOIN pg_catalog.pg_roles member ON member.oid = m.member JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
WHERE m.member <> role.oid
UNION ALL
SELECT role.rolname, role.heir, format('prepared transaction %L in database %I', x.gid, x.database), 'COMMIT PREPARED or ROLLBACK PREPARED it.'
FROM role JOIN pg_catalog.pg_prepared_xacts x ON x.owner = role.rolname
UNION ALL
SELECT role.rolname, role.heir, format('there is no role %I, which is to get what it owns', role.heir),
	'Correct reassign_owned_to, apply, and destroy then.'
FROM role WHERE role.heir <> '' AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role.heir)
ORDER BY 1, 2, 3, 4
