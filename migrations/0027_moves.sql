-- An organization that moves to another cell is read-only here, or there, whoever writes: a trigger looks up each row's organization among the
-- moves. Roles keep their access meanwhile, so that nothing that manages them gives writing back. Nothing of a tenant is in the record.

-- brownie:locks SHARE ROW EXCLUSIVE public.organizations, public.teams, public.users, public.agent_configs, public.configs
-- brownie:locks SHARE ROW EXCLUSIVE public.incidents, public.stats
-- brownie:locks SHARE ROW EXCLUSIVE brownie.organization_options

-- +goose Up
CREATE TABLE brownie.moves (
    organization uuid PRIMARY KEY,
    id uuid NOT NULL,
    slug text NOT NULL,
    step text NOT NULL CONSTRAINT moves_step CHECK (step IN ('begun', 'closed', 'left', 'dropping', 'dropped',
        'awaited', 'copying', 'copied', 'arrived', 'aborting', 'aborted')),
    closed boolean NOT NULL GENERATED ALWAYS AS (step IN ('closed', 'left', 'dropped', 'awaited', 'copied', 'aborting')) STORED,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at timestamptz,
    switched_at timestamptz,
    keep_until timestamptz
);
COMMENT ON TABLE brownie.moves IS 'The last move of an organization between this cell and another one. It has one row in each of them, with one ID.';
COMMENT ON COLUMN brownie.moves.step IS
    'Where it leaves: begun, closed, left, dropped. Where it comes: awaited, copied, arrived. Copying and dropping are never committed.';
COMMENT ON COLUMN brownie.moves.closed IS 'Nobody writes the rows of the organization.';

-- All names are qualified, since a SET search_path would cost each row that is written more than the rest. It is STABLE: a transaction that is older
-- than the move sees none, and the move waits for its end.
-- +goose StatementBegin
CREATE FUNCTION brownie.refuse_while_moving() RETURNS trigger
    LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
BEGIN
    IF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
        PERFORM FROM brownie.moves m WHERE m.organization OPERATOR(pg_catalog.=) OLD.organization_id AND m.closed;
        IF FOUND THEN
            PERFORM brownie.refuse_move(OLD.organization_id);
        END IF;
        RETURN OLD;
    END IF;
    PERFORM FROM brownie.moves m WHERE m.organization OPERATOR(pg_catalog.=) NEW.organization_id AND m.closed;
    IF FOUND THEN
        PERFORM brownie.refuse_move(NEW.organization_id);
    END IF;
    IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' AND (OLD.organization_id OPERATOR(pg_catalog.=) NEW.organization_id) IS NOT TRUE THEN
        PERFORM brownie.refuse_move(OLD.organization_id);
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION brownie.refuse_organization_while_moving() RETURNS trigger
    LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
BEGIN
    PERFORM brownie.refuse_move(OLD.id), brownie.refuse_move(NEW.id);
    IF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd

-- A role of another tenant is not told: its policy refuses the row.
-- +goose StatementBegin
CREATE FUNCTION brownie.refuse_move(moving uuid) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    move brownie.moves;
BEGIN
    SELECT * INTO move FROM brownie.moves m WHERE m.organization = moving AND m.closed AND NOT EXISTS (
        SELECT FROM brownie.role_bindings b WHERE b.role_name = session_user AND b.organization_id <> moving);
    IF FOUND THEN
        RAISE EXCEPTION 'organization % is read-only here: %', moving, CASE WHEN move.step IN ('left', 'dropped')
                THEN 'it has moved to another cell' ELSE 'it is moving to another cell' END
            USING ERRCODE = 'read_only_sql_transaction', HINT = CASE WHEN move.step IN ('left', 'dropped')
                THEN 'Write there.' ELSE 'Try again in a moment, here and there.' END;
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION brownie.guard_moves(tenant_table regclass, tenant_column name DEFAULT 'organization_id') RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    relation pg_class := (SELECT c FROM pg_class c WHERE oid = tenant_table);
    -- A partition has its parent's trigger, too.
    guard name := 'zz_refuse_while_moving' || CASE WHEN relation.relispartition THEN '_of_partition' ELSE '' END;
    is_organizations boolean := tenant_table = 'public.organizations'::regclass;
