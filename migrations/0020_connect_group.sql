-- One group role per database carries the right to connect to it. An entry for each role would make the database's one list of
-- privileges grow with the number of tenants, and every grant rewrites that list.

-- brownie:locks NONE

-- +goose Up
-- +goose StatementBegin
DO $$
DECLARE
    -- internal/access names it the same way.
    connect_group CONSTANT name := (SELECT 'brownie_connect_' || CASE WHEN octet_length(datname) <= 47 THEN datname ELSE md5(datname) END
        FROM pg_database WHERE datname = current_database());
    existed CONSTANT boolean := to_regrole(quote_ident(connect_group)) IS NOT NULL;
    members text;
    others text;
BEGIN
    IF NOT existed THEN
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', connect_group);
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE EXCEPTION 'role % is missing and % may not create it', connect_group, current_user
                USING ERRCODE = 'insufficient_privilege', HINT = format('As an administrator: ALTER ROLE %I CREATEROLE', current_user);
        END;
        EXECUTE format('COMMENT ON ROLE %I IS %L', connect_group, format('May connect to database %I.', current_database()));
    END IF;
    SELECT string_agg(quote_ident(d.datname), ', ' ORDER BY d.datname) INTO others
    FROM pg_database d, aclexplode(d.datacl) acl
    WHERE acl.grantee = quote_ident(connect_group)::regrole AND d.datname <> current_database();
    IF others IS NOT NULL OR EXISTS (SELECT FROM pg_roles WHERE rolname = connect_group
        AND (rolcanlogin OR rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication))
    THEN
        RAISE EXCEPTION 'role % exists and is not the group role of database %', connect_group, current_database()
            USING ERRCODE = 'invalid_role_specification', HINT = format('As a superuser: ALTER ROLE %I RENAME TO another_name%s', connect_group,
                ' (it may be from before this database or another one was renamed' || coalesce(', and opens ' || others, '') || ')');
    END IF;

    -- A database of that name that is gone may have left members behind.
    SELECT string_agg(DISTINCT quote_ident(pg_get_userbyid(m.member)), ', ') INTO others FROM pg_auth_members m
    WHERE m.roleid = quote_ident(connect_group)::regrole AND m.inherit_option
        AND NOT EXISTS (SELECT FROM pg_auth_members a WHERE a.roleid = m.roleid AND a.member = m.member AND a.admin_option)
        AND NOT EXISTS (SELECT FROM brownie.role_bindings b WHERE b.role_name = pg_get_userbyid(m.member));
    IF existed AND others IS NOT NULL AND NOT has_database_privilege(connect_group, current_database(), 'CONNECT') THEN
        RAISE EXCEPTION 'role % has members that are not bound to database %: %', connect_group, current_database(), others
            USING ERRCODE = 'invalid_role_specification', HINT = format('If they have no business here: REVOKE %I FROM %s', connect_group, others);
    END IF;

    IF NOT has_database_privilege(connect_group, current_database(), 'CONNECT') THEN
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), connect_group);
        IF NOT has_database_privilege(connect_group, current_database(), 'CONNECT') THEN
            RAISE EXCEPTION 'role % may not let others connect to database %', current_user, current_database()
                USING ERRCODE = 'insufficient_privilege', HINT = format('The database''s owner or a superuser can do it, then apply again: '
                    'GRANT CONNECT ON DATABASE %I TO %I', current_database(), connect_group);
        END IF;
    END IF;

    -- Roles that are bound here keep their right without a gap: this is one transaction. One that may let others connect is somebody's own.
    SELECT string_agg(DISTINCT quote_ident(r.rolname), ', ') INTO members
    FROM pg_database d, aclexplode(d.datacl) acl
        JOIN pg_roles r ON r.oid = acl.grantee JOIN brownie.role_bindings b ON b.role_name = r.rolname
    WHERE d.datname = current_database() AND acl.privilege_type = 'CONNECT' AND NOT acl.is_grantable AND r.oid <> d.datdba;
    IF members IS NOT NULL THEN
        EXECUTE format('GRANT %I TO %s WITH INHERIT TRUE, SET FALSE', connect_group, members);
        EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM %s', current_database(), members);
    END IF;

    -- Whoever may hand out the access levels may hand out this one.
    SELECT string_agg(DISTINCT quote_ident(pg_get_userbyid(m.member)), ', ') INTO members
    FROM pg_auth_members m
    WHERE m.roleid = 'brownie_reader'::regrole AND m.admin_option AND NOT EXISTS (SELECT FROM pg_auth_members own
        WHERE own.roleid = quote_ident(connect_group)::regrole AND own.member = m.member AND own.admin_option);
    IF members IS NOT NULL THEN
        EXECUTE format('GRANT %I TO %s WITH ADMIN TRUE, INHERIT FALSE, SET FALSE', connect_group, members);
    END IF;
END
$$;
-- +goose StatementEnd

-- Every role gets the right for itself again. The group role stays, as it belongs to the whole cluster, and so do its members.
-- +goose Down
-- brownie:locks NONE
-- +goose StatementBegin
DO $$
DECLARE
    connect_group CONSTANT name := (SELECT 'brownie_connect_' || CASE WHEN octet_length(datname) <= 47 THEN datname ELSE md5(datname) END
        FROM pg_database WHERE datname = current_database());
    members text;
BEGIN
    SELECT string_agg(DISTINCT quote_ident(b.role_name), ', ') INTO members
    FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member JOIN brownie.role_bindings b ON b.role_name = r.rolname
    WHERE m.roleid = to_regrole(quote_ident(connect_group));
    IF members IS NOT NULL THEN
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %s', current_database(), members);
        -- Whoever may not grant it is only warned.
        IF EXISTS (
            SELECT FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member JOIN brownie.role_bindings b ON b.role_name = r.rolname
            WHERE m.roleid = to_regrole(quote_ident(connect_group)) AND NOT EXISTS (SELECT FROM pg_database d, aclexplode(d.datacl) acl
                WHERE d.datname = current_database() AND acl.privilege_type = 'CONNECT' AND acl.grantee = r.oid))
        THEN
            RAISE EXCEPTION 'role % may not let others connect to database %', current_user, current_database()
                USING ERRCODE = 'insufficient_privilege', HINT = format('The database''s owner or a superuser can allow it: '
                    'GRANT CONNECT ON DATABASE %I TO %I WITH GRANT OPTION', current_database(), current_user);
        END IF;
        -- A login reads the database's privileges first and memberships later. So the memberships stay, if the group can lose its right.
        EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM %I', current_database(), connect_group);
        IF has_database_privilege(connect_group, current_database(), 'CONNECT') THEN
            EXECUTE format('REVOKE %I FROM %s', connect_group, members);
        END IF;
    END IF;
END
$$;
-- +goose StatementEnd
