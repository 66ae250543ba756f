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
