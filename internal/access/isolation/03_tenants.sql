-- Makes the two organizations with a row in every table, and binds the session to the first. It does so as the owner of
-- the schema, since what is attached to the tables runs with the rights of whoever changes them. Rules and triggers of a
-- table that somebody changed may refuse such a row; then the other attempts must do.
DO $$
DECLARE
	tenants jsonb := current_setting('brownie.wanted');
	tenant text;
	target record;
	prover name := current_user;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', current_setting('brownie.owner'));
	PERFORM set_config('search_path', 'pg_catalog, public, pg_temp', true); -- Triggers of others may rely on it.
	FOREACH tenant IN ARRAY ARRAY[tenants->>'own', tenants->>'other'] LOOP
		BEGIN
			PERFORM pg_temp.brownie_insert('public.organizations', tenant, jsonb_build_object('id', tenant,
				'name', 'isolation proof ' || tenant, 'slug', 'isolation-proof-' || tenant));
		EXCEPTION WHEN integrity_constraint_violation OR data_exception OR raise_exception THEN
			RAISE EXCEPTION 'the proof cannot make an organization: %', SQLERRM
				USING HINT = 'It inserts a row into public.organizations with what every NOT NULL column without a default needs, and '
					'rolls back';
		END;
		FOR target IN
			SELECT t.oid, coalesce(core.given, '{}') || jsonb_build_object(t.tenant_column, tenant) AS given
			FROM brownie_targets t
			LEFT JOIN (VALUES
				('public.teams', 1, jsonb_build_object('id', tenant, 'name', 'isolation proof', 'slug', 'isolation-proof')),
				('public.users', 2, jsonb_build_object('id', tenant, 'team_id', tenant, 'username', tenant,
					'email', tenant || '@isolation-proof.invalid')),
				('public.incidents', 3, jsonb_build_object('assigned_to', tenant, 'created_by', tenant)),
				('brownie.role_bindings', 4, jsonb_build_object('role_name', 'isolation-proof-' || tenant, 'access', 'reader'))
			) AS core (name, turn, given) ON core.name = t.ident
			WHERE t.oid <> 'public.organizations'::regclass
			ORDER BY core.turn
		LOOP
			BEGIN
				PERFORM pg_temp.brownie_insert(target.oid, tenant, target.given);
			EXCEPTION
				WHEN lock_not_available OR deadlock_detected THEN RAISE;
				WHEN OTHERS THEN NULL;
			END;
		END LOOP;
	END LOOP;
	PERFORM set_config('brownie.bound', coalesce((SELECT jsonb_agg(b.role_name) FROM brownie.role_bindings b
		WHERE b.organization_id IS NOT NULL AND b.role_name <> session_user), '[]')::text, true);
	INSERT INTO brownie.role_bindings (role_name, organization_id, access) VALUES (session_user, (tenants->>'own')::uuid, 'admin')
		ON CONFLICT (role_name) DO UPDATE SET organization_id = excluded.organization_id, access = 'admin', valid_until = NULL;
	EXECUTE format('SET LOCAL ROLE %I', prover);
	PERFORM set_config('search_path', 'pg_catalog, pg_temp', true);
END
$$;
