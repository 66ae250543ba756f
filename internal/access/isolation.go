package access

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Isolation is the proof that tenants are kept apart.
type Isolation struct {
	// Isolated is true when every attack was stopped.
	Isolated bool
	Attempts int64
	Findings []Finding
}

// Finding is one attack on the isolation of tenants and what became of it.
type Finding struct {
	Table   string `db:"table_name"` // the table, view, function or other object that was attacked; "*" for all tables
	Attack  string `db:"attack"`
	Role    string `db:"role_name"`
	Stopped bool   `db:"stopped"`
	Detail  string `db:"detail"`
	// Attempts is how many attempts the finding stands for.
	Attempts int64 `db:"attempts"`
}

// ProveIsolation attacks the isolation of tenants, in a transaction that is rolled back. It makes two organizations,
// binds its own session_user to the first, assumes each kind of role and each role that is bound to a tenant, and tries
// to reach the rows of the second; and it looks in the catalogs for ways around the policies. Findings are ordered: what
// was not stopped comes first.
//
// Every attempt is limited to rows of those two organizations, so that a hole does no harm while it is being found.
func (s *Store) ProveIsolation(ctx context.Context) (Isolation, error) {
	tenants, err := json.Marshal(map[string]string{"own": uuid.NewString(), "other": uuid.NewString()})
	if err != nil {
		return Isolation{}, err
	}
	// A proof does not wait for long behind others' locks, nor do they behind its own.
	statements := []postgres.Statement{{SQL: queueSQL}, {SQL: lockSQL}, {SQL: patienceSQL}, {SQL: wantedSQL, Args: []any{string(tenants)}}}
	for _, sql := range []string{
		findingsTableSQL, attackersTableSQL, targetsTableSQL, attemptFunctionSQL,
		tenantsSQL, attackersSQL, attackTablesSQL, attackSessionSQL,
		definitionsSQL, policiesSQL, bindingSQL, rightsSQL, waysAroundSQL,
	} {
		statements = append(statements, postgres.Statement{SQL: sql})
	}
	findings, err := postgres.Rehearse[Finding](ctx, s.db, append(statements, postgres.Statement{SQL: findingsSQL})...)
	if err != nil {
		return Isolation{}, err
	}
	proof := Isolation{Isolated: true, Findings: findings}
	for _, finding := range findings {
		proof.Isolated = proof.Isolated && finding.Stopped
		proof.Attempts += finding.Attempts
	}
	return proof, nil
}

const findingsTableSQL = `
CREATE TEMPORARY TABLE brownie_findings (
	table_name text, attack text, role_name text, stopped boolean, detail text, bound boolean DEFAULT false
) ON COMMIT DROP`

// A bound role is one that exists; the others are the kinds of roles.
const attackersTableSQL = `
CREATE TEMPORARY TABLE brownie_attackers (role_name name, bound boolean) ON COMMIT DROP`

// Every table with an organization_id, and the table of organizations itself.
const targetsTableSQL = `
CREATE TEMPORARY TABLE brownie_targets ON COMMIT DROP AS
	SELECT c.oid, c.oid::regclass::text AS name, a.attname AS tenant_column
	FROM pg_catalog.pg_class c
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped AND a.attnum > 0
		AND (a.attname = 'organization_id' OR c.oid = 'public.organizations'::regclass AND a.attname = 'id')
		AND a.atttypid IN ('uuid'::regtype, 'text'::regtype, 'varchar'::regtype)
	WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')`

// What an attempt changed is undone before it returns, together with the role that it assumed.
const attemptFunctionSQL = `
CREATE FUNCTION pg_temp.brownie_attempt(attacker name, statements text[], OUT code text, OUT touched bigint, OUT message text)
	LANGUAGE plpgsql AS $$
DECLARE
	statement text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', attacker);
	FOREACH statement IN ARRAY statements LOOP
		EXECUTE statement;
		GET DIAGNOSTICS touched = ROW_COUNT;
	END LOOP;
	RAISE EXCEPTION USING ERRCODE = 'BR000';
EXCEPTION
	WHEN lock_not_available OR deadlock_detected THEN
		RAISE;
	WHEN SQLSTATE 'BR000' THEN
		message := CASE touched WHEN 0 THEN 'no row' WHEN 1 THEN '1 row' ELSE touched || ' rows' END;
	WHEN OTHERS THEN
		code := SQLSTATE;
		message := SQLERRM;
END
$$`

