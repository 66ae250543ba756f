-- Checks the existing rows. VALIDATE lets other sessions read and write the tables meanwhile (PostgreSQL manual,
-- "ALTER TABLE", notes), which adding valid foreign keys in one step would not.

-- +goose Up
ALTER TABLE public.users VALIDATE CONSTRAINT users_team_in_organization_fkey;
ALTER TABLE public.agent_configs VALIDATE CONSTRAINT agent_configs_team_in_organization_fkey;
ALTER TABLE public.configs VALIDATE CONSTRAINT configs_team_in_organization_fkey;

-- A constraint cannot be made not valid, but it can be made anew.
-- +goose Down
ALTER TABLE public.users
    DROP CONSTRAINT users_team_in_organization_fkey,
    ADD CONSTRAINT users_team_in_organization_fkey FOREIGN KEY (team_id, organization_id)
        REFERENCES public.teams (id, organization_id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.agent_configs
    DROP CONSTRAINT agent_configs_team_in_organization_fkey,
    ADD CONSTRAINT agent_configs_team_in_organization_fkey FOREIGN KEY (team_id, organization_id)
        REFERENCES public.teams (id, organization_id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.configs
    DROP CONSTRAINT configs_team_in_organization_fkey,
    ADD CONSTRAINT configs_team_in_organization_fkey FOREIGN KEY (team_id, organization_id)
        REFERENCES public.teams (id, organization_id) ON DELETE CASCADE NOT VALID;
