-- The planner lets cheap conditions that it calls leakproof run before a policy, on the rows of all tenants. It counts
-- NULL tests, booleans, subscripts and "= ANY" of one value as cheap, and a sub-select beside them shows whether it was
-- reached. From here on no condition of a client runs before the policy, and none on a row that an INSERT finds in its way.

-- brownie:locks ACCESS EXCLUSIVE public.organizations, public.teams, public.users, public.agent_configs, public.configs
-- brownie:locks ACCESS EXCLUSIVE public.incidents, public.stats
-- brownie:locks ACCESS EXCLUSIVE brownie.organization_options, brownie.role_bindings

-- +goose Up

-- The planner evaluates this while it plans, because it is IMMUTABLE, and orders conditions afterwards. With operators
-- that cost nothing no condition is cheaper than another, so that none is put before the policy. Whoever sees all tenants
-- has nothing to learn, and keeps the planner's own estimates.
-- +goose StatementBegin
CREATE FUNCTION brownie.policy_first() RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF pg_catalog.current_setting('cpu_operator_cost') OPERATOR(pg_catalog.<>) '0' AND NOT (
        pg_catalog.pg_has_role('brownie_all_tenants', 'USAGE') AND EXISTS (SELECT FROM brownie.current_binding b WHERE b.all_tenants))
    THEN
        PERFORM pg_catalog.set_config('cpu_operator_cost', '0', true);
    END IF;
    RETURN true;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION brownie.policy_first() IS 'Keeps the planner from running conditions of clients before a policy.';

-- OFFSET 0 keeps conditions of whoever reads the view away from the rows of other roles. The clock's time, because many
-- statements may come in one message, which has one time.
CREATE OR REPLACE VIEW brownie.current_binding WITH (security_barrier = true) AS
    SELECT own.organization_id, own.access, own.all_tenants, own.writes_all_tenants
    FROM (
        SELECT organization_id, access,
            organization_id IS NULL AND access IN ('reader', 'writer', 'admin', 'backup') AS all_tenants,
            organization_id IS NULL AND access IN ('writer', 'admin') AS writes_all_tenants
        FROM brownie.role_bindings
        WHERE role_name = session_user AND (valid_until IS NULL OR valid_until > clock_timestamp())
        OFFSET 0
    ) AS own;

-- The tenant as the planner knows it. A policy that compares with a constant is one that nothing of a client's can replace
-- in the planner's classes of equal things, and that finds rows in the order of an index. What counts is the restrictive
-- policy, which asks the view when the statement runs.
-- +goose StatementBegin
CREATE FUNCTION brownie.planned_organization() RETURNS uuid
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN (SELECT b.organization_id FROM brownie.current_binding b);
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION brownie.planned_organization() IS 'The tenant of the session, for the planner.';

-- Only a policy of service roles speaks of this operator, which is always true. So only their plans use the indexes that
-- are made for them (PostgreSQL manual, "Partial Indexes"): nobody else may name what is in this schema.
CREATE SCHEMA IF NOT EXISTS brownie_service; -- one may be left of a database that was emptied
REVOKE ALL ON SCHEMA brownie_service FROM PUBLIC;
COMMENT ON SCHEMA brownie_service IS 'By what an index is for service roles only. Nobody else may use this schema.';
DROP OPERATOR IF EXISTS brownie_service.>= (uuid, uuid);
CREATE OPERATOR brownie_service.>= (FUNCTION = pg_catalog.uuid_ge, LEFTARG = uuid, RIGHTARG = uuid, RESTRICT = neqsel);

-- Writes the policies of a table, and leaves others that it has. It is the one place that does.
-- +goose StatementBegin
CREATE FUNCTION brownie.write_policies(tenant_table regclass, tenant_column name DEFAULT 'organization_id') RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    policy name;
    bound text := format('%I = brownie.planned_organization()', tenant_column);
    -- An equality may be merged with conditions of a client, which would then run together with it; this form is never
    -- merged. Owners that inherit a tenant's role see what owners see.
    barrier text := format('brownie.policy_first() AND (%I = ANY (ARRAY(SELECT organization_id FROM brownie.current_binding)) '
        'OR (SELECT all_tenants FROM brownie.current_binding) '
        'OR (SELECT pg_catalog.pg_has_role(relowner, ''USAGE'') FROM pg_catalog.pg_class WHERE oid = %L::regclass))', tenant_column, tenant_table);
    always text := (SELECT format('%I OPERATOR(brownie_service.>=) %L::uuid', attname, '00000000-0000-0000-0000-000000000000')
        FROM pg_attribute WHERE attrelid = tenant_table AND attname = tenant_column AND attnotnull);
