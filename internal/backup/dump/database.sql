-- What belongs to the database itself, which pg_dump leaves out unless it also creates it: each statement in two halves, between which
-- the name of the database belongs.
WITH database AS (
    SELECT d.* FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
), statements (step, before, after, value) AS (
    SELECT 1, 'ALTER DATABASE ', pg_catalog.format(' OWNER TO %I', pg_catalog.pg_get_userbyid(datdba)), NULL FROM database
    UNION ALL
    SELECT 2, 'REVOKE ALL ON DATABASE ', ' FROM PUBLIC', NULL FROM database WHERE datacl IS NOT NULL
    UNION ALL
    SELECT 3, pg_catalog.format('GRANT %s ON DATABASE ', pg_catalog.string_agg(acl.privilege_type, ', ' ORDER BY acl.privilege_type)),
        pg_catalog.format(' TO %s%s',
            CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(acl.grantee)) END,
            CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), NULL
    FROM database, pg_catalog.aclexplode(datacl) acl GROUP BY acl.grantee, acl.is_grantable
    UNION ALL
    -- The value is anybody's: what is written about it is decided where it can be taken apart.
    SELECT 4, CASE WHEN s.setrole = 0 THEN 'ALTER DATABASE '
            ELSE pg_catalog.format('ALTER ROLE %I IN DATABASE ', pg_catalog.pg_get_userbyid(s.setrole)) END,
        pg_catalog.format(' SET %I TO ', pg_catalog.split_part(setting, '=', 1)), setting
    FROM pg_catalog.pg_db_role_setting s JOIN database ON database.oid = s.setdatabase, pg_catalog.unnest(s.setconfig) AS setting
)
SELECT before, after, value FROM statements ORDER BY step, before, after
