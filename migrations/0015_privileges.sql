-- Takes away what tenants' roles need not have: hashes of passwords and, where the one who migrates is a superuser, storing
-- large objects and counters from which a tenant could learn of others. And it makes sure that what this and earlier
-- migrations granted and revoked took effect: PostgreSQL only warns when it did not.

-- brownie:locks NONE

-- +goose Up
REVOKE SELECT ON public.users FROM brownie_reader, brownie_writer, brownie_admin;
-- Service roles are writers and admins, too.
GRANT SELECT ON public.users TO brownie_all_tenants;
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('GRANT SELECT (%s) ON public.users TO brownie_reader, brownie_writer, brownie_admin', (
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = 'public.users'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'password_hash'));
END
$$;
-- +goose StatementEnd

-- "Rows fetched by index" tells whether a value exists, also among rows that a policy hides, and currtid2 whether such a row
-- was changed; large objects and messages in the write-ahead log belong to no tenant, but fill the disk of all.
-- +goose StatementBegin
DO $$
DECLARE
    object record;
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RETURN;
    END IF;
    FOR object IN
        SELECT 'FUNCTION ' || oid::regprocedure AS name, 'EXECUTE' AS privilege, 'pg_read_all_stats, brownie_migrator' AS keepers
        FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~
            '^pg_stat_get_(xact_)?(backend_(io|wal)|numscans|tuples_\w+|blocks_(fetched|hit)|(live|dead)_tuples|(mod|ins)_since_\w+|lastscan|db_(tuples|blocks)_\w+)$'
        UNION ALL
        SELECT 'TABLE ' || oid::regclass, 'SELECT', 'pg_read_all_stats, brownie_migrator'
        FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'v'
            AND relname ~ '^pg_stat(io)?_(xact_)?(all|sys|user)_(tables|indexes)$|^pg_stat_database$'
        UNION ALL
        SELECT 'FUNCTION ' || oid::regprocedure, 'EXECUTE', 'brownie_migrator'
        FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
            AND proname IN ('currtid2', 'pg_logical_emit_message', 'lo_creat', 'lo_create', 'lo_from_bytea', 'lo_put', 'lo_truncate', 'lo_truncate64', 'lowrite')
    LOOP
        EXECUTE format('REVOKE %s ON %s FROM PUBLIC', object.privilege, object.name);
        EXECUTE format('GRANT %s ON %s TO %s', object.privilege, object.name, object.keepers);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- GRANT and REVOKE of somebody who may not do that only warn. So each is tried again where it had no effect, and what is
-- still missing then is an error, with what to run as whom.
-- +goose StatementBegin
DO $$
DECLARE
    wanted record;
    tenants text[] := ARRAY['brownie_reader', 'brownie_writer', 'brownie_admin'];
    core text[] := ARRAY['public.organizations', 'public.teams', 'public.users', 'public.agent_configs', 'public.configs', 'public.incidents', 'public.stats'];
    problems text[] := '{}';
    remedies text[] := '{}';
    owners name[] := '{}';
    is_so boolean;