BEGIN
    FOREACH policy IN ARRAY ARRAY['0_tenant', 'tenant', 'tenant_update', 'all_tenants_indexes', 'all_tenants_read', 'all_tenants_write', 'owner'] LOOP
        IF EXISTS (SELECT FROM pg_policy WHERE polrelid = tenant_table AND polname = policy) THEN
            EXECUTE format('DROP POLICY %I ON %s', policy, tenant_table);
        END IF;
    END LOOP;
    -- FORCE, because a table's owner would otherwise be above the policies. The binding view, though, reads as the owner
    -- of the bindings: a policy that reads the view must not hold for that, or it would ask itself.
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, %s ROW LEVEL SECURITY', tenant_table,
        CASE WHEN tenant_table = 'brownie.role_bindings'::regclass THEN 'NO FORCE' ELSE 'FORCE' END);
    -- Restrictive policies come before others, and the one whose name sorts first before all.
    EXECUTE format('CREATE POLICY "0_tenant" ON %s AS RESTRICTIVE TO brownie_reader, brownie_writer, brownie_admin USING (%s)', tenant_table, barrier);
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
    IF always IS NOT NULL THEN
        EXECUTE format('CREATE POLICY all_tenants_indexes ON %s AS RESTRICTIVE TO brownie_all_tenants USING (%s)', tenant_table, always);
    END IF;
    -- The owner of the schema reads keys, see brownie.guard_keys.
    EXECUTE format('CREATE POLICY owner ON %s TO %s USING (true)', tenant_table, (
        SELECT string_agg(DISTINCT quote_ident(pg_get_userbyid(owner)), ', ') FROM (
            SELECT relowner FROM pg_class WHERE oid = tenant_table UNION SELECT nspowner FROM pg_namespace WHERE nspname = 'brownie') AS owners (owner)));
END
$$;
-- +goose StatementEnd

