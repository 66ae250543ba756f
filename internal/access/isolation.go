package access

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/identity"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Isolation is the proof that tenants are kept apart.
type Isolation struct {
	// Isolated is true when every attack was stopped, and every kind of role can do what it is for.
	Isolated bool
	Attempts int64
	Findings []Finding
	// KnownChannels are ways to learn of other tenants that PostgreSQL or the platform's schema makes unavoidable.
	KnownChannels []Finding
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
	// IsCause tells what lets others through from what follows from it.
	IsCause bool `db:"is_cause"`
	// Known marks a known channel.
	Known bool `db:"known"`
}

// Summary tells in a few lines how many attacks were tried and what was not stopped: table by table, the causes before what
// follows from them.
func (i Isolation) Summary() string {
	if i.Isolated {
		return fmt.Sprintf("%d attacks were tried, and all were stopped.", i.Attempts)
	}
	lines := []string{fmt.Sprintf("%d attacks were tried; what was not stopped:", i.Attempts)}
	var tables []string
	causes, follows := map[string][]string{}, map[string][]string{}
	roles := map[string][]string{} // for whom the same follows
	for _, f := range i.Findings {
		table := strings.TrimPrefix(f.Table, "public.")
		if f.Stopped {
			continue
		}
		if !slices.Contains(tables, table) {
			tables = append(tables, table)
		}
		if f.IsCause {
			causes[table] = append(causes[table], fmt.Sprintf("- %s, %s, as %s: %s", f.Table, f.Attack, f.Role, f.Detail))
			continue
		}
		what := table + ", " + f.Attack
		if roles[what] == nil {
			follows[table] = append(follows[table], what)
		}
		roles[what] = append(roles[what], f.Role)
	}
	for _, table := range tables {
		lines = append(lines, causes[table]...)
		for _, what := range follows[table] {
			lines = append(lines, fmt.Sprintf("  - %s, as %s", what, strings.Join(roles[what], ", ")))
		}
	}
	return strings.Join(lines, "\n")
}

// ProveIsolation attacks the isolation of tenants, in a transaction that is rolled back. It makes two organizations,
// binds its own session_user to the first, assumes each kind of role and one of each class of bound roles that are alike,
// and tries to reach the rows of the second; it looks in the catalogs for ways around the policies; and it tries that
// each kind of role can do what it is for. Findings are ordered: what was not stopped comes first, and causes before what
// follows from them.
//
// Every attempt is limited to rows of those two organizations, so that a hole does no harm while it is being found.
func (s *Store) ProveIsolation(ctx context.Context) (Isolation, error) {
	given, err := json.Marshal(map[string]any{"own": uuid.NewString(), "other": uuid.NewString(), "groups": groupsOfTheProof()})
	if err != nil {
		return Isolation{}, err
	}
	// A proof does not wait for long behind others' locks, nor do they behind its own.
	statements := []postgres.Statement{
		{SQL: queueSQL},
		{SQL: lockSQL},
		{SQL: patienceSQL, Args: []any{lockWait(1)}},
		{SQL: wantedSQL, Args: []any{string(given)}},
		{SQL: ownerSQL},
		{SQL: rowSecuritySQL},
	}
	files, err := fs.Glob(isolationSQL, "isolation/*.sql")
	if err != nil {
		return Isolation{}, err
	}
	for _, file := range files {
		text, err := isolationSQL.ReadFile(file)
		if err != nil {
			return Isolation{}, err
		}
		statements = append(statements, postgres.Statement{SQL: string(text)})
	}
	findings, err := postgres.Rehearse[Finding](ctx, s.db, statements...)
	if err != nil {
		return Isolation{}, err
	}
	proof := Isolation{Isolated: true}
	for _, finding := range findings {
		if finding.Known {
			proof.KnownChannels = append(proof.KnownChannels, finding)
			continue
		}
		proof.Findings = append(proof.Findings, finding)
		proof.Isolated = proof.Isolated && finding.Stopped
		proof.Attempts += finding.Attempts
	}
	return proof, nil
}

// What a migrator attached to tables must not run with this login's rights, so that rows are made as the schema's owner.
const ownerSQL = `
	SELECT pg_catalog.set_config('brownie.owner', coalesce((
		SELECT pg_catalog.pg_get_userbyid(nspowner) FROM pg_catalog.pg_namespace
		WHERE nspname = 'brownie' AND pg_catalog.pg_has_role(nspowner, 'SET')), current_user), true)`

// A database or role may have it off, which makes every query fail that a policy would filter, and proves nothing.
const rowSecuritySQL = `SELECT pg_catalog.set_config('row_security', 'on', true)`

// groupOfTheProof is what a group role is to the proof: "tenant", "service" (confined, but of no tenant), "pooled", "above"
// (sees all tenants) or "granter" (hands out the others; there may be none).
type groupOfTheProof struct {
	Name  string   `json:"name"`
	Kind  string   `json:"kind"`
	Tasks []string `json:"tasks"`
}

func groupsOfTheProof() []groupOfTheProof {
	groups := []groupOfTheProof{
		{Name: allTenantsGroup, Kind: "above"}, {Name: pooledGroup, Kind: "pooled"}, {Name: identity.Granter, Kind: "granter"},
	}
	for _, level := range Levels {
		kind := "service"
		switch {
		case level.OfTenants:
			kind = "tenant"
		case level.AboveTenants:
			kind = "above"
		}
		groups = append(groups, groupOfTheProof{Name: level.Group(), Kind: kind, Tasks: level.Tasks})
	}
	return groups
}