BEGIN
    -- Bindings are made anew where an organization arrives, and not copied. What has no such column does not move.
    IF relation.relkind NOT IN ('r', 'p') OR tenant_table = 'brownie.role_bindings'::regclass
        OR (tenant_column <> 'organization_id' AND NOT is_organizations)
    THEN
        RETURN;
    END IF;
    EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', guard, tenant_table);
    EXECUTE format('CREATE TRIGGER %I BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION brownie.%I()', guard, tenant_table,
        CASE WHEN is_organizations THEN 'refuse_organization_while_moving' ELSE 'refuse_while_moving' END);
END
$$;
-- +goose StatementEnd

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
    PERFORM brownie.write_policies(tenant_table, tenant_column), brownie.guard_keys(tenant_table, tenant_column),
        brownie.guard_moves(tenant_table, tenant_column);
END
$$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION brownie.refuse_while_moving(), brownie.refuse_organization_while_moving(), brownie.refuse_move(uuid),
    brownie.guard_moves(regclass, name) FROM PUBLIC;

-- Whoever backs up reads it; who moves organizations is an owner.
GRANT SELECT ON brownie.moves TO brownie_backup;
ALTER TABLE brownie.moves ENABLE ROW LEVEL SECURITY;
CREATE POLICY backup ON brownie.moves FOR SELECT TO brownie_backup USING ((SELECT brownie.backs_up()));

-- Whoever owns the schema owns what belongs to it. Tables that others isolated get the guard, too.
-- +goose StatementBegin
DO $$
DECLARE
    owner name := (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'brownie');
    tenant_table regclass;
BEGIN
    EXECUTE format('ALTER TABLE brownie.moves OWNER TO %I', owner);
    EXECUTE format('ALTER FUNCTION brownie.refuse_while_moving() OWNER TO %I', owner);
    EXECUTE format('ALTER FUNCTION brownie.refuse_organization_while_moving() OWNER TO %I', owner);
    EXECUTE format('ALTER FUNCTION brownie.refuse_move(uuid) OWNER TO %I', owner);
    EXECUTE format('ALTER FUNCTION brownie.guard_moves(regclass, name) OWNER TO %I', owner);
    FOR tenant_table IN SELECT polrelid FROM pg_policy WHERE polname = '0_tenant' AND EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_policy'::regclass AND d.objid = pg_policy.oid
                AND d.refobjid = 'brownie.current_binding'::regclass)
        ORDER BY polrelid
    LOOP
        BEGIN
            PERFORM brownie.guard_moves(tenant_table, CASE WHEN tenant_table = 'public.organizations'::regclass THEN 'id' ELSE 'organization_id' END)
            WHERE tenant_table = 'public.organizations'::regclass
                OR EXISTS (SELECT FROM pg_attribute WHERE attrelid = tenant_table AND attname = 'organization_id' AND NOT attisdropped);
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE EXCEPTION 'table % cannot be guarded: %', tenant_table, SQLERRM
                USING ERRCODE = 'insufficient_privilege',
                    HINT = format('As the table''s owner or a superuser: ALTER TABLE %s OWNER TO %I', tenant_table, owner);
        END;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- What is still read-only here can be written again: finish or abort all moves before.
-- +goose Down
-- brownie:locks ACCESS EXCLUSIVE public.organizations, public.teams, public.users, public.agent_configs, public.configs
-- brownie:locks ACCESS EXCLUSIVE public.incidents, public.stats
-- brownie:locks ACCESS EXCLUSIVE brownie.organization_options, brownie.moves
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
-- +goose StatementBegin
DO $$
DECLARE
    guard record;
BEGIN
    FOR guard IN SELECT tgname, tgrelid::regclass AS guarded FROM pg_trigger WHERE tgparentid = 0 AND tgfoid IN
        ('brownie.refuse_while_moving()'::regprocedure, 'brownie.refuse_organization_while_moving()'::regprocedure)
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', guard.tgname, guard.guarded);
    END LOOP;
END
$$;
-- +goose StatementEnd
DROP FUNCTION brownie.guard_moves(regclass, name);
DROP FUNCTION brownie.refuse_while_moving();
DROP FUNCTION brownie.refuse_organization_while_moving();
DROP FUNCTION brownie.refuse_move(uuid);
DROP TABLE brownie.moves;
