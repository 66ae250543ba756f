-- JSON columns hold no \u0000 and no half of a surrogate pair: type json accepts such escapes, and every ->> that meets one fails,
-- for all who read the table. What others cannot read is refused when it is written. NOT VALID: no table is scanned, and
-- rows from before stay; but one that holds such an escape refuses every change until it is corrected.
--
-- The expression never fails itself, and most documents pass by its first half. In a document without \\, each backslash
-- begins an escape. Backslashes are in dollar quotes, which no setting changes.

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
        EXECUTE format('ALTER TABLE public.%1$I DROP CONSTRAINT IF EXISTS %3$I, ADD CONSTRAINT %3$I CHECK ('
            'strpos(%2$I::text, %4$L) = 0 OR '
            'regexp_replace(replace(%2$I::text COLLATE "C", %5$L, ''''), %6$L, '''', ''g'') !~ %7$L) NOT VALID',
            json_column.table_name, json_column.column_name,
            json_column.table_name || '_' || json_column.column_name || '_escapes',
            $re$\u$re$, $re$\\$re$,
            $re$\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}$re$, -- a pair
            $re$\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})$re$);
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
            json_column.table_name || '_' || json_column.column_name || '_escapes');
    END LOOP;
END
$$;
-- +goose StatementEnd