// tenantsSQL makes the two organizations with a row in every table, and binds the session to the first.
const tenantsSQL = `
DO $$
DECLARE
	tenants jsonb := current_setting('brownie.wanted');
	tenant text;
	target record;
BEGIN
	FOREACH tenant IN ARRAY ARRAY[tenants->>'own', tenants->>'other'] LOOP
		INSERT INTO public.organizations (id, name, slug)
			VALUES (tenant::uuid, 'isolation proof ' || tenant, 'isolation-proof-' || tenant);
		INSERT INTO public.teams (id, organization_id, name, slug)
			VALUES (tenant::uuid, tenant::uuid, 'isolation proof', 'isolation-proof');
		INSERT INTO public.users (id, organization_id, team_id, email, username)
			VALUES (tenant::uuid, tenant::uuid, tenant::uuid, tenant || '@isolation-proof.invalid', tenant);
		INSERT INTO public.agent_configs (organization_id, team_id, name, agent_type)
			VALUES (tenant::uuid, tenant::uuid, 'isolation proof', 'CUSTOM');
		INSERT INTO public.configs (organization_id, team_id, name, config_type)
			VALUES (tenant::uuid, tenant::uuid, 'isolation proof', 'TEAM');
		INSERT INTO public.incidents (organization_id, team_id, assigned_to, created_by, title)
			VALUES (tenant::uuid, tenant::uuid, tenant::uuid, tenant::uuid, 'isolation proof');
		INSERT INTO public.stats (organization_id, team_id, metric_name, metric_type, value)
			VALUES (tenant::uuid, tenant::uuid, 'isolation proof', 'proof', 0);
		INSERT INTO brownie.organization_options (organization_id, force_destroy) VALUES (tenant::uuid, false);
		INSERT INTO brownie.role_bindings (role_name, organization_id, access)
			VALUES ('isolation-proof-' || tenant, tenant::uuid, 'reader');
		-- A table that somebody else added may want more than the tenant; then the other attempts must do.
		FOR target IN SELECT * FROM brownie_targets LOOP
			BEGIN
				EXECUTE format('INSERT INTO %s (%I) SELECT %L WHERE NOT EXISTS (SELECT FROM %1$s WHERE %2$I = %3$L)',
					target.name, target.tenant_column, tenant);
			EXCEPTION WHEN integrity_constraint_violation OR feature_not_supported OR raise_exception OR data_exception
				OR insufficient_privilege THEN NULL;
			END;
		END LOOP;
	END LOOP;
	INSERT INTO brownie.role_bindings (role_name, organization_id, access) VALUES (session_user, (tenants->>'own')::uuid, 'admin')
		ON CONFLICT (role_name) DO UPDATE SET organization_id = excluded.organization_id, access = 'admin', valid_until = NULL;
END
$$`

// attackersSQL collects the roles to assume. Without a superuser's rights, assuming a role takes a grant of it.
const attackersSQL = `
DO $$
DECLARE
	attacker record;
BEGIN
	INSERT INTO brownie_attackers
		SELECT unnest(ARRAY['brownie_reader', 'brownie_writer', 'brownie_admin', 'brownie_monitor', 'brownie_pooler', 'brownie_pooled']), false
		UNION ALL
		SELECT r.rolname, true
		FROM brownie.role_bindings b JOIN pg_catalog.pg_roles r ON r.rolname = b.role_name
		WHERE b.organization_id IS NOT NULL AND b.role_name <> session_user;
	FOR attacker IN SELECT role_name FROM brownie_attackers WHERE NOT pg_catalog.pg_has_role(role_name, 'SET') LOOP
		BEGIN
			EXECUTE format('GRANT %I TO %I WITH INHERIT FALSE, SET TRUE', attacker.role_name, current_user);
		EXCEPTION WHEN insufficient_privilege THEN
			RAISE EXCEPTION 'role % cannot assume role %, so that nothing can be proved about it', current_user, attacker.role_name
				USING HINT = format('Whoever made that role, or a superuser, can allow it: GRANT %I TO %I WITH ADMIN OPTION',
					attacker.role_name, current_user);
		END;
	END LOOP;
END
$$`

