-- From here on the server itself keeps the tenants apart (PostgreSQL manual, section 5.9). Three policies on each table
-- say who sees what, by group role; privileges say what may be done with it. All of it comes in one transaction, so that
-- no client ever finds one without the other.

-- brownie:locks ACCESS EXCLUSIVE public.organizations, public.teams, public.users, public.agent_configs, public.configs
-- brownie:locks ACCESS EXCLUSIVE public.incidents, public.stats, public.alembic_version
-- brownie:locks ACCESS EXCLUSIVE brownie.organization_options, brownie.role_bindings

-- +goose Up

-- Later migrations, and others who add a table with an organization_id, call this for it. Calling it again does no harm.
-- +goose StatementBegin
CREATE FUNCTION brownie.isolate_table(tenant_table regclass, tenant_column name DEFAULT 'organization_id') RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    policy name;
    bound text := format('%I = (SELECT organization_id FROM brownie.current_binding)', tenant_column);
BEGIN
    IF pg_has_role('brownie_migrator', 'SET') AND has_schema_privilege('brownie_migrator',
        (SELECT relnamespace FROM pg_class WHERE oid = tenant_table), 'CREATE') THEN
        EXECUTE format('ALTER TABLE %s OWNER TO brownie_migrator', tenant_table);
    END IF;
    FOR policy IN SELECT polname FROM pg_policy WHERE polrelid = tenant_table LOOP
        EXECUTE format('DROP POLICY %I ON %s', policy, tenant_table);
    END LOOP;
    -- FORCE, because a table's owner would otherwise be above the policies.
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', tenant_table);
    -- The tenant's policy stands alone for its roles: OR-ed with another one it could not use an index.
    IF tenant_column = 'organization_id' THEN
        EXECUTE format('CREATE POLICY tenant ON %s TO brownie_reader, brownie_writer, brownie_admin USING (%s)',
            tenant_table, bound);
    ELSE
        -- The organization itself: a tenant neither makes nor removes it.
        EXECUTE format('CREATE POLICY tenant ON %s FOR SELECT TO brownie_reader, brownie_writer, brownie_admin USING (%s)',
            tenant_table, bound);
        EXECUTE format('CREATE POLICY tenant_update ON %s FOR UPDATE TO brownie_admin USING (%s)', tenant_table, bound);
    END IF;
    EXECUTE format('CREATE POLICY all_tenants_read ON %s FOR SELECT TO brownie_all_tenants '
        'USING ((SELECT all_tenants FROM brownie.current_binding))', tenant_table);
    EXECUTE format('CREATE POLICY all_tenants_write ON %s TO brownie_all_tenants '
        'USING ((SELECT writes_all_tenants FROM brownie.current_binding))', tenant_table);
    EXECUTE format('CREATE POLICY owner ON %s TO %I USING (true)', tenant_table,
        (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = tenant_table));
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
DECLARE
    object record;
    creator name;
BEGIN
    BEGIN
        GRANT CREATE, USAGE ON SCHEMA public TO brownie_migrator;
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
    -- Otherwise the schema stays with its present owner, and no other role can run migrations.
    IF pg_has_role('brownie_migrator', 'SET') AND has_schema_privilege('brownie_migrator', 'public', 'CREATE') THEN
        FOR object IN
            SELECT DISTINCT relowner::regrole AS owner FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relname IN
                    ('organizations', 'teams', 'users', 'agent_configs', 'configs', 'incidents', 'stats')
                AND NOT pg_has_role(relowner, 'brownie_migrator', 'USAGE')
        LOOP
            EXECUTE format('GRANT brownie_migrator TO %s WITH INHERIT TRUE, SET TRUE', object.owner);
        END LOOP;
        ALTER SCHEMA brownie OWNER TO brownie_migrator;
        FOR object IN
            SELECT c.oid::regclass AS name FROM pg_class c
            WHERE c.relnamespace IN ('public'::regnamespace, 'brownie'::regnamespace) AND c.relkind IN ('r', 'v')
                AND (c.relnamespace = 'brownie'::regnamespace OR c.relname IN ('alembic_version',
                    'organizations', 'teams', 'users', 'agent_configs', 'configs', 'incidents', 'stats'))
        LOOP
            EXECUTE format('ALTER TABLE %s OWNER TO brownie_migrator', object.name);
        END LOOP;
        FOR object IN SELECT oid::regprocedure AS name FROM pg_proc WHERE pronamespace = 'brownie'::regnamespace LOOP
            EXECUTE format('ALTER FUNCTION %s OWNER TO brownie_migrator', object.name);
        END LOOP;
        FOR object IN
            SELECT oid::regtype AS name FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typname IN
                ('agenttype', 'configstatus', 'configtype', 'incidentpriority', 'incidentstatus', 'userrole')
        LOOP
            EXECUTE format('ALTER TYPE %s OWNER TO brownie_migrator', object.name);
        END LOOP;
    END IF;

    -- Whoever runs the later migrations, the access levels cover the tables that they make.
    FOR creator IN
        SELECT current_user UNION SELECT 'brownie_migrator' WHERE pg_has_role('brownie_migrator', 'USAGE')
    LOOP
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public '
            'GRANT SELECT ON TABLES TO brownie_reader, brownie_writer, brownie_admin, brownie_backup', creator);
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public '
            'GRANT INSERT, UPDATE, DELETE ON TABLES TO brownie_writer, brownie_admin', creator);
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public, brownie '
            'GRANT SELECT ON SEQUENCES TO brownie_backup', creator);
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA brownie '
            'GRANT SELECT ON TABLES TO brownie_backup', creator);
    END LOOP;