-- INSERT … ON CONFLICT DO UPDATE evaluates its WHERE on the row in the way before PostgreSQL asks the policies of that row,
-- so that an error or a side effect there shows values of another tenant. So a tenant does not get that far: a key that
-- another tenant has is refused first, as a plain INSERT would be. A row that is just being made is not seen by that check; so
-- keys that can be guessed before their row is there are none that ON CONFLICT may name, see version 17.
--
-- This makes the function and the trigger for the keys that a table has now. It is the last trigger before a row is inserted.
-- Whoever sees all tenants anyway does not pay for it.
-- +goose StatementBegin
CREATE FUNCTION brownie.guard_keys(tenant_table regclass, tenant_column name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    relation pg_class := (SELECT c FROM pg_class c WHERE oid = tenant_table);
    owner name := (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'brownie');
    -- A partition has its parent's trigger, too.
    guard name := 'zz_refuse_others_keys' || CASE WHEN relation.relispartition THEN '_of_partition' ELSE '' END;
    function text := format('brownie.%I', 'refuse_others_keys_of_' || CASE
        WHEN relation.relnamespace = 'public'::regnamespace AND length(relation.relname) <= 28 THEN relation.relname::text
        ELSE left(relation.relname, 19) || '_' || left(md5(tenant_table::text), 8) END);
    checks text := (
        SELECT string_agg(format(E'    IF EXISTS (SELECT FROM %s t WHERE t.%I <> NEW.%2$I AND %s) THEN\n'
                '        RAISE EXCEPTION ''duplicate key value violates unique constraint "%%"'', %L USING ERRCODE = ''unique_violation'', '
                'SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, CONSTRAINT = %4$L;\n    END IF;\n',
            tenant_table, tenant_column, key.comparison, k.relname), '' ORDER BY k.relname)
        FROM pg_index i JOIN pg_class k ON k.oid = i.indexrelid
        CROSS JOIN LATERAL (
            SELECT string_agg(format(CASE WHEN i.indnullsnotdistinct THEN 't.%I IS NOT DISTINCT FROM NEW.%1$I' ELSE 't.%I = NEW.%1$I' END, a.attname),
                ' AND ' ORDER BY a.attnum) AS comparison, bool_or(a.attname = tenant_column) AS has_tenant
            FROM pg_attribute a WHERE a.attrelid = tenant_table AND a.attnum = ANY (i.indkey[:i.indnkeyatts - 1])
        ) AS key
        WHERE i.indrelid = tenant_table AND i.indisunique AND NOT key.has_tenant AND 0 <> ALL (i.indkey[:i.indnkeyatts - 1]));
BEGIN
    -- Into the others no tenant inserts.
    IF relation.relkind NOT IN ('r', 'p') OR relation.relnamespace = 'brownie'::regnamespace OR tenant_table = 'public.organizations'::regclass THEN
        RETURN;
    END IF;
    EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', guard, tenant_table);
    IF checks IS NULL THEN
        RETURN;
    END IF;
    IF NOT has_schema_privilege(owner, relation.relnamespace, 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I', relation.relnamespace::regnamespace, owner);
    END IF;
    IF NOT has_table_privilege(owner, tenant_table, 'SELECT') THEN
        EXECUTE format('GRANT SELECT ON %s TO %I', tenant_table, owner);
    END IF;
    IF NOT (has_schema_privilege(owner, relation.relnamespace, 'USAGE') AND has_table_privilege(owner, tenant_table, 'SELECT')) THEN
        RAISE EXCEPTION 'role % cannot read table %, which the check of its keys needs', owner, tenant_table
            USING ERRCODE = 'insufficient_privilege', HINT = format('As the owner of both: GRANT USAGE ON SCHEMA %s TO %I; GRANT SELECT ON %s TO %2$I',
                relation.relnamespace::regnamespace, owner, tenant_table);
    END IF;
    EXECUTE format('CREATE OR REPLACE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS %L',
        function, E'\nBEGIN\n' || checks || E'    RETURN NEW;\nEND\n');
    EXECUTE format('REVOKE ALL ON FUNCTION %s() FROM PUBLIC', function);
    IF owner <> current_user THEN
        EXECUTE format('ALTER FUNCTION %s() OWNER TO %I', function, owner);
    END IF;
    EXECUTE format('CREATE TRIGGER %I BEFORE INSERT ON %s FOR EACH ROW '
        'WHEN (NOT (pg_has_role(''brownie_all_tenants'', ''USAGE'') OR pg_has_role(''brownie_migrator'', ''USAGE''))) EXECUTE FUNCTION %s()',
        guard, tenant_table, function);
END
$$;
-- +goose StatementEnd

-- Later migrations, and others who add a table with an organization_id, call this for it. Calling it again does no harm.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION brownie.isolate_table(tenant_table regclass, tenant_column name DEFAULT 'organization_id') RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    policy name;
    key pg_type;
BEGIN
    SELECT t.* INTO key FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = tenant_table AND a.attname = tenant_column AND NOT a.attisdropped;
    WHILE key.typtype = 'd' LOOP
        SELECT * INTO key FROM pg_type t WHERE t.oid = key.typbasetype;
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
    PERFORM brownie.write_policies(tenant_table, tenant_column), brownie.guard_keys(tenant_table, tenant_column);
END
$$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION brownie.write_policies(regclass, name), brownie.guard_keys(regclass, name),
    brownie.isolate_table(regclass, name) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION brownie.policy_first(), brownie.planned_organization() TO PUBLIC;

-- Whoever owns the schema owns what belongs to it. Tables that others isolated get the new policies, too.
-- +goose StatementBegin
DO $$
DECLARE
    owner name := (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'brownie');
    tenant_table regclass;
BEGIN
    EXECUTE format('ALTER FUNCTION brownie.policy_first() OWNER TO %I', owner);
    EXECUTE format('ALTER FUNCTION brownie.write_policies(regclass, name) OWNER TO %I', owner);
    EXECUTE format('ALTER FUNCTION brownie.guard_keys(regclass, name) OWNER TO %I', owner);
    EXECUTE format('ALTER FUNCTION brownie.planned_organization() OWNER TO %I', owner);
    EXECUTE format('ALTER SCHEMA brownie_service OWNER TO %I', owner);
    EXECUTE format('ALTER OPERATOR brownie_service.>= (uuid, uuid) OWNER TO %I', owner);
    FOR tenant_table IN
        SELECT polrelid FROM pg_policy WHERE polname = 'tenant' AND EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_policy'::regclass AND d.objid = pg_policy.oid
                AND d.refobjid = 'brownie.current_binding'::regclass)
        ORDER BY polrelid
    LOOP
        BEGIN
            PERFORM brownie.write_policies(tenant_table, tenant_column), brownie.guard_keys(tenant_table, tenant_column)
            FROM (SELECT CASE WHEN tenant_table = 'public.organizations'::regclass THEN 'id' ELSE 'organization_id' END AS tenant_column) AS own;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE EXCEPTION 'the policies of table % cannot be replaced: %', tenant_table, SQLERRM
                USING ERRCODE = 'insufficient_privilege',
                    HINT = format('As the table''s owner or a superuser: ALTER TABLE %s OWNER TO %I', tenant_table, owner);
        END;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- brownie:locks ACCESS EXCLUSIVE public.organizations, public.teams, public.users, public.agent_configs, public.configs
-- brownie:locks ACCESS EXCLUSIVE public.incidents, public.stats
-- brownie:locks ACCESS EXCLUSIVE brownie.organization_options, brownie.role_bindings
CREATE OR REPLACE VIEW brownie.current_binding WITH (security_barrier = true) AS
    SELECT organization_id, access,
        organization_id IS NULL AND access IN ('reader', 'writer', 'admin', 'backup') AS all_tenants,
        organization_id IS NULL AND access IN ('writer', 'admin') AS writes_all_tenants
    FROM brownie.role_bindings
    WHERE role_name = session_user AND (valid_until IS NULL OR valid_until > statement_timestamp());
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
-- +goose StatementBegin
DO $$
DECLARE
    tenant_table regclass;
    bound text;
BEGIN
    FOR tenant_table IN
        SELECT polrelid FROM pg_policy WHERE polname = '0_tenant' AND EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_policy'::regclass AND d.objid = pg_policy.oid
                AND d.refobjid = 'brownie.current_binding'::regclass)
        ORDER BY polrelid
    LOOP
        bound := CASE WHEN tenant_table = 'public.organizations'::regclass THEN 'id' ELSE 'organization_id' END
            || ' = (SELECT organization_id FROM brownie.current_binding)';
        EXECUTE format('ALTER POLICY tenant ON %s USING (%s)', tenant_table, bound);
        IF tenant_table = 'public.organizations'::regclass THEN
            EXECUTE format('ALTER POLICY tenant_update ON %s USING (%s)', tenant_table, bound);
        END IF;
        EXECUTE format('DROP POLICY IF EXISTS all_tenants_indexes ON %s', tenant_table);
        EXECUTE format('DROP POLICY IF EXISTS "0_tenant" ON %s', tenant_table);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('DROP TRIGGER IF EXISTS zz_refuse_others_keys ON %s', tenant_table);
        EXECUTE format('DROP TRIGGER IF EXISTS zz_refuse_others_keys_of_partition ON %s', tenant_table);
    END LOOP;
END
$$;
-- +goose StatementEnd
DROP FUNCTION brownie.write_policies(regclass, name);
DROP FUNCTION brownie.guard_keys(regclass, name);
-- +goose StatementBegin
DO $$
DECLARE
    guard regprocedure;
BEGIN
    FOR guard IN SELECT oid FROM pg_proc WHERE pronamespace = 'brownie'::regnamespace AND proname LIKE 'refuse\_others\_keys\_of\_%' LOOP
        EXECUTE format('DROP FUNCTION %s', guard);
    END LOOP;
END
$$;
-- +goose StatementEnd
DROP FUNCTION brownie.planned_organization();
DROP FUNCTION brownie.policy_first();
DROP SCHEMA brownie_service CASCADE;