BEGIN
    FOR wanted IN
        WITH grants (grantee, kind, object, privilege) AS (
            SELECT grantee, 'SCHEMA', 'public', 'USAGE' FROM unnest(tenants || ARRAY['brownie_all_tenants', 'brownie_backup']) AS grantee
            UNION ALL SELECT 'public', 'SCHEMA', 'brownie', 'USAGE'
            UNION ALL SELECT 'public', 'TABLE', 'brownie.current_binding', 'SELECT'
            UNION ALL SELECT 'public', 'FUNCTION', function, 'EXECUTE' FROM unnest(ARRAY['brownie.policy_first()', 'brownie.planned_organization()']) AS function
            UNION ALL SELECT 'brownie_pooler', 'FUNCTION', 'brownie.pooler_lookup(text)', 'EXECUTE'
            UNION ALL SELECT grantee, 'TABLE', object, 'SELECT' FROM unnest(tenants) AS grantee, unnest(core) AS object WHERE object <> 'public.users'
            UNION ALL SELECT grantee, 'TABLE', object, privilege
                FROM unnest(tenants[2:]) AS grantee, unnest(core) AS object, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) AS privilege
                WHERE object <> 'public.organizations'
            UNION ALL SELECT 'brownie_all_tenants', 'TABLE', object, privilege
                FROM unnest(ARRAY['public.organizations', 'brownie.organization_options']) AS object, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) AS privilege
            UNION ALL SELECT 'brownie_all_tenants', 'TABLE', object, 'SELECT'
                FROM unnest(ARRAY['public.users', 'brownie.organization_options', 'brownie.role_bindings']) AS object
            UNION ALL SELECT 'brownie_backup', 'TABLE', object, 'SELECT'
                FROM unnest(core || ARRAY['brownie.organization_options', 'brownie.role_bindings']) AS object
            UNION ALL SELECT grantee, 'COLUMN', attname, privilege FROM (
                SELECT grantee, 'SELECT' AS privilege, 'public.users'::regclass AS tenant_table, NULL::text[] AS names FROM unnest(tenants) AS grantee
                UNION ALL SELECT 'brownie_admin', 'UPDATE', 'public.organizations',
                    ARRAY['description', 'config_yaml', 'config_json', 'config_version', 'settings', 'updated_at']
            ) AS parts JOIN pg_attribute ON attrelid = tenant_table AND attnum > 0 AND NOT attisdropped
                AND (attname = ANY (names) OR names IS NULL AND attname <> 'password_hash')
        ), checks AS (
            SELECT 'GRANT' AS verb, grants.*, CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END AS grantee_name,
                CASE WHEN kind <> 'COLUMN' THEN privilege ELSE format('%s (%I)', privilege, object) END AS what,
                CASE WHEN kind <> 'COLUMN' THEN format('%s %s', kind, object) WHEN privilege = 'UPDATE' THEN 'TABLE public.organizations'
                    ELSE 'TABLE public.users' END AS target FROM grants
            UNION ALL SELECT 'REVOKE', 'public', 'SCHEMA', 'public', 'CREATE', 'PUBLIC', 'CREATE', 'SCHEMA public'
            UNION ALL SELECT 'REVOKE', 'public', 'DATABASE', current_database()::text, privilege, 'PUBLIC', privilege, format('DATABASE %I', current_database())
                FROM unnest(ARRAY['CONNECT', 'TEMPORARY']) AS privilege
            UNION ALL SELECT 'REVOKE', grantee, 'COLUMN', 'password_hash', 'SELECT', quote_ident(grantee), 'SELECT', 'TABLE public.users'
                FROM unnest(tenants) AS grantee
        )
        SELECT checks.*, CASE kind
            WHEN 'SCHEMA' THEN (SELECT nspowner FROM pg_namespace WHERE nspname = object)
            WHEN 'DATABASE' THEN (SELECT datdba FROM pg_database WHERE datname = object)
            WHEN 'FUNCTION' THEN (SELECT proowner FROM pg_proc WHERE oid = to_regprocedure(object))
            ELSE (SELECT relowner FROM pg_class WHERE oid = to_regclass(substr(target, 7))) END AS owner
        FROM checks
    LOOP
        FOR attempt IN 1..2 LOOP
            is_so := (wanted.verb = 'GRANT') = CASE wanted.kind
                WHEN 'SCHEMA' THEN has_schema_privilege(wanted.grantee, wanted.object, wanted.privilege)
                WHEN 'DATABASE' THEN has_database_privilege(wanted.grantee, wanted.object, wanted.privilege)
                WHEN 'FUNCTION' THEN has_function_privilege(wanted.grantee, wanted.object, wanted.privilege)
                WHEN 'COLUMN' THEN has_column_privilege(wanted.grantee, substr(wanted.target, 7), wanted.object, wanted.privilege)
                ELSE has_table_privilege(wanted.grantee, wanted.object, wanted.privilege) END;
            EXIT WHEN is_so OR attempt = 2;
            BEGIN
                EXECUTE format('%s %s ON %s %s %s', wanted.verb, wanted.what, wanted.target,
                    CASE wanted.verb WHEN 'GRANT' THEN 'TO' ELSE 'FROM' END, wanted.grantee_name);
            EXCEPTION WHEN insufficient_privilege THEN NULL;
            END;
        END LOOP;
        IF NOT is_so THEN
            problems := problems || format('%s %s %s on %s', wanted.grantee_name,
                CASE wanted.verb WHEN 'GRANT' THEN 'lacks' ELSE 'still has' END, wanted.what, lower(wanted.target));
            remedies := remedies || format('%s %s ON %s %s %s;', wanted.verb, wanted.what, wanted.target,
                CASE wanted.verb WHEN 'GRANT' THEN 'TO' ELSE 'FROM' END, wanted.grantee_name);
            owners := owners || pg_get_userbyid(wanted.owner);
        END IF;
    END LOOP;
    IF problems <> '{}' THEN
        RAISE EXCEPTION 'role % could not set privileges without which tenants cannot work or are not apart: %', current_user,
                array_to_string(problems, '; ')
            USING ERRCODE = 'insufficient_privilege', HINT = format('As %s (the owner) or a superuser, in database %I, then apply again: %s',
                (SELECT string_agg(DISTINCT quote_ident(o), ', ') FROM unnest(owners) AS o), current_database(), array_to_string(remedies, ' '));
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- brownie:locks NONE
GRANT SELECT ON public.users TO brownie_reader, brownie_writer, brownie_admin;
REVOKE SELECT ON public.users FROM brownie_all_tenants;
-- +goose StatementBegin
DO $$
DECLARE
    object record;
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RETURN;
    END IF;
    FOR object IN
        SELECT 'FUNCTION ' || oid::regprocedure AS name, 'EXECUTE' AS privilege FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND (proname IN
            ('currtid2', 'pg_logical_emit_message', 'lo_creat', 'lo_create', 'lo_from_bytea', 'lo_put', 'lo_truncate', 'lo_truncate64', 'lowrite') OR proname ~
            '^pg_stat_get_(xact_)?(backend_(io|wal)|numscans|tuples_\w+|blocks_(fetched|hit)|(live|dead)_tuples|(mod|ins)_since_\w+|lastscan|db_(tuples|blocks)_\w+)$')
        UNION ALL
        SELECT 'TABLE ' || oid::regclass, 'SELECT'
        FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'v'
            AND relname ~ '^pg_stat(io)?_(xact_)?(all|sys|user)_(tables|indexes)$|^pg_stat_database$'
    LOOP
        EXECUTE format('GRANT %s ON %s TO PUBLIC', object.privilege, object.name);
        EXECUTE format('REVOKE %s ON %s FROM pg_read_all_stats, brownie_migrator', object.privilege, object.name);
    END LOOP;
END
$$;
-- +goose StatementEnd