END
$$;
-- +goose StatementEnd

SELECT brownie.isolate_table('public.organizations', 'id');
SELECT brownie.isolate_table('public.teams');
SELECT brownie.isolate_table('public.users');
SELECT brownie.isolate_table('public.agent_configs');
SELECT brownie.isolate_table('public.configs');
SELECT brownie.isolate_table('public.incidents');
SELECT brownie.isolate_table('public.stats');
SELECT brownie.isolate_table('brownie.organization_options');
SELECT brownie.isolate_table('brownie.role_bindings');

-- Nobody adds to the schemas but their owners; what a tenant could put there, others would run.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO brownie_reader, brownie_writer, brownie_admin, brownie_all_tenants, brownie_backup;
-- Everybody may ask for the own tenant. Nothing else in the schema is open to all.
GRANT USAGE ON SCHEMA brownie TO PUBLIC;
GRANT SELECT ON brownie.current_binding TO PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA brownie FROM PUBLIC;
GRANT EXECUTE ON FUNCTION brownie.pooler_lookup(text) TO brownie_pooler;

GRANT SELECT ON public.organizations, public.teams, public.users, public.agent_configs, public.configs,
    public.incidents, public.stats TO brownie_reader, brownie_writer, brownie_admin;
GRANT INSERT, UPDATE, DELETE ON public.teams, public.users, public.agent_configs, public.configs, public.incidents,
    public.stats TO brownie_writer, brownie_admin;
-- Name and slug are unique among all tenants, so that changing one's own would reveal those of others; the limits are
-- set by whom the tenant pays.
GRANT UPDATE (description, config_yaml, config_json, config_version, settings, updated_at) ON public.organizations
    TO brownie_admin;
-- Which of the service roles may, their policy says.
GRANT INSERT, UPDATE, DELETE ON public.organizations TO brownie_all_tenants;
GRANT SELECT, INSERT, UPDATE, DELETE ON brownie.organization_options TO brownie_all_tenants;
GRANT SELECT ON brownie.role_bindings TO brownie_all_tenants;
-- goose's own program keeps its record elsewhere.
-- +goose StatementBegin
DO $$
BEGIN
    IF to_regclass('brownie.goose_db_version') IS NOT NULL THEN
        GRANT SELECT ON brownie.goose_db_version TO brownie_all_tenants, brownie_monitor;
    END IF;
END
$$;
-- +goose StatementEnd

GRANT SELECT ON ALL TABLES IN SCHEMA public TO brownie_backup;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO brownie_backup;
GRANT SELECT ON ALL TABLES IN SCHEMA brownie TO brownie_backup;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA brownie TO brownie_backup;

-- Tables stay with their present owner. Tenants' roles lose their privileges, so that without policies they see nothing.
-- +goose Down
-- brownie:locks ACCESS EXCLUSIVE public.organizations, public.teams, public.users, public.agent_configs, public.configs
-- brownie:locks ACCESS EXCLUSIVE public.incidents, public.stats, brownie.organization_options, brownie.role_bindings
-- +goose StatementBegin
DO $$
DECLARE
    object record;
    creator name;
BEGIN
    FOR object IN
        SELECT polrelid::regclass AS name, polname FROM pg_policy JOIN pg_class c ON c.oid = polrelid
        WHERE c.relnamespace = 'brownie'::regnamespace OR c.relnamespace = 'public'::regnamespace AND c.relname IN
            ('organizations', 'teams', 'users', 'agent_configs', 'configs', 'incidents', 'stats')
    LOOP
        EXECUTE format('DROP POLICY %I ON %s', object.polname, object.name);
        EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY', object.name);
    END LOOP;
    FOR creator IN
        SELECT current_user UNION SELECT 'brownie_migrator' WHERE pg_has_role('brownie_migrator', 'USAGE')
    LOOP
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public '
            'REVOKE ALL ON TABLES FROM brownie_reader, brownie_writer, brownie_admin, brownie_backup', creator);
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public, brownie '
            'REVOKE ALL ON SEQUENCES FROM brownie_backup', creator);
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA brownie '
            'REVOKE ALL ON TABLES FROM brownie_backup', creator);
    END LOOP;
END
$$;
-- +goose StatementEnd
DROP FUNCTION brownie.isolate_table(regclass, name);

REVOKE ALL ON ALL TABLES IN SCHEMA public, brownie
    FROM brownie_reader, brownie_writer, brownie_admin, brownie_all_tenants, brownie_monitor, brownie_backup;
REVOKE ALL (description, config_yaml, config_json, config_version, settings, updated_at) ON public.organizations
    FROM brownie_admin;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public, brownie FROM brownie_backup;
REVOKE USAGE ON SCHEMA public FROM brownie_reader, brownie_writer, brownie_admin, brownie_all_tenants, brownie_backup;
REVOKE EXECUTE ON FUNCTION brownie.pooler_lookup(text) FROM brownie_pooler;
REVOKE ALL ON brownie.current_binding FROM PUBLIC;
REVOKE USAGE ON SCHEMA brownie FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA brownie TO PUBLIC;
