-- JSON columns hold documents, not bare strings, numbers or booleans. JSON null stays allowed, because SQLAlchemy
-- writes it for a missing value. NOT VALID: rows from before are left as they are, and no table is scanned.

-- brownie:locks ACCESS EXCLUSIVE public.organizations, public.teams, public.users, public.agent_configs, public.configs
-- brownie:locks ACCESS EXCLUSIVE public.incidents, public.stats

-- +goose Up
-- +goose StatementBegin
DO $$
DECLARE
    json_column record;
BEGIN
    FOR json_column IN
        SELECT table_name, column_name
        FROM (VALUES
            ('organizations', 'config_json'), ('organizations', 'settings'),
            ('teams', 'config_json'), ('teams', 'settings'), ('teams', 'permissions'),
            ('users', 'preferences'),
            ('agent_configs', 'config_json'), ('agent_configs', 'config'), ('agent_configs', 'triggers'),
            ('agent_configs', 'conditions'), ('agent_configs', 'tags'), ('agent_configs', 'config_metadata'),
            ('configs', 'config_json'), ('configs', 'tags'), ('configs', 'config_metadata'),
            ('incidents', 'tags'), ('incidents', 'incident_metadata'),
            ('stats', 'labels')
        ) AS documents (table_name, column_name)
    LOOP
        EXECUTE format('ALTER TABLE public.%1$I ADD CONSTRAINT %3$I '
            'CHECK (json_typeof(%2$I) IN (''object'', ''array'', ''null'')) NOT VALID',
            json_column.table_name, json_column.column_name,
            json_column.table_name || '_' || json_column.column_name || '_document');
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- brownie:locks ACCESS EXCLUSIVE public.organizations, public.teams, public.users, public.agent_configs, public.configs
-- brownie:locks ACCESS EXCLUSIVE public.incidents, public.stats
-- +goose StatementBegin
DO $$
DECLARE
    json_column record;
BEGIN
    FOR json_column IN
        SELECT table_name, column_name
        FROM (VALUES
            ('organizations', 'config_json'), ('organizations', 'settings'),
            ('teams', 'config_json'), ('teams', 'settings'), ('teams', 'permissions'),
            ('users', 'preferences'),
            ('agent_configs', 'config_json'), ('agent_configs', 'config'), ('agent_configs', 'triggers'),
            ('agent_configs', 'conditions'), ('agent_configs', 'tags'), ('agent_configs', 'config_metadata'),
            ('configs', 'config_json'), ('configs', 'tags'), ('configs', 'config_metadata'),
            ('incidents', 'tags'), ('incidents', 'incident_metadata'),
            ('stats', 'labels')
        ) AS documents (table_name, column_name)
    LOOP
        EXECUTE format('ALTER TABLE public.%I DROP CONSTRAINT %I', json_column.table_name,
            json_column.table_name || '_' || json_column.column_name || '_document');
    END LOOP;
END
$$;
-- +goose StatementEnd
