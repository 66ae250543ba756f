-- Indexes that begin with the tenant, for the row-level policies, and the keys that the next migration needs. They are
-- built without blocking anybody (PostgreSQL manual, "CREATE INDEX", building indexes concurrently), which is why there
-- is no transaction; an index that an interrupted attempt left behind is dropped first.

-- +goose NO TRANSACTION
-- +goose Up
DROP INDEX CONCURRENTLY IF EXISTS public.users_id_organization_id_key;
CREATE UNIQUE INDEX CONCURRENTLY users_id_organization_id_key ON public.users (id, organization_id);
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_organization_id_idempotency_key_key;
CREATE UNIQUE INDEX CONCURRENTLY incidents_organization_id_idempotency_key_key
    ON public.incidents (organization_id, idempotency_key);
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_organization_id_created_at_idx;
CREATE INDEX CONCURRENTLY incidents_organization_id_created_at_idx ON public.incidents (organization_id, created_at);
DROP INDEX CONCURRENTLY IF EXISTS public.stats_organization_id_timestamp_idx;
CREATE INDEX CONCURRENTLY stats_organization_id_timestamp_idx ON public.stats (organization_id, "timestamp");
DROP INDEX CONCURRENTLY IF EXISTS public.users_organization_id_team_id_idx;
CREATE INDEX CONCURRENTLY users_organization_id_team_id_idx ON public.users (organization_id, team_id);
DROP INDEX CONCURRENTLY IF EXISTS public.agent_configs_organization_id_team_id_idx;
CREATE INDEX CONCURRENTLY agent_configs_organization_id_team_id_idx ON public.agent_configs (organization_id, team_id);
DROP INDEX CONCURRENTLY IF EXISTS public.configs_organization_id_team_id_idx;
CREATE INDEX CONCURRENTLY configs_organization_id_team_id_idx ON public.configs (organization_id, team_id);

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS public.configs_organization_id_team_id_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.agent_configs_organization_id_team_id_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.users_organization_id_team_id_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.stats_organization_id_timestamp_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_organization_id_created_at_idx;
DROP INDEX CONCURRENTLY IF EXISTS public.incidents_organization_id_idempotency_key_key;
DROP INDEX CONCURRENTLY IF EXISTS public.users_id_organization_id_key;
