-- Checks the existing rows, while other sessions read and write.

-- +goose Up
ALTER TABLE public.users VALIDATE CONSTRAINT users_team_in_organization_fkey;
ALTER TABLE public.agent_configs VALIDATE CONSTRAINT agent_configs_team_in_organization_fkey;
ALTER TABLE public.configs VALIDATE CONSTRAINT configs_team_in_organization_fkey;
ALTER TABLE public.stats VALIDATE CONSTRAINT stats_team_in_organization_fkey;
ALTER TABLE public.incidents VALIDATE CONSTRAINT incidents_team_in_organization_fkey;
ALTER TABLE public.incidents VALIDATE CONSTRAINT incidents_assigned_to_in_organization_fkey;
ALTER TABLE public.incidents VALIDATE CONSTRAINT incidents_created_by_in_organization_fkey;

-- A constraint cannot be made not valid, but it can be made anew.
-- +goose Down
ALTER TABLE public.users
    DROP CONSTRAINT users_team_in_organization_fkey,
    ADD CONSTRAINT users_team_in_organization_fkey FOREIGN KEY (organization_id, team_id)
        REFERENCES public.teams (organization_id, id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.agent_configs
    DROP CONSTRAINT agent_configs_team_in_organization_fkey,
    ADD CONSTRAINT agent_configs_team_in_organization_fkey FOREIGN KEY (organization_id, team_id)
        REFERENCES public.teams (organization_id, id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.configs
    DROP CONSTRAINT configs_team_in_organization_fkey,
    ADD CONSTRAINT configs_team_in_organization_fkey FOREIGN KEY (organization_id, team_id)
        REFERENCES public.teams (organization_id, id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.stats
    DROP CONSTRAINT stats_team_in_organization_fkey,
    ADD CONSTRAINT stats_team_in_organization_fkey FOREIGN KEY (organization_id, team_id)
        REFERENCES public.teams (organization_id, id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.incidents
    DROP CONSTRAINT incidents_team_in_organization_fkey,
    ADD CONSTRAINT incidents_team_in_organization_fkey FOREIGN KEY (organization_id, team_id)
        REFERENCES public.teams (organization_id, id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.incidents
    DROP CONSTRAINT incidents_assigned_to_in_organization_fkey,
    ADD CONSTRAINT incidents_assigned_to_in_organization_fkey FOREIGN KEY (organization_id, assigned_to)
        REFERENCES public.users (organization_id, id) ON DELETE SET NULL (assigned_to) NOT VALID;
ALTER TABLE public.incidents
    DROP CONSTRAINT incidents_created_by_in_organization_fkey,
    ADD CONSTRAINT incidents_created_by_in_organization_fkey FOREIGN KEY (organization_id, created_by)
        REFERENCES public.users (organization_id, id) ON DELETE SET NULL (created_by) NOT VALID;
