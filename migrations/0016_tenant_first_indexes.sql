-- An index that does not begin with the tenant tells a tenant whether a value exists among the rows that a policy hides:
-- EXPLAIN ANALYZE counts a row that was found by it and then removed. So tenants get indexes that begin with their
-- organization, and what service roles search by is kept fast by partial indexes that only their plans can use.

-- +goose NO TRANSACTION
-- +goose Up
DROP INDEX CONCURRENTLY IF EXISTS public.teams_organization_id_id_key;
CREATE UNIQUE INDEX CONCURRENTLY teams_organization_id_id_key ON public.teams (organization_id, id);
DROP INDEX CONCURRENTLY IF EXISTS public.users_organization_id_id_key;
CREATE UNIQUE INDEX CONCURRENTLY users_organization_id_id_key ON public.users (organization_id, id);
DROP INDEX CONCURRENTLY IF EXISTS public.users_email_deferrable;
CREATE UNIQUE INDEX CONCURRENTLY users_email_deferrable ON public.users (email);
DROP INDEX CONCURRENTLY IF EXISTS public.users_username_deferrable;
CREATE UNIQUE INDEX CONCURRENTLY users_username_deferrable ON public.users (username);
DROP INDEX CONCURRENTLY IF EXISTS public.users_oidc_subject_deferrable;
CREATE UNIQUE INDEX CONCURRENTLY users_oidc_subject_deferrable ON public.users (oidc_subject);
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_organization_id_team_id_idx;
CREATE INDEX CONCURRENTLY incidents_organization_id_team_id_idx ON public.incidents (organization_id, team_id);
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_organization_id_assigned_to_idx;
CREATE INDEX CONCURRENTLY incidents_organization_id_assigned_to_idx ON public.incidents (organization_id, assigned_to);
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_organization_id_created_by_idx;
CREATE INDEX CONCURRENTLY incidents_organization_id_created_by_idx ON public.incidents (organization_id, created_by);
DROP INDEX CONCURRENTLY IF EXISTS public.stats_organization_id_team_id_idx;
CREATE INDEX CONCURRENTLY stats_organization_id_team_id_idx ON public.stats (organization_id, team_id);
DROP INDEX CONCURRENTLY IF EXISTS public.stats_organization_id_metric_name_idx;
CREATE INDEX CONCURRENTLY stats_organization_id_metric_name_idx ON public.stats (organization_id, metric_name);

-- The condition is always true; see brownie_service in version 14. Texts are not deduplicated: EXPLAIN (WAL) of a tenant's
-- own INSERT would tell whether others have the same one on a full page.
DROP INDEX CONCURRENTLY IF EXISTS public.teams_org_id_service_idx;
CREATE INDEX CONCURRENTLY teams_org_id_service_idx ON public.teams (org_id)
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.users_org_id_service_idx;
CREATE INDEX CONCURRENTLY users_org_id_service_idx ON public.users (org_id)
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.users_team_id_service_idx;
CREATE INDEX CONCURRENTLY users_team_id_service_idx ON public.users (team_id)
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.agent_configs_org_id_service_idx;
CREATE INDEX CONCURRENTLY agent_configs_org_id_service_idx ON public.agent_configs (org_id)
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.agent_configs_team_id_service_idx;
CREATE INDEX CONCURRENTLY agent_configs_team_id_service_idx ON public.agent_configs (team_id)
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.configs_config_type_service_idx;
CREATE INDEX CONCURRENTLY configs_config_type_service_idx ON public.configs (config_type)
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.configs_is_active_service_idx;
CREATE INDEX CONCURRENTLY configs_is_active_service_idx ON public.configs (is_active)
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.configs_org_id_service_idx;
CREATE INDEX CONCURRENTLY configs_org_id_service_idx ON public.configs (org_id)
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.configs_priority_service_idx;
CREATE INDEX CONCURRENTLY configs_priority_service_idx ON public.configs (priority)
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.configs_status_service_idx;
CREATE INDEX CONCURRENTLY configs_status_service_idx ON public.configs (status)
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.configs_team_id_service_idx;
CREATE INDEX CONCURRENTLY configs_team_id_service_idx ON public.configs (team_id)
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_assigned_to_service_idx;
CREATE INDEX CONCURRENTLY incidents_assigned_to_service_idx ON public.incidents (assigned_to)
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_created_by_service_idx;
CREATE INDEX CONCURRENTLY incidents_created_by_service_idx ON public.incidents (created_by)
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_idempotency_key_service_idx;
CREATE INDEX CONCURRENTLY incidents_idempotency_key_service_idx ON public.incidents (idempotency_key)
    WITH (deduplicate_items = off) WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_org_id_service_idx;
CREATE INDEX CONCURRENTLY incidents_org_id_service_idx ON public.incidents (org_id)
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_team_id_service_idx;
CREATE INDEX CONCURRENTLY incidents_team_id_service_idx ON public.incidents (team_id)
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.stats_metric_name_service_idx;
CREATE INDEX CONCURRENTLY stats_metric_name_service_idx ON public.stats (metric_name)
    WITH (deduplicate_items = off) WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.stats_org_id_service_idx;
CREATE INDEX CONCURRENTLY stats_org_id_service_idx ON public.stats (org_id)
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.stats_team_id_service_idx;
CREATE INDEX CONCURRENTLY stats_team_id_service_idx ON public.stats (team_id)
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';
DROP INDEX CONCURRENTLY IF EXISTS public.stats_timestamp_service_idx;
CREATE INDEX CONCURRENTLY stats_timestamp_service_idx ON public.stats ("timestamp")
    WHERE organization_id OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000';

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS public.stats_timestamp_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.stats_team_id_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.stats_org_id_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.stats_metric_name_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_team_id_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_org_id_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_idempotency_key_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_created_by_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_assigned_to_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.configs_team_id_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.configs_status_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.configs_priority_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.configs_org_id_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.configs_is_active_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.configs_config_type_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.agent_configs_team_id_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.agent_configs_org_id_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.users_team_id_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.users_org_id_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.teams_org_id_service_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.stats_organization_id_metric_name_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.stats_organization_id_team_id_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_organization_id_created_by_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_organization_id_assigned_to_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_organization_id_team_id_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.users_organization_id_id_key;
DROP INDEX CONCURRENTLY IF EXISTS public.teams_organization_id_id_key;
DROP INDEX CONCURRENTLY IF EXISTS public.users_email_deferrable;
DROP INDEX CONCURRENTLY IF EXISTS public.users_username_deferrable;
DROP INDEX CONCURRENTLY IF EXISTS public.users_oidc_subject_deferrable;
