-- What was deleted stays deleted, also after a restore: a ledger of purged organizations and of dropped or locked roles, which the runner
-- copies beside the backups. It holds keys and slugs, and no other value of a tenant. Whoever may delete need not be able to write it: triggers
-- do, with its owner's rights. Of what was never deleted it has no entry.

-- brownie:locks SHARE ROW EXCLUSIVE public.organizations, brownie.role_bindings

-- +goose Up
CREATE TABLE brownie.backup_ledger (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    at timestamptz NOT NULL,
    kind text COLLATE "C" NOT NULL CONSTRAINT backup_ledger_kind CHECK (kind IN ('organization', 'role')),
    name text COLLATE "C" NOT NULL, -- as the type of role names has it, and its comparisons
    event text NOT NULL CONSTRAINT backup_ledger_event CHECK (event IN ('deleted', 'locked', 'back')),
    slug text
);
CREATE INDEX backup_ledger_name_idx ON brownie.backup_ledger (kind, name, at DESC);
COMMENT ON TABLE brownie.backup_ledger IS 'What was deleted or locked, and what came back afterwards. Entries are only added.';
COMMENT ON COLUMN brownie.backup_ledger.at IS 'Later than in all entries before about the same organization or role: the last one counts.';
COMMENT ON COLUMN brownie.backup_ledger.name IS 'The ID of an organization, or the name of a role.';

CREATE TABLE brownie.backup_ledger_copies (
    destination text NOT NULL,
    key text NOT NULL,
    schedule_name text NOT NULL,
    entries bigint NOT NULL,
    recipients text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (destination, key)
);
COMMENT ON TABLE brownie.backup_ledger_copies IS 'Where copies of the ledger are. All that is in one of them is in the ledger itself, too.';

