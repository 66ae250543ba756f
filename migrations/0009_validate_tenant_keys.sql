-- Checks the existing rows, while other sessions read and write. A row that fails belongs to two organizations; whoever
-- knows which one is right must say so before this can go on.

-- +goose Up
ALTER TABLE public.incidents VALIDATE CONSTRAINT incidents_team_in_organization_fkey;
ALTER TABLE public.incidents VALIDATE CONSTRAINT incidents_assigned_to_in_organization_fkey;
ALTER TABLE public.incidents VALIDATE CONSTRAINT incidents_created_by_in_organization_fkey;
ALTER TABLE public.stats VALIDATE CONSTRAINT stats_team_in_organization_fkey;
ALTER TABLE public.teams VALIDATE CONSTRAINT teams_one_organization;
ALTER TABLE public.users VALIDATE CONSTRAINT users_one_organization;
ALTER TABLE public.agent_configs VALIDATE CONSTRAINT agent_configs_one_organization;
ALTER TABLE public.configs VALIDATE CONSTRAINT configs_one_organization;
ALTER TABLE public.incidents VALIDATE CONSTRAINT incidents_one_organization;
ALTER TABLE public.stats VALIDATE CONSTRAINT stats_one_organization;

-- A constraint cannot be made not valid, but it can be made anew.
-- +goose Down
ALTER TABLE public.incidents
    DROP CONSTRAINT incidents_team_in_organization_fkey,
    ADD CONSTRAINT incidents_team_in_organization_fkey FOREIGN KEY (team_id, organization_id)
        REFERENCES public.teams (id, organization_id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.incidents
    DROP CONSTRAINT incidents_assigned_to_in_organization_fkey,
    ADD CONSTRAINT incidents_assigned_to_in_organization_fkey FOREIGN KEY (assigned_to, organization_id)
        REFERENCES public.users (id, organization_id) ON DELETE SET NULL (assigned_to) NOT VALID;
ALTER TABLE public.incidents
    DROP CONSTRAINT incidents_created_by_in_organization_fkey,
    ADD CONSTRAINT incidents_created_by_in_organization_fkey FOREIGN KEY (created_by, organization_id)
        REFERENCES public.users (id, organization_id) ON DELETE SET NULL (created_by) NOT VALID;
ALTER TABLE public.stats
    DROP CONSTRAINT stats_team_in_organization_fkey,
    ADD CONSTRAINT stats_team_in_organization_fkey FOREIGN KEY (team_id, organization_id)
        REFERENCES public.teams (id, organization_id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.teams
    DROP CONSTRAINT teams_one_organization,
    ADD CONSTRAINT teams_one_organization CHECK (org_id = organization_id) NOT VALID;
ALTER TABLE public.users
    DROP CONSTRAINT users_one_organization,
    ADD CONSTRAINT users_one_organization CHECK (org_id = organization_id) NOT VALID;
ALTER TABLE public.agent_configs
    DROP CONSTRAINT agent_configs_one_organization,
    ADD CONSTRAINT agent_configs_one_organization CHECK (org_id = organization_id) NOT VALID;
ALTER TABLE public.configs
    DROP CONSTRAINT configs_one_organization,
    ADD CONSTRAINT configs_one_organization CHECK (org_id = organization_id) NOT VALID;
ALTER TABLE public.incidents
    DROP CONSTRAINT incidents_one_organization,
    ADD CONSTRAINT incidents_one_organization CHECK (org_id = organization_id) NOT VALID;
ALTER TABLE public.stats
    DROP CONSTRAINT stats_one_organization,
    ADD CONSTRAINT stats_one_organization CHECK (org_id = organization_id) NOT VALID;
