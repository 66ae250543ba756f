-- Until now only the platform's models filled these columns. Defaults on the server let plain SQL insert as well; a
-- client that gives every column explicitly, as the models do, notices nothing.

-- brownie:locks SHARE ROW EXCLUSIVE public.teams, public.users, public.agent_configs, public.configs, public.incidents, public.stats

-- +goose Up
CREATE SCHEMA IF NOT EXISTS brownie;
COMMENT ON SCHEMA brownie IS 'What terraform-provider-brownie adds to the platform''s schema.';

ALTER TABLE public.organizations
    ALTER COLUMN id SET DEFAULT gen_random_uuid(),
    ALTER COLUMN is_active SET DEFAULT true,
    ALTER COLUMN max_teams SET DEFAULT 10,
    ALTER COLUMN max_users_per_team SET DEFAULT 50;
ALTER TABLE public.teams
    ALTER COLUMN id SET DEFAULT gen_random_uuid(),
    ALTER COLUMN is_active SET DEFAULT true;
ALTER TABLE public.users
    ALTER COLUMN id SET DEFAULT gen_random_uuid(),
    ALTER COLUMN is_active SET DEFAULT true,
    ALTER COLUMN is_verified SET DEFAULT false,
    ALTER COLUMN role SET DEFAULT 'MEMBER';
ALTER TABLE public.agent_configs
    ALTER COLUMN id SET DEFAULT gen_random_uuid(),
    ALTER COLUMN version SET DEFAULT 1,
    ALTER COLUMN is_active SET DEFAULT true,
    ALTER COLUMN config SET DEFAULT '{}',
    ALTER COLUMN execution_timeout_seconds SET DEFAULT 300,
    ALTER COLUMN max_retries SET DEFAULT 3,
    ALTER COLUMN retry_delay_seconds SET DEFAULT 60;
ALTER TABLE public.configs
    ALTER COLUMN id SET DEFAULT gen_random_uuid(),
    ALTER COLUMN version SET DEFAULT 1,
    ALTER COLUMN status SET DEFAULT 'DRAFT',
    ALTER COLUMN priority SET DEFAULT 0,
    ALTER COLUMN is_global SET DEFAULT false,
    ALTER COLUMN is_active SET DEFAULT true;
ALTER TABLE public.incidents
    ALTER COLUMN id SET DEFAULT gen_random_uuid(),
    ALTER COLUMN version SET DEFAULT 1,
    ALTER COLUMN status SET DEFAULT 'OPEN',
    ALTER COLUMN priority SET DEFAULT 'MEDIUM';
ALTER TABLE public.stats
    ALTER COLUMN id SET DEFAULT gen_random_uuid(),
    ALTER COLUMN "timestamp" SET DEFAULT now();

-- The models keep the tenant in two columns. Whoever gives one of them gets the other.
-- +goose StatementBegin
CREATE FUNCTION brownie.fill_tenant_columns() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.organization_id := coalesce(NEW.organization_id, NEW.org_id);
    NEW.org_id := coalesce(NEW.org_id, NEW.organization_id);
    RETURN NEW;
END
$$;
-- +goose StatementEnd

-- A client that sets updated_at itself, as the models do, keeps its value.
-- +goose StatementBegin
CREATE FUNCTION brownie.set_updated_at() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at THEN
        NEW.updated_at := clock_timestamp();
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['teams', 'users', 'agent_configs', 'configs', 'incidents', 'stats'] LOOP
        EXECUTE format('CREATE TRIGGER fill_tenant_columns BEFORE INSERT ON public.%I FOR EACH ROW '
            'WHEN (NEW.org_id IS NULL OR NEW.organization_id IS NULL) '
            'EXECUTE FUNCTION brownie.fill_tenant_columns()', tenant_table);
        EXECUTE format('CREATE TRIGGER set_updated_at BEFORE UPDATE ON public.%I FOR EACH ROW '
            'EXECUTE FUNCTION brownie.set_updated_at()', tenant_table);
    END LOOP;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER set_updated_at BEFORE UPDATE ON public.organizations FOR EACH ROW
    EXECUTE FUNCTION brownie.set_updated_at();

-- +goose Down
-- brownie:locks SHARE ROW EXCLUSIVE public.teams, public.users, public.agent_configs, public.configs, public.incidents, public.stats
-- +goose StatementBegin
DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['teams', 'users', 'agent_configs', 'configs', 'incidents', 'stats'] LOOP
        EXECUTE format('DROP TRIGGER fill_tenant_columns ON public.%I', tenant_table);
        EXECUTE format('DROP TRIGGER set_updated_at ON public.%I', tenant_table);
    END LOOP;
END
$$;
-- +goose StatementEnd
DROP TRIGGER set_updated_at ON public.organizations;
DROP FUNCTION brownie.fill_tenant_columns();
DROP FUNCTION brownie.set_updated_at();
ALTER TABLE public.organizations
    ALTER COLUMN id DROP DEFAULT,
    ALTER COLUMN is_active DROP DEFAULT,
    ALTER COLUMN max_teams DROP DEFAULT,
    ALTER COLUMN max_users_per_team DROP DEFAULT;
ALTER TABLE public.teams
    ALTER COLUMN id DROP DEFAULT,
    ALTER COLUMN is_active DROP DEFAULT;
ALTER TABLE public.users
    ALTER COLUMN id DROP DEFAULT,
    ALTER COLUMN is_active DROP DEFAULT,
    ALTER COLUMN is_verified DROP DEFAULT,
    ALTER COLUMN role DROP DEFAULT;
ALTER TABLE public.agent_configs
    ALTER COLUMN id DROP DEFAULT,
    ALTER COLUMN version DROP DEFAULT,
    ALTER COLUMN is_active DROP DEFAULT,
    ALTER COLUMN config DROP DEFAULT,
    ALTER COLUMN execution_timeout_seconds DROP DEFAULT,
    ALTER COLUMN max_retries DROP DEFAULT,
    ALTER COLUMN retry_delay_seconds DROP DEFAULT;
ALTER TABLE public.configs
    ALTER COLUMN id DROP DEFAULT,
    ALTER COLUMN version DROP DEFAULT,
    ALTER COLUMN status DROP DEFAULT,
    ALTER COLUMN priority DROP DEFAULT,
    ALTER COLUMN is_global DROP DEFAULT,
    ALTER COLUMN is_active DROP DEFAULT;
ALTER TABLE public.incidents
    ALTER COLUMN id DROP DEFAULT,
    ALTER COLUMN version DROP DEFAULT,
    ALTER COLUMN status DROP DEFAULT,
    ALTER COLUMN priority DROP DEFAULT;
ALTER TABLE public.stats
    ALTER COLUMN id DROP DEFAULT,
    ALTER COLUMN "timestamp" DROP DEFAULT;
-- The schema stays, because it remembers which migrations ran.
COMMENT ON SCHEMA brownie IS NULL;
