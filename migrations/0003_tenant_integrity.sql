-- The database itself keeps a row and its team in one organization. The foreign keys are checked for new rows from here
-- on; the next migration checks those that exist, under a weaker lock.

-- +goose Up
ALTER TABLE public.teams
    ADD CONSTRAINT teams_organization_id_slug_key UNIQUE (organization_id, slug),
    ADD CONSTRAINT teams_id_organization_id_key UNIQUE (id, organization_id);

ALTER TABLE public.users
    ADD CONSTRAINT users_team_in_organization_fkey FOREIGN KEY (team_id, organization_id)
        REFERENCES public.teams (id, organization_id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.agent_configs
    ADD CONSTRAINT agent_configs_team_in_organization_fkey FOREIGN KEY (team_id, organization_id)
        REFERENCES public.teams (id, organization_id) ON DELETE CASCADE NOT VALID;
ALTER TABLE public.configs
    ADD CONSTRAINT configs_team_in_organization_fkey FOREIGN KEY (team_id, organization_id)
        REFERENCES public.teams (id, organization_id) ON DELETE CASCADE NOT VALID;

-- A row never changes its organization, not even when nothing refers to it.
-- +goose StatementBegin
CREATE FUNCTION brownie.refuse_organization_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'row % of % belongs to organization % and cannot be given to organization %',
        OLD.id, TG_TABLE_NAME, OLD.organization_id, NEW.organization_id
        USING ERRCODE = 'check_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
            COLUMN = 'organization_id', CONSTRAINT = TG_TABLE_NAME || '_organization_id_immutable';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER refuse_organization_change BEFORE UPDATE OF organization_id ON public.teams FOR EACH ROW
    WHEN (OLD.organization_id IS DISTINCT FROM NEW.organization_id)
    EXECUTE FUNCTION brownie.refuse_organization_change();
CREATE TRIGGER refuse_organization_change BEFORE UPDATE OF organization_id ON public.users FOR EACH ROW
    WHEN (OLD.organization_id IS DISTINCT FROM NEW.organization_id)
    EXECUTE FUNCTION brownie.refuse_organization_change();
CREATE TRIGGER refuse_organization_change BEFORE UPDATE OF organization_id ON public.agent_configs FOR EACH ROW
    WHEN (OLD.organization_id IS DISTINCT FROM NEW.organization_id)
    EXECUTE FUNCTION brownie.refuse_organization_change();
CREATE TRIGGER refuse_organization_change BEFORE UPDATE OF organization_id ON public.configs FOR EACH ROW
    WHEN (OLD.organization_id IS DISTINCT FROM NEW.organization_id)
    EXECUTE FUNCTION brownie.refuse_organization_change();

-- +goose Down
DROP TRIGGER refuse_organization_change ON public.teams;
DROP TRIGGER refuse_organization_change ON public.users;
DROP TRIGGER refuse_organization_change ON public.agent_configs;
DROP TRIGGER refuse_organization_change ON public.configs;
DROP FUNCTION brownie.refuse_organization_change();
ALTER TABLE public.configs DROP CONSTRAINT configs_team_in_organization_fkey;
ALTER TABLE public.agent_configs DROP CONSTRAINT agent_configs_team_in_organization_fkey;
ALTER TABLE public.users DROP CONSTRAINT users_team_in_organization_fkey;
ALTER TABLE public.teams
    DROP CONSTRAINT teams_id_organization_id_key,
    DROP CONSTRAINT teams_organization_id_slug_key;
