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
		rowSecuritySQL, findingsTableSQL, attackersTableSQL, targetsTableSQL, attemptFunctionSQL, insertFunctionSQL,
		tenantsSQL, attackersSQL, definitionsSQL, policiesSQL, bindingSQL, rightsSQL, waysAroundSQL, keysSQL, statisticsSQL,
		attackTablesSQL, attackSessionSQL,
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

// Every table with an organization_id, and the table of organizations itself. The key's type is what a domain stands for.
const targetsTableSQL = `
CREATE TEMPORARY TABLE brownie_targets ON COMMIT DROP AS
	WITH RECURSIVE keys AS (
		SELECT c.oid, c.oid::regclass::text AS name, a.attname AS tenant_column, a.attnum AS tenant_attnum,
			pg_catalog.format_type(a.atttypid, a.atttypmod) AS declared_type, a.atttypid AS key_type
		FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped AND a.attnum > 0
			AND (a.attname = 'organization_id' OR c.oid = 'public.organizations'::regclass AND a.attname = 'id')
		WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
		UNION ALL
		SELECT keys.oid, name, tenant_column, tenant_attnum, declared_type, t.typbasetype
		FROM keys JOIN pg_catalog.pg_type t ON t.oid = keys.key_type AND t.typtype = 'd'
	)
	SELECT keys.* FROM keys JOIN pg_catalog.pg_type t ON t.oid = keys.key_type AND t.typtype <> 'd'`

// A database or role may have it off, which makes every query fail that a policy would filter, and proves nothing.
const rowSecuritySQL = `SELECT pg_catalog.set_config('row_security', 'on', true)`

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