// attackTablesSQL tries to reach the other tenant's rows, with each role, in each table. An attempt that fails for any
// other reason than a missing right counts as not stopped: what it proves is nothing.
const attackTablesSQL = `
DO $$
DECLARE
	own text := current_setting('brownie.wanted')::jsonb->>'own';
	other text := current_setting('brownie.wanted')::jsonb->>'other';
	attacker record;
	target record;
	attack record;
	result record;
	changeable name;
BEGIN
	SET CONSTRAINTS ALL IMMEDIATE;
	FOR attacker IN SELECT * FROM brownie_attackers LOOP
		FOR target IN SELECT * FROM brownie_targets LOOP
			SELECT coalesce(min(attname) FILTER (WHERE attname <> target.tenant_column), target.tenant_column) INTO changeable
			FROM pg_catalog.pg_attribute
			WHERE attrelid = target.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity = ''
				AND pg_catalog.has_column_privilege(attacker.role_name, attrelid, attnum, 'UPDATE')
				AND pg_catalog.has_column_privilege(attacker.role_name, attrelid, attnum, 'SELECT');
			FOR attack IN
				SELECT 'read' AS name, ARRAY['42501'] AS refusals, true AS may_miss,
					format('SELECT FROM %s WHERE %I IS DISTINCT FROM %L LIMIT 1', target.name, target.tenant_column, own) AS sql
				UNION ALL SELECT 'insert', ARRAY['42501'], false,
					format('INSERT INTO %s (%I) VALUES (%L)', target.name, target.tenant_column, other)
				UNION ALL SELECT 'update', ARRAY['42501'], true,
					format('UPDATE %s SET %I = %2$I WHERE %I = %L', target.name, changeable, target.tenant_column, other)
				UNION ALL SELECT 'delete', ARRAY['42501'], true,
					format('DELETE FROM %s WHERE %I = %L', target.name, target.tenant_column, other)
				UNION ALL SELECT 're-parent', ARRAY['42501', '23514'], true,
					format('UPDATE %s SET %I = %L WHERE %2$I = %4$L', target.name, target.tenant_column, other, own)
				UNION ALL SELECT 'steal', ARRAY['42501'], true,
					format('UPDATE %s SET %I = %L WHERE %2$I = %4$L', target.name, target.tenant_column, own, other)
				UNION ALL SELECT 'reference by ' || a.attname, ARRAY['42501', '23503'], true,
					format('UPDATE %s SET %I = %L WHERE %I = %L', target.name, a.attname, other, target.tenant_column, own)
				FROM pg_catalog.pg_constraint f
				JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = ANY (f.conkey)
				WHERE f.contype = 'f' AND f.conrelid = target.oid AND f.confrelid IN ('public.teams'::regclass, 'public.users'::regclass)
					AND a.attname <> target.tenant_column
				GROUP BY a.attname
			LOOP
				result := pg_temp.brownie_attempt(attacker.role_name, ARRAY[attack.sql]);
				INSERT INTO brownie_findings VALUES (target.name, attack.name, attacker.role_name,
					result.code = ANY (attack.refusals) OR result.code IS NULL AND result.touched = 0 AND attack.may_miss,
					result.message, attacker.bound);
			END LOOP;
		END LOOP;
	END LOOP;
	UPDATE brownie_findings SET stopped = false, detail = 'inconclusive: ' || detail WHERE stopped IS NULL;
END
$$`

