-- Row-level policies hide rows, but the planner estimates from the statistics of all rows, and asks them about text,
-- numbers and UUIDs also for a session that sees only some of the rows (PostgreSQL manual, "Planner Statistics and
-- Security"). By many EXPLAINs a tenant could read values of others out of them. So there are none about such columns.

-- brownie:locks ACCESS EXCLUSIVE public.organizations, public.teams, public.users, public.agent_configs, public.configs
-- brownie:locks ACCESS EXCLUSIVE public.incidents, public.stats
-- brownie:locks ACCESS EXCLUSIVE brownie.organization_options, brownie.role_bindings

-- +goose Up

-- Keeps values of the table out of the planner's statistics, but for booleans, enums and times, of which there are only
-- a few values or which name nobody. What was collected before is removed. brownie.isolate_table calls it; call it again
-- for columns and indexes that are added later.
-- +goose StatementBegin
CREATE FUNCTION brownie.hide_statistics(tenant_table regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    hidden record;
    superuser boolean := (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
    clears boolean := current_setting('server_version_num')::integer >= 180000;
    same_types text[] := '{}';
    same_type text;
    remaining text[] := '{}';
BEGIN
    FOR hidden IN
        SELECT c.oid, c.relname, n.nspname, c.relkind IN ('i', 'I') AS is_index, c.reltuples >= 0 AS is_analysed, a.attname, a.attnum, a.attstattarget,
            format('ALTER COLUMN %I TYPE %s', a.attname, format_type(a.atttypid, a.atttypmod)) || coalesce((
                SELECT format(' COLLATE %s.%I', l.collnamespace::regnamespace, l.collname) FROM pg_collation l
                WHERE l.oid = a.attcollation AND a.attcollation <> t.typcollation), '') AS same_type
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_type t ON t.oid = a.atttypid AND t.typcategory NOT IN ('B', 'D', 'E')
        LEFT JOIN pg_index i ON i.indexrelid = c.oid
        WHERE coalesce(i.indrelid, c.oid) IN (SELECT tenant_table UNION SELECT relid FROM pg_partition_tree(tenant_table))
            AND (i.indrelid IS NULL OR i.indkey[a.attnum - 1] = 0)
    LOOP
        IF hidden.attstattarget IS DISTINCT FROM 0 THEN
            EXECUTE format('ALTER %s %s ALTER COLUMN %s SET STATISTICS 0', CASE WHEN hidden.is_index THEN 'INDEX' ELSE 'TABLE' END,
                hidden.oid::regclass, CASE WHEN hidden.is_index THEN hidden.attnum::text ELSE quote_ident(hidden.attname) END);
        END IF;
        IF NOT hidden.is_analysed THEN
            CONTINUE;
        ELSIF superuser THEN
            DELETE FROM pg_statistic WHERE starelid = hidden.oid AND staattnum = hidden.attnum;
        ELSIF clears THEN
            PERFORM pg_clear_attribute_stats(hidden.nspname, hidden.relname, hidden.attname, false),
                pg_clear_attribute_stats(hidden.nspname, hidden.relname, hidden.attname, true);
        ELSIF hidden.is_index THEN
            remaining := remaining || format('an expression of index %s', hidden.oid::regclass);
        ELSIF hidden.same_type <> ALL (same_types) THEN
            same_types := same_types || hidden.same_type;
        END IF;
    END LOOP;

    -- The one other thing that removes statistics is a change of type, also to the same one, which rewrites nothing.
    IF same_types <> '{}' THEN
        BEGIN
            EXECUTE format('ALTER TABLE %s %s', tenant_table, array_to_string(same_types, ', '));
        EXCEPTION WHEN feature_not_supported OR invalid_table_definition THEN
            FOREACH same_type IN ARRAY same_types LOOP
                BEGIN
                    EXECUTE format('ALTER TABLE %s %s', tenant_table, same_type);
                EXCEPTION WHEN feature_not_supported OR invalid_table_definition THEN
                    remaining := remaining || SQLERRM;
                END;
            END LOOP;
        END;
    END IF;
    IF remaining <> '{}' THEN
        RAISE WARNING 'old statistics of table % remain, from which a tenant could guess values: %', tenant_table,
                array_to_string(remaining, '; ')
            USING HINT = format('As a superuser: SELECT brownie.hide_statistics(%L)', tenant_table::text);
    END IF;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION brownie.hide_statistics(regclass) FROM PUBLIC;

-- Later migrations, and others who add a table with an organization_id, call this for it. Calling it again does no harm.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION brownie.isolate_table(tenant_table regclass, tenant_column name DEFAULT 'organization_id') RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    policy name;
    bound text := format('%I = (SELECT organization_id FROM brownie.current_binding)', tenant_column);
    key pg_catalog.pg_type;
BEGIN
    SELECT t.* INTO key FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = tenant_table AND a.attname = tenant_column AND NOT a.attisdropped;
    WHILE key.typtype = 'd' LOOP
        SELECT * INTO key FROM pg_catalog.pg_type t WHERE t.oid = key.typbasetype;
    END LOOP;
    IF key.oid IS NULL THEN
        RAISE EXCEPTION 'table % has no column %, by which its rows could belong to a tenant', tenant_table, tenant_column
            USING ERRCODE = 'undefined_column', HINT = 'Add it: organization_id uuid NOT NULL REFERENCES public.organizations (id)';
    ELSIF key.oid <> 'uuid'::regtype THEN
        RAISE EXCEPTION 'column % of table % is of type %, but a tenant''s key is a uuid', tenant_column, tenant_table, key.typname
            USING ERRCODE = 'datatype_mismatch',
                HINT = format('ALTER TABLE %s ALTER COLUMN %I TYPE uuid USING %2$I::uuid', tenant_table, tenant_column);
    END IF;
    IF pg_has_role('brownie_migrator', 'SET') AND has_schema_privilege('brownie_migrator',
        (SELECT relnamespace FROM pg_class WHERE oid = tenant_table), 'CREATE') THEN
        EXECUTE format('ALTER TABLE %s OWNER TO brownie_migrator', tenant_table);
    END IF;
    FOR policy IN SELECT polname FROM pg_policy WHERE polrelid = tenant_table LOOP
        EXECUTE format('DROP POLICY %I ON %s', policy, tenant_table);
    END LOOP;
    -- Now, because a column that a policy speaks of cannot be altered.
    PERFORM brownie.hide_statistics(tenant_table);
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

-- Whoever owns the schema owns what belongs to it. Without a superuser's rights, and before PostgreSQL 18, statistics of
-- columns that policies and triggers speak of only go away while there are no such policies and triggers.
-- +goose StatementBegin
DO $$
DECLARE
    tenant_table record;
    owner name := (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'brownie');
    triggers record;
    rebuilds boolean := current_setting('server_version_num')::integer < 180000
        AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
BEGIN
    EXECUTE format('ALTER FUNCTION brownie.hide_statistics(regclass) OWNER TO %I', owner);
    FOR tenant_table IN
        SELECT * FROM (VALUES
            ('public.organizations'::regclass, 'id'), ('public.teams', 'organization_id'), ('public.users', 'organization_id'),
            ('public.agent_configs', 'organization_id'), ('public.configs', 'organization_id'), ('public.incidents', 'organization_id'),
            ('public.stats', 'organization_id'), ('brownie.organization_options', 'organization_id'), ('brownie.role_bindings', 'organization_id')
        ) AS tables (name, tenant_column)
    LOOP
        IF NOT rebuilds OR (SELECT reltuples < 0 FROM pg_class WHERE oid = tenant_table.name) THEN
            PERFORM brownie.hide_statistics(tenant_table.name);
            CONTINUE;
        END IF;
        SELECT array_agg(tgname) AS names, array_agg(pg_get_triggerdef(oid)) AS definitions INTO triggers FROM pg_trigger
            WHERE tgrelid = tenant_table.name AND tgname IN ('fill_tenant_columns', 'refuse_organization_change');
        FOR i IN 1..coalesce(cardinality(triggers.names), 0) LOOP
            EXECUTE format('DROP TRIGGER %I ON %s', triggers.names[i], tenant_table.name);
        END LOOP;
        PERFORM brownie.isolate_table(tenant_table.name, tenant_table.tenant_column);
        FOR i IN 1..coalesce(cardinality(triggers.definitions), 0) LOOP
            EXECUTE triggers.definitions[i];
        END LOOP;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- The statement's own time, so that an open transaction does not outlive its role's validity.
CREATE OR REPLACE VIEW brownie.current_binding WITH (security_barrier = true) AS
    SELECT organization_id, access,
        organization_id IS NULL AND access IN ('reader', 'writer', 'admin', 'backup') AS all_tenants,
        organization_id IS NULL AND access IN ('writer', 'admin') AS writes_all_tenants
    FROM brownie.role_bindings
    WHERE role_name = session_user AND (valid_until IS NULL OR valid_until > statement_timestamp());

-- +goose Down
-- brownie:locks SHARE UPDATE EXCLUSIVE public.organizations, public.teams, public.users, public.agent_configs, public.configs
-- brownie:locks SHARE UPDATE EXCLUSIVE public.incidents, public.stats
-- brownie:locks SHARE UPDATE EXCLUSIVE brownie.organization_options, brownie.role_bindings
-- brownie:locks ACCESS EXCLUSIVE brownie.current_binding
CREATE OR REPLACE VIEW brownie.current_binding WITH (security_barrier = true) AS
    SELECT organization_id, access,
        organization_id IS NULL AND access IN ('reader', 'writer', 'admin', 'backup') AS all_tenants,
        organization_id IS NULL AND access IN ('writer', 'admin') AS writes_all_tenants
    FROM brownie.role_bindings
    WHERE role_name = session_user AND (valid_until IS NULL OR valid_until > now());
-- +goose StatementBegin
DO $$
DECLARE
    hidden record;
BEGIN
    FOR hidden IN
        SELECT a.attrelid::regclass AS tenant_table, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE a.attnum > 0 AND a.attstattarget = 0 AND NOT a.attisdropped AND (
            c.relnamespace = 'brownie'::regnamespace AND c.relname IN ('organization_options', 'role_bindings')
            OR c.relnamespace = 'public'::regnamespace AND c.relname IN
                ('organizations', 'teams', 'users', 'agent_configs', 'configs', 'incidents', 'stats'))
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS -1', hidden.tenant_table, hidden.attname);
    END LOOP;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION brownie.isolate_table(tenant_table regclass, tenant_column name DEFAULT 'organization_id') RETURNS void
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
DROP FUNCTION brownie.hide_statistics(regclass);
