-- The keys of teams and users that references need begin with the organization, too. References are made anew for that,
-- and hold for new rows from here on; the next migration checks those that exist, under a weaker lock. References that
-- others made to these keys are made anew and checked at once. What people sign in by can be guessed before its row is
-- there, and then ON CONFLICT DO UPDATE shows another tenant's row to the one who guessed; a deferrable key is one that ON
-- CONFLICT cannot name, and is otherwise as it was.

-- brownie:locks SHARE ROW EXCLUSIVE public.teams, public.users

-- +goose Up
ALTER TABLE public.users DROP CONSTRAINT users_team_in_organization_fkey;
ALTER TABLE public.agent_configs DROP CONSTRAINT agent_configs_team_in_organization_fkey;
ALTER TABLE public.configs DROP CONSTRAINT configs_team_in_organization_fkey;
ALTER TABLE public.stats DROP CONSTRAINT stats_team_in_organization_fkey;
ALTER TABLE public.incidents
    DROP CONSTRAINT incidents_team_in_organization_fkey,
    DROP CONSTRAINT incidents_assigned_to_in_organization_fkey,
    DROP CONSTRAINT incidents_created_by_in_organization_fkey;
-- +goose StatementBegin
DO $$
DECLARE
    others record;
    added text := '';
BEGIN
    FOR others IN
        SELECT conrelid::regclass AS referencing, conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint
        WHERE contype = 'f' AND conparentid = 0 AND conindid IN ('public.teams_id_organization_id_key'::regclass,
            'public.users_id_organization_id_key'::regclass)
    LOOP
        added := added || format('ALTER TABLE %s ADD CONSTRAINT %I %s;', others.referencing, others.conname, others.definition);
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', others.referencing, others.conname);
    END LOOP;
    PERFORM set_config('brownie.references', added, true);
END
$$;
-- +goose StatementEnd
ALTER TABLE public.teams
    DROP CONSTRAINT teams_id_organization_id_key,
    ADD CONSTRAINT teams_organization_id_id_key UNIQUE USING INDEX teams_organization_id_id_key;
ALTER TABLE public.users
    DROP CONSTRAINT users_id_organization_id_key,
    ADD CONSTRAINT users_organization_id_id_key UNIQUE USING INDEX users_organization_id_id_key;
ALTER TABLE public.users
    DROP CONSTRAINT users_email_key,
    ADD CONSTRAINT users_email_key UNIQUE USING INDEX users_email_deferrable DEFERRABLE;
ALTER TABLE public.users
    DROP CONSTRAINT users_username_key,
    ADD CONSTRAINT users_username_key UNIQUE USING INDEX users_username_deferrable DEFERRABLE;
ALTER TABLE public.users
    DROP CONSTRAINT users_oidc_subject_key,
    ADD CONSTRAINT users_oidc_subject_key UNIQUE USING INDEX users_oidc_subject_deferrable DEFERRABLE;
