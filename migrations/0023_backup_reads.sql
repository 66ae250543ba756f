-- Roles for backups read by a policy of their own. Since August 2024 pg_dump lets the server refuse every view that is not PostgreSQL's
-- own (CVE-2024-7348, setting restrict_nonsystem_relation_kind), also the one by which other policies find the session's tenant; so
-- no role but a superuser, or one with BYPASSRLS, could dump what it may read. A role that is in brownie_all_tenants, too, is
-- still under the policies of that: brownie_role takes it out.

-- brownie:locks ACCESS EXCLUSIVE public.organizations, public.teams, public.users, public.agent_configs, public.configs
-- brownie:locks ACCESS EXCLUSIVE public.incidents, public.stats
-- brownie:locks ACCESS EXCLUSIVE brownie.organization_options, brownie.role_bindings
-- brownie:locks ACCESS EXCLUSIVE brownie.backup_schedules, brownie.backups, brownie.backup_verifications

-- +goose Up
-- It reads the bindings as their owner, as the view does. Once per statement: the policy asks it in a subquery of its own.
-- +goose StatementBegin
CREATE FUNCTION brownie.backs_up() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM brownie.role_bindings WHERE role_name = session_user AND organization_id IS NULL AND access = 'backup'
        AND (valid_until IS NULL OR valid_until > pg_catalog.clock_timestamp()))
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION brownie.backs_up() IS 'Whether the session is that of a role with access backup that has not expired.';
REVOKE ALL ON FUNCTION brownie.backs_up() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION brownie.backs_up() TO brownie_backup;

ALTER FUNCTION brownie.write_policies(regclass, name) RENAME TO write_tenant_policies;
-- Writes the policies of a table, and leaves others that it has. brownie.isolate_table calls it.
-- +goose StatementBegin
CREATE FUNCTION brownie.write_policies(tenant_table regclass, tenant_column name DEFAULT 'organization_id') RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM brownie.write_tenant_policies(tenant_table, tenant_column);
    IF EXISTS (SELECT FROM pg_policy WHERE polrelid = tenant_table AND polname = 'backup') THEN
        EXECUTE format('DROP POLICY backup ON %s', tenant_table);
    END IF;
    EXECUTE format('CREATE POLICY backup ON %s FOR SELECT TO brownie_backup USING ((SELECT brownie.backs_up()))', tenant_table);
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION brownie.write_policies(regclass, name) FROM PUBLIC;

-- A role whose access has ended no longer writes records either.
ALTER TABLE brownie.backup_schedules ENABLE ROW LEVEL SECURITY;
ALTER TABLE brownie.backups ENABLE ROW LEVEL SECURITY;
ALTER TABLE brownie.backup_verifications ENABLE ROW LEVEL SECURITY;
CREATE POLICY backup ON brownie.backup_schedules FOR SELECT TO brownie_backup USING ((SELECT brownie.backs_up()));
CREATE POLICY backup ON brownie.backups TO brownie_backup USING ((SELECT brownie.backs_up()));
CREATE POLICY backup ON brownie.backup_verifications TO brownie_backup USING ((SELECT brownie.backs_up()));

-- Tables that others isolated get the policy, too.
-- +goose StatementBegin
DO $$
DECLARE
    owner name := (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'brownie');
    tenant_table regclass;
BEGIN
    EXECUTE format('ALTER FUNCTION brownie.write_policies(regclass, name) OWNER TO %I', owner);
    EXECUTE format('ALTER FUNCTION brownie.backs_up() OWNER TO %I',
        (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'brownie.role_bindings'::regclass));
    FOR tenant_table IN SELECT polrelid FROM pg_policy WHERE polname = '0_tenant' AND EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_policy'::regclass AND d.objid = pg_policy.oid
                AND d.refobjid = 'brownie.current_binding'::regclass)
        ORDER BY polrelid
    LOOP
        BEGIN
            IF EXISTS (SELECT FROM pg_policy WHERE polrelid = tenant_table AND polname = 'backup') THEN
                EXECUTE format('DROP POLICY backup ON %s', tenant_table);
            END IF;
            EXECUTE format('CREATE POLICY backup ON %s FOR SELECT TO brownie_backup USING ((SELECT brownie.backs_up()))', tenant_table);
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE EXCEPTION 'the policies of table % cannot be changed: %', tenant_table, SQLERRM
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
-- brownie:locks ACCESS EXCLUSIVE brownie.backup_schedules, brownie.backups, brownie.backup_verifications
ALTER TABLE brownie.backup_schedules DISABLE ROW LEVEL SECURITY;
ALTER TABLE brownie.backups DISABLE ROW LEVEL SECURITY;
ALTER TABLE brownie.backup_verifications DISABLE ROW LEVEL SECURITY;
-- +goose StatementBegin
DO $$
DECLARE
    tenant_table regclass;
BEGIN
    FOR tenant_table IN SELECT polrelid FROM pg_policy WHERE polname = 'backup' AND EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_policy'::regclass AND d.objid = pg_policy.oid
                AND d.refobjid = 'brownie.backs_up()'::regprocedure)
    LOOP
        EXECUTE format('DROP POLICY backup ON %s', tenant_table);
    END LOOP;
END
$$;
-- +goose StatementEnd
DROP FUNCTION brownie.write_policies(regclass, name);
ALTER FUNCTION brownie.write_tenant_policies(regclass, name) RENAME TO write_policies;
DROP FUNCTION brownie.backs_up();
