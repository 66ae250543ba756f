-- Which tenant a role acts for. A policy finds the role by session_user, which no client can change, unlike a setting.

-- brownie:locks NONE

-- +goose Up
CREATE TABLE brownie.role_bindings (
    role_name name PRIMARY KEY,
    organization_id uuid REFERENCES public.organizations (id) ON DELETE CASCADE,
    access text NOT NULL,
    valid_until timestamptz,
    change_id uuid,
    CONSTRAINT role_bindings_access CHECK
        (access IN ('reader', 'writer', 'admin', 'migrator', 'monitor', 'backup', 'pooler')),
    CONSTRAINT role_bindings_tenant_access CHECK
        (organization_id IS NULL OR access IN ('reader', 'writer', 'admin'))
);
CREATE INDEX role_bindings_organization_id_idx ON brownie.role_bindings (organization_id);
COMMENT ON TABLE brownie.role_bindings IS 'Which tenant a role acts for; a role without a row acts for none.';
COMMENT ON COLUMN brownie.role_bindings.organization_id IS 'NULL: for all tenants, as far as its access goes.';
COMMENT ON COLUMN brownie.role_bindings.change_id IS
    'Chosen by whoever changed the role last, to find out after a broken connection whether that was committed.';

-- The one view that reads with its owner's rights: it shows nobody more than one's own row.
CREATE VIEW brownie.current_binding WITH (security_barrier = true) AS
    SELECT organization_id, access,
        organization_id IS NULL AND access IN ('reader', 'writer', 'admin', 'backup') AS all_tenants,
        organization_id IS NULL AND access IN ('writer', 'admin') AS writes_all_tenants
    FROM brownie.role_bindings
    WHERE role_name = session_user AND (valid_until IS NULL OR valid_until > now());
COMMENT ON VIEW brownie.current_binding IS 'The tenant of the session; no row means none.';

-- The pooler asks this (auth_query) before it lets a client in, and gets no password, because the client's certificate
-- is all that counts. Without a row PgBouncer refuses the client.
-- +goose StatementBegin
CREATE FUNCTION brownie.pooler_lookup(login text, OUT username name, OUT password text) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.rolname, ''::text
    FROM pg_catalog.pg_roles r
    WHERE r.rolname = login AND r.rolcanlogin AND NOT r.rolsuper
        AND pg_catalog.pg_has_role(r.oid, 'brownie_pooled', 'MEMBER')
        AND NOT EXISTS (
            SELECT FROM brownie.role_bindings b WHERE b.role_name = r.rolname AND b.valid_until <= pg_catalog.now())
$$;
-- +goose StatementEnd

-- Who could use the tenants' tables until now goes on seeing all of them.
-- +goose StatementBegin
DO $$
DECLARE
    client record;
BEGIN
    FOR client IN
        SELECT r.rolname,
            bool_or(has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE')) AS writes,
            bool_or(has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE')
                OR has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE')) AS uses,
            pg_has_role(r.oid, 'pg_monitor', 'MEMBER') OR EXISTS (
                SELECT FROM pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid
                    AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())) AS known
        FROM pg_roles r, pg_class c
        WHERE r.rolcanlogin AND NOT r.rolsuper AND NOT r.rolbypassrls AND r.rolname <> current_user
            AND c.relnamespace = 'public'::regnamespace AND c.relname IN
                ('organizations', 'teams', 'users', 'agent_configs', 'configs', 'incidents', 'stats')
        GROUP BY r.oid, r.rolname
    LOOP
        IF client.uses THEN
            INSERT INTO brownie.role_bindings (role_name, access)
            VALUES (client.rolname, CASE WHEN client.writes THEN 'writer' ELSE 'reader' END);
            BEGIN
                EXECUTE format('GRANT brownie_all_tenants TO %I WITH INHERIT TRUE, SET FALSE', client.rolname);
            EXCEPTION WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'role % uses the tenants'' tables, and % may not make it a service role', client.rolname, current_user
                    USING ERRCODE = 'insufficient_privilege', HINT = format(
                        'As an administrator: GRANT brownie_all_tenants TO %I WITH ADMIN OPTION', current_user);
            END;
        END IF;
        IF (client.uses OR client.known) AND has_database_privilege(client.rolname, current_database(), 'CONNECT') THEN
            EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I', current_database(), client.rolname);
        END IF;
    END LOOP;

    -- A role of another database of the cluster has nothing to do here.
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I', current_database(), current_user);
    EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END
$$;
-- +goose StatementEnd

-- Who may act for which tenant is forgotten; the roles stay.
-- +goose Down
-- brownie:locks NONE
DROP FUNCTION brownie.pooler_lookup(text);
DROP VIEW brownie.current_binding;
DROP TABLE brownie.role_bindings;
-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO PUBLIC', current_database());
END
$$;
-- +goose StatementEnd
