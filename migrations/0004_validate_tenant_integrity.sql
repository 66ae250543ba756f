-- Checks the existing rows. VALIDATE lets other sessions read and write the tables meanwhile (PostgreSQL manual,
-- "ALTER TABLE", notes), which adding valid foreign keys in one step would not.

-- +goose Up
ALTER TABLE public.users VALIDATE CONSTRAINT users_team_in_organization_fkey;
ALTER TABLE public.agent_configs VALIDATE CONSTRAINT agent_configs_team_in_organization_fkey;
ALTER TABLE public.configs VALIDATE CONSTRAINT configs_team_in_organization_fkey;