ALTER TABLE public.users
    ADD CONSTRAINT users_team_in_organization_fkey FOREIGN KEY (organization_id, team_id)
        REFERENCES public.teams (organization_id, id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.agent_configs
    ADD CONSTRAINT agent_configs_team_in_organization_fkey FOREIGN KEY (organization_id, team_id)
        REFERENCES public.teams (organization_id, id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.configs
    ADD CONSTRAINT configs_team_in_organization_fkey FOREIGN KEY (organization_id, team_id)
        REFERENCES public.teams (organization_id, id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.stats
    ADD CONSTRAINT stats_team_in_organization_fkey FOREIGN KEY (organization_id, team_id)
        REFERENCES public.teams (organization_id, id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.incidents
    ADD CONSTRAINT incidents_team_in_organization_fkey FOREIGN KEY (organization_id, team_id)
        REFERENCES public.teams (organization_id, id) ON DELETE CASCADE NOT VALID,
    ADD CONSTRAINT incidents_assigned_to_in_organization_fkey FOREIGN KEY (organization_id, assigned_to)
        REFERENCES public.users (organization_id, id) ON DELETE SET NULL (assigned_to) NOT VALID,
    ADD CONSTRAINT incidents_created_by_in_organization_fkey FOREIGN KEY (organization_id, created_by)
        REFERENCES public.users (organization_id, id) ON DELETE SET NULL (created_by) NOT VALID;
-- +goose StatementBegin
DO $$
BEGIN
    IF current_setting('brownie.references') <> '' THEN
        EXECUTE current_setting('brownie.references');
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- brownie:locks SHARE ROW EXCLUSIVE public.teams, public.users
ALTER TABLE public.users DROP CONSTRAINT users_team_in_organization_fkey;
ALTER TABLE public.agent_configs DROP CONSTRAINT agent_configs_team_in_organization_fkey;
ALTER TABLE public.configs DROP CONSTRAINT configs_team_in_organization_fkey;
ALTER TABLE public.stats DROP CONSTRAINT stats_team_in_organization_fkey;
ALTER TABLE public.incidents
    DROP CONSTRAINT incidents_team_in_organization_fkey,
    DROP CONSTRAINT incidents_assigned_to_in_organization_fkey,
    DROP CONSTRAINT incidents_created_by_in_organization_fkey;
-- +goose StatementBegin
DO $$
DECLARE
    others record;
    added text := '';
BEGIN
    FOR others IN
        SELECT conrelid::regclass AS referencing, conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint
        WHERE contype = 'f' AND conparentid = 0 AND conindid IN ('public.teams_organization_id_id_key'::regclass,
            'public.users_organization_id_id_key'::regclass)
    LOOP
        added := added || format('ALTER TABLE %s ADD CONSTRAINT %I %s;', others.referencing, others.conname, others.definition);
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', others.referencing, others.conname);
    END LOOP;
    PERFORM set_config('brownie.references', added, true);
END
$$;
-- +goose StatementEnd
ALTER TABLE public.teams
    DROP CONSTRAINT teams_organization_id_id_key,
    ADD CONSTRAINT teams_id_organization_id_key UNIQUE (id, organization_id);
ALTER TABLE public.users
    DROP CONSTRAINT users_organization_id_id_key,
    ADD CONSTRAINT users_id_organization_id_key UNIQUE (id, organization_id);
ALTER TABLE public.users
    DROP CONSTRAINT users_email_key,
    ADD CONSTRAINT users_email_key UNIQUE (email);
CREATE UNIQUE INDEX users_email_deferrable ON public.users (email);
ALTER TABLE public.users
    DROP CONSTRAINT users_username_key,
    ADD CONSTRAINT users_username_key UNIQUE (username);
CREATE UNIQUE INDEX users_username_deferrable ON public.users (username);
ALTER TABLE public.users
    DROP CONSTRAINT users_oidc_subject_key,
    ADD CONSTRAINT users_oidc_subject_key UNIQUE (oidc_subject);
CREATE UNIQUE INDEX users_oidc_subject_deferrable ON public.users (oidc_subject);
ALTER TABLE public.users
    ADD CONSTRAINT users_team_in_organization_fkey FOREIGN KEY (team_id, organization_id)
        REFERENCES public.teams (id, organization_id) ON DELETE CASCADE;
ALTER TABLE public.agent_configs
    ADD CONSTRAINT agent_configs_team_in_organization_fkey FOREIGN KEY (team_id, organization_id)
        REFERENCES public.teams (id, organization_id) ON DELETE CASCADE;
ALTER TABLE public.configs
    ADD CONSTRAINT configs_team_in_organization_fkey FOREIGN KEY (team_id, organization_id)
        REFERENCES public.teams (id, organization_id) ON DELETE CASCADE;
ALTER TABLE public.stats
    ADD CONSTRAINT stats_team_in_organization_fkey FOREIGN KEY (team_id, organization_id)
        REFERENCES public.teams (id, organization_id) ON DELETE CASCADE;
ALTER TABLE public.incidents
    ADD CONSTRAINT incidents_team_in_organization_fkey FOREIGN KEY (team_id, organization_id)
        REFERENCES public.teams (id, organization_id) ON DELETE CASCADE,
    ADD CONSTRAINT incidents_assigned_to_in_organization_fkey FOREIGN KEY (assigned_to, organization_id)
        REFERENCES public.users (id, organization_id) ON DELETE SET NULL (assigned_to),
    ADD CONSTRAINT incidents_created_by_in_organization_fkey FOREIGN KEY (created_by, organization_id)
        REFERENCES public.users (id, organization_id) ON DELETE SET NULL (created_by);
-- +goose StatementBegin
DO $$
BEGIN
    IF current_setting('brownie.references') <> '' THEN
        EXECUTE current_setting('brownie.references');
    END IF;
END
$$;
-- +goose StatementEnd
CREATE UNIQUE INDEX teams_organization_id_id_key ON public.teams (organization_id, id);
CREATE UNIQUE INDEX users_organization_id_id_key ON public.users (organization_id, id);