-- Adds what differs from the last entry about the same organization or role; a deletion always does. One plan by the index serves a ledger of
-- any size: another one for each call would take longer than the call, and one that was made when the ledger was empty might read all of it.
-- +goose StatementBegin
CREATE FUNCTION brownie.note(about text, names text[], events text[], slugs text[] DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    INSERT INTO brownie.backup_ledger (at, kind, name, event, slug)
    SELECT greatest(clock_timestamp(), last.at + interval '1 microsecond'), about, n.name, n.event, n.slug
    FROM unnest(names, events, slugs) AS n (name, event, slug) LEFT JOIN LATERAL (SELECT l.at, l.event FROM brownie.backup_ledger l
        WHERE l.kind = about AND l.name = n.name ORDER BY l.at DESC LIMIT 1) AS last ON true
    WHERE n.event = 'deleted' OR n.event <> coalesce(last.event, 'back');
END
$$;
-- +goose StatementEnd

-- Planned anew each time, for the same reason.
-- +goose StatementBegin
CREATE FUNCTION brownie.note_roles() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE $query$
        SELECT brownie.note('role', array_agg(now.name), array_agg(now.event))
        FROM (SELECT b.role_name::text AS name,
                CASE WHEN r.oid IS NULL THEN 'deleted' WHEN r.rolcanlogin THEN 'back' ELSE 'locked' END AS event
            FROM brownie.role_bindings b LEFT JOIN pg_roles r ON r.rolname = b.role_name) AS now
            LEFT JOIN (SELECT DISTINCT ON (name) name, event FROM brownie.backup_ledger WHERE kind = 'role' ORDER BY name, at DESC)
                AS last ON last.name = now.name
        WHERE now.event <> coalesce(last.event, 'back')
    $query$;
    RETURN (SELECT count(*) FROM brownie.backup_ledger);
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION brownie.note_roles() IS
    'Adds to the ledger what somebody did to roles without changing their bindings, and returns how many entries it has.';

-- +goose StatementBegin
CREATE FUNCTION brownie.note_change_of_binding() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM brownie.note('role', array_agg(role_name::text), array_agg('deleted'::text)) FROM brownie.role_bindings;
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM brownie.note('role', array_agg(role_name::text), array_agg('deleted'::text)) FROM old_rows;
    ELSE
        IF TG_OP = 'UPDATE' THEN -- A role that was renamed is gone under its former name.
            PERFORM brownie.note('role', array_agg(role_name::text), array_agg('deleted'::text))
            FROM (SELECT role_name FROM old_rows EXCEPT SELECT role_name FROM new_rows) AS gone;
        END IF;
        -- Whoever locks a role binds it anew. One that is bound before it is made is not locked.
        PERFORM brownie.note('role', array_agg(role_name::text), array_agg(CASE WHEN r.rolcanlogin IS FALSE THEN 'locked' ELSE 'back' END))
        FROM new_rows LEFT JOIN pg_roles r ON r.rolname = role_name;
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION brownie.note_change_of_organization() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM brownie.note('organization', array_agg(id::text), array_agg('deleted'::text), array_agg(slug::text)) FROM public.organizations;
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM brownie.note('organization', array_agg(id::text), array_agg('deleted'::text), array_agg(slug::text)) FROM old_rows;
    ELSE
        PERFORM brownie.note('organization', array_agg(id::text), array_agg('back'::text), array_agg(slug::text)) FROM new_rows;
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION brownie.note(text, text[], text[], text[]), brownie.note_roles(), brownie.note_change_of_binding(),
    brownie.note_change_of_organization() FROM PUBLIC;

CREATE TRIGGER note_insert AFTER INSERT ON public.organizations REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION brownie.note_change_of_organization();
CREATE TRIGGER note_delete AFTER DELETE ON public.organizations REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION brownie.note_change_of_organization();
CREATE TRIGGER note_truncate BEFORE TRUNCATE ON public.organizations
    FOR EACH STATEMENT EXECUTE FUNCTION brownie.note_change_of_organization();
CREATE TRIGGER note_insert AFTER INSERT ON brownie.role_bindings REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION brownie.note_change_of_binding();
CREATE TRIGGER note_update AFTER UPDATE ON brownie.role_bindings REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION brownie.note_change_of_binding();
CREATE TRIGGER note_delete AFTER DELETE ON brownie.role_bindings REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION brownie.note_change_of_binding();
CREATE TRIGGER note_truncate BEFORE TRUNCATE ON brownie.role_bindings
    FOR EACH STATEMENT EXECUTE FUNCTION brownie.note_change_of_binding();

GRANT SELECT ON brownie.backup_ledger, brownie.backup_ledger_copies TO brownie_backup;
GRANT INSERT, DELETE ON brownie.backup_ledger_copies TO brownie_backup;
GRANT EXECUTE ON FUNCTION brownie.note_roles() TO brownie_backup;
ALTER TABLE brownie.backup_ledger ENABLE ROW LEVEL SECURITY;
ALTER TABLE brownie.backup_ledger_copies ENABLE ROW LEVEL SECURITY;
CREATE POLICY backup ON brownie.backup_ledger FOR SELECT TO brownie_backup USING ((SELECT brownie.backs_up()));
CREATE POLICY backup ON brownie.backup_ledger_copies TO brownie_backup USING ((SELECT brownie.backs_up()));

-- Whoever owns the schema owns what belongs to it.
-- +goose StatementBegin
DO $$
DECLARE
    owner name := (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'brownie');
BEGIN
    EXECUTE format('ALTER TABLE brownie.backup_ledger OWNER TO %I', owner);
    EXECUTE format('ALTER TABLE brownie.backup_ledger_copies OWNER TO %I', owner);
    EXECUTE format('ALTER FUNCTION brownie.note(text, text[], text[], text[]) OWNER TO %I', owner);
    EXECUTE format('ALTER FUNCTION brownie.note_roles() OWNER TO %I', owner);
    EXECUTE format('ALTER FUNCTION brownie.note_change_of_binding() OWNER TO %I', owner);
    EXECUTE format('ALTER FUNCTION brownie.note_change_of_organization() OWNER TO %I', owner);
END
$$;
-- +goose StatementEnd

-- Roles that are locked by now.
SELECT brownie.note_roles();

-- What was deleted is forgotten; copies of the ledger stay where they are.
-- +goose Down
-- brownie:locks ACCESS EXCLUSIVE public.organizations, brownie.role_bindings
-- brownie:locks ACCESS EXCLUSIVE brownie.backup_ledger, brownie.backup_ledger_copies
DROP TRIGGER note_insert ON public.organizations;
DROP TRIGGER note_delete ON public.organizations;
DROP TRIGGER note_truncate ON public.organizations;
DROP TRIGGER note_insert ON brownie.role_bindings;
DROP TRIGGER note_update ON brownie.role_bindings;
DROP TRIGGER note_delete ON brownie.role_bindings;
DROP TRIGGER note_truncate ON brownie.role_bindings;
DROP FUNCTION brownie.note_change_of_organization();
DROP FUNCTION brownie.note_change_of_binding();
DROP FUNCTION brownie.note_roles();
DROP FUNCTION brownie.note(text, text[], text[], text[]);
DROP TABLE brownie.backup_ledger_copies;
DROP TABLE brownie.backup_ledger;