// attackSessionSQL tries to make the session be what it is not, and then to see the other tenant.
const attackSessionSQL = `
DO $$
DECLARE
	other text := current_setting('brownie.wanted')::jsonb->>'other';
	look text := format('SELECT FROM public.incidents WHERE organization_id = %L', other);
	attacker record;
	attack record;
	result record;
BEGIN
	GRANT SELECT ON brownie_targets TO PUBLIC;
	FOR attacker IN SELECT * FROM brownie_attackers LOOP
		FOR attack IN
			SELECT 'custom setting' AS name, 'brownie.current_binding' AS object, array_agg(format('SELECT set_config(%L, %L, true)', setting, other)) || look AS sql
			FROM unnest(ARRAY['app.organization_id', 'app.current_organization_id', 'app.org_id', 'app.tenant_id', 'app.current_tenant',
				'brownie.organization_id', 'brownie.tenant', 'brownie.session_user', 'rls.organization_id', 'request.jwt.claims', 'my.org']) AS setting
			UNION ALL SELECT 'search_path', 'brownie.current_binding', ARRAY[
				format('CREATE TEMPORARY VIEW current_binding AS SELECT %L::uuid AS organization_id, true AS all_tenants, true AS writes_all_tenants', other),
				'SELECT set_config(''search_path'', ''pg_temp, public, brownie'', true)', look]
			UNION ALL SELECT 'row_security', 'public.incidents', ARRAY['SELECT set_config(''row_security'', ''off'', true)', look]
			UNION ALL SELECT 'change own binding', 'brownie.role_bindings', ARRAY[format(
				'UPDATE brownie.role_bindings SET organization_id = %L WHERE role_name = session_user', other), look]
			UNION ALL SELECT 'change binding view', 'brownie.current_binding', ARRAY[format(
				'UPDATE brownie.current_binding SET organization_id = %L', other), look]
			UNION ALL SELECT 'raise own limits', 'public.organizations', ARRAY['UPDATE public.organizations SET max_teams = 100000, max_users_per_team = 100000']
			UNION ALL SELECT 'rename own organization', 'public.organizations', ARRAY['UPDATE public.organizations SET name = name, slug = slug']
			UNION ALL SELECT 'statistics', 'pg_catalog.pg_stats', ARRAY[
				'SELECT FROM pg_catalog.pg_stats s JOIN brownie_targets t ON t.oid = format(''%I.%I'', s.schemaname, s.tablename)::regclass']
		LOOP
			-- Statistics are what a monitor is for.
			CONTINUE WHEN attack.name = 'statistics' AND pg_catalog.pg_has_role(attacker.role_name, 'brownie_monitor', 'USAGE');
			result := pg_temp.brownie_attempt(attacker.role_name, attack.sql);
			INSERT INTO brownie_findings VALUES (attack.object, attack.name, attacker.role_name,
				result.code IN ('42501', '55000') OR result.code IS NULL AND result.touched = 0, result.message, attacker.bound);
		END LOOP;
		-- PostgreSQL asks who logged in, and lets a superuser do it whatever role it has assumed. So a superuser's proof
		-- looks at the role instead.
		IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user) THEN
			INSERT INTO brownie_findings SELECT rolname, 'set session authorization', rolname, NOT rolsuper,
				CASE WHEN rolsuper THEN 'a superuser may' ELSE 'only a superuser may' END, attacker.bound
			FROM pg_catalog.pg_roles WHERE rolname = attacker.role_name;
		ELSE
			result := pg_temp.brownie_attempt(attacker.role_name, ARRAY['SET LOCAL SESSION AUTHORIZATION brownie_all_tenants', look]);
			INSERT INTO brownie_findings VALUES (attacker.role_name, 'set session authorization', attacker.role_name,
				result.code = '42501', result.message, attacker.bound);
		END IF;
	END LOOP;
	UPDATE brownie_findings SET stopped = false, detail = 'inconclusive: ' || detail WHERE stopped IS NULL;
END
$$`

// What bound roles were stopped at is told once for each role and not for each of thousands of attempts. The IDs of what
// the proof makes are new each time, and findings that differ each time would be shown as a change each time.
const findingsSQL = `
	SELECT table_name, attack, role_name, stopped, regexp_replace(
			replace(replace(detail, wanted->>'own', '(own)'), wanted->>'other', '(other)'),
			'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', '(id)', 'g') AS detail, 1::bigint AS attempts
	FROM brownie_findings, CAST(current_setting('brownie.wanted') AS jsonb) AS wanted
	WHERE NOT stopped OR NOT bound
	UNION ALL
	SELECT '*', 'all of these', role_name, true, count(*) || ' attempts stopped', count(*) FROM brownie_findings WHERE stopped AND bound GROUP BY role_name
	ORDER BY stopped, role_name, table_name, attack`
