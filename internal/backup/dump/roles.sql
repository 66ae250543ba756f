-- The roles that this database's objects, privileges, settings and bindings name, and those that they are members of, as statements that
-- make what is missing and change nothing that is there. Passwords are not read: roles log in with certificates.
WITH RECURSIVE named AS (
    SELECT r.oid FROM pg_catalog.pg_roles r
    -- What belongs to the first superuser, no dependency tells.
    WHERE r.oid = 10 OR r.oid IN (SELECT setrole FROM pg_catalog.pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())) OR r.rolname ~ '^brownie_(?!maker_)' OR r.rolname IN (SELECT role_name FROM brownie.role_bindings) OR r.oid IN (
        SELECT d.refobjid FROM pg_catalog.pg_shdepend d
        WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
            AND (d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
                OR d.classid = 'pg_catalog.pg_database'::pg_catalog.regclass
                    AND d.objid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())))
    UNION
    -- A maker is a member of roles of other databases, too.
    SELECT m.roleid FROM named JOIN pg_catalog.pg_auth_members m ON m.member = named.oid
        JOIN pg_catalog.pg_roles r ON r.oid = m.roleid AND r.rolname !~ '^brownie_maker_'
), roles AS (
    SELECT r.* FROM pg_catalog.pg_roles r WHERE r.rolname !~ '^pg_' AND (r.oid IN (SELECT oid FROM named)
        OR r.rolname ~ '^brownie_maker_' AND EXISTS (SELECT FROM pg_catalog.pg_auth_members m JOIN named ON named.oid = m.roleid WHERE m.member = r.oid))
), statements (step, about, sql, value) AS (
    SELECT 1, rolname, pg_catalog.format('CREATE ROLE %I WITH %s %s %s %s %s %s %s CONNECTION LIMIT %s%s', rolname,
        CASE WHEN rolsuper THEN 'SUPERUSER' ELSE 'NOSUPERUSER' END, CASE WHEN rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END,
        CASE WHEN rolcreaterole THEN 'CREATEROLE' ELSE 'NOCREATEROLE' END, CASE WHEN rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END,
        CASE WHEN rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END, CASE WHEN rolreplication THEN 'REPLICATION' ELSE 'NOREPLICATION' END,
        CASE WHEN rolbypassrls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END, rolconnlimit,
        coalesce(' VALID UNTIL ' || pg_catalog.quote_literal(rolvaliduntil), '')), NULL
    FROM roles
    UNION ALL
    SELECT 2, member.rolname, pg_catalog.format('GRANT %I TO %I WITH ADMIN %s, INHERIT %s, SET %s', role.rolname, member.rolname,
        m.admin_option::text, m.inherit_option::text, m.set_option::text), NULL
    FROM pg_catalog.pg_auth_members m JOIN roles member ON member.oid = m.member JOIN pg_catalog.pg_roles role ON role.oid = m.roleid
    WHERE role.rolname ~ '^pg_' OR role.oid IN (SELECT oid FROM roles)
    UNION ALL
    -- The value is anybody's: what is written about it is decided where it can be taken apart.
    SELECT 3, roles.rolname, pg_catalog.format('ALTER ROLE %I SET %I TO ', roles.rolname, pg_catalog.split_part(setting, '=', 1)), setting
    FROM pg_catalog.pg_db_role_setting s JOIN roles ON roles.oid = s.setrole, pg_catalog.unnest(s.setconfig) AS setting
    WHERE s.setdatabase = 0
)
SELECT step, about::text AS about, sql, value FROM statements ORDER BY step, about, sql
