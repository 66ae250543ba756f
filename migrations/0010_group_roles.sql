-- The group roles of the access levels. Roles belong to the whole cluster, so that another brownie database of it may
-- have made them already. What a member may do in one database follows from the privileges there, from CONNECT, and from
-- its row in role_bindings there: membership alone opens no other database.

-- brownie:locks NONE

-- +goose Up
-- +goose StatementBegin
DO $$
DECLARE
    group_role record;
BEGIN
    FOR group_role IN
        SELECT * FROM (VALUES
            ('brownie_reader', 'May read the rows of its tenant, or of all.'),
            ('brownie_writer', 'May read and write the rows of its tenant, or of all.'),
            ('brownie_admin', 'May also change what a tenant may change of its organization.'),
            ('brownie_all_tenants', 'Service roles: what the other group roles allow, for all tenants.'),
            ('brownie_migrator', 'Owns the schema.'),
            ('brownie_monitor', 'May read statistics and the schema''s version, and no tenant''s rows.'),
            ('brownie_backup', 'May read everything.'),
            ('brownie_pooler', 'May look up who may log in through the pooler.'),
            ('brownie_pooled', 'May log in through the pooler.')
        ) AS wanted (name, meaning)
    LOOP
        IF to_regrole(group_role.name) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', group_role.name);
                EXECUTE format('COMMENT ON ROLE %I IS %L', group_role.name, group_role.meaning);
            EXCEPTION
                -- Another database of the cluster is being migrated at the same moment.
                WHEN duplicate_object OR unique_violation THEN NULL;
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'role % is missing and % may not create it', group_role.name, current_user
                        USING ERRCODE = 'insufficient_privilege',
                            HINT = format('As an administrator: ALTER ROLE %I CREATEROLE', current_user);
            END;
        ELSIF EXISTS (SELECT FROM pg_roles WHERE rolname = group_role.name
                AND (rolcanlogin OR rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication)) THEN
            RAISE EXCEPTION 'role % exists and is no plain group role', group_role.name
                USING ERRCODE = 'invalid_role_specification', HINT = format(
                    'As a superuser: ALTER ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOREPLICATION', group_role.name);
        END IF;
    END LOOP;

    -- Who may hand out memberships may also own the schema together with later migrators.
    IF NOT pg_has_role('brownie_migrator', 'USAGE') OR NOT pg_has_role('brownie_migrator', 'SET') THEN
        BEGIN
            EXECUTE format('GRANT brownie_migrator TO %I WITH INHERIT TRUE, SET TRUE', current_user);
        EXCEPTION WHEN insufficient_privilege OR unique_violation THEN NULL;
        END;
    END IF;
    -- Predefined roles can only be handed out by who was given them with that option.
    IF NOT pg_has_role('brownie_monitor', 'pg_monitor', 'USAGE') THEN
        BEGIN
            GRANT pg_monitor TO brownie_monitor;
        EXCEPTION
            WHEN unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role brownie_monitor does not get pg_monitor: % may not grant it', current_user;
        END;
    END IF;
END
$$;
-- +goose StatementEnd

-- Roles belong to the whole cluster: other databases may use them, and roles that people log in with are members.
-- +goose Down
SELECT 'The group roles stay.';
