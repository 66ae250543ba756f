package tenancy

import (
	"context"
	"errors"
	"fmt"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// AgentConfig is how an agent of a team works. Its name is unique in the team.
type AgentConfig struct {
	Row
	Versioned
	OrganizationID          string  `db:"organization_id"`
	TeamID                  string  `db:"team_id"`
	Name                    string  `db:"name"`
	Description             *string `db:"description"`
	AgentType               string  `db:"agent_type"` // incident_response, monitoring, analysis, notification, custom
	Config                  JSON    `db:"config"`
	Triggers                *JSON   `db:"triggers"`
	Conditions              *JSON   `db:"conditions"`
	Tags                    Tags    `db:"tags"`
	ExecutionTimeoutSeconds int32   `db:"execution_timeout_seconds"`
	MaxRetries              int32   `db:"max_retries"`
	RetryDelaySeconds       int32   `db:"retry_delay_seconds"`
	IsActive                bool    `db:"is_active"`
}

const agentConfigColumns = `
	a.id, ` + calendar + `a.created_at)) AS created_at,
	` + calendar + `a.updated_at)) AS updated_at,
	a.organization_id, a.team_id, a.name, a.description,
	lower(a.agent_type::text COLLATE "C") AS agent_type, a.config::text AS config,
	CASE WHEN json_typeof(a.triggers) <> 'null' THEN a.triggers::text END AS triggers,
	CASE WHEN json_typeof(a.conditions) <> 'null' THEN a.conditions::text END AS conditions,
	a.tags::text AS tags, a.execution_timeout_seconds, a.max_retries, a.retry_delay_seconds, a.is_active, a.version `

const agentConfigsSQL = `SELECT` + agentConfigColumns + `FROM public.agent_configs a `

const agentConfigsByIDSQL = agentConfigsSQL + `WHERE a.id = ANY($1::uuid[])`

// AgentConfig returns the agent config with the ID, or [postgres.ErrNotFound].
func (s *Store) AgentConfig(ctx context.Context, id string) (AgentConfig, error) {
	return s.agentConfigs.Get(ctx, id)
}

// AgentConfigByName returns the agent config of a team with the name, or [postgres.ErrNotFound].
func (s *Store) AgentConfigByName(ctx context.Context, teamID, name string) (AgentConfig, error) {
	return onlyOne(postgres.Query[AgentConfig](ctx, s.db, agentConfigsSQL+`
		WHERE a.organization_id = (SELECT organization_id FROM public.teams WHERE id = $1) AND a.team_id = $1 AND a.name =
			$2`, teamID, name))
}

// AgentConfigByKey returns the agent config by its name and the slugs of its organization and team, or
// [postgres.ErrNotFound].
func (s *Store) AgentConfigByKey(ctx context.Context, organizationSlug, teamSlug, name string) (AgentConfig, error) {
	return onlyOne(postgres.Query[AgentConfig](ctx, s.db, agentConfigsSQL+`
		JOIN public.teams t ON t.id = a.team_id JOIN public.organizations o ON o.id = a.organization_id
		WHERE o.slug = $1 AND t.slug = $2 AND a.name = $3`, organizationSlug, teamSlug, name))
}

// onlyOne guards reads by a name that the platform's own clients need not keep unique.
func onlyOne[T rower](rows []T, err error) (T, error) {
	var none T
	switch {
	case err != nil:
		return none, err
	case len(rows) == 0:
		return none, postgres.ErrNotFound
	case len(rows) > 1:
		return none, fmt.Errorf("%d rows have this name (ids %s and %s among them); use the id instead",
			len(rows), rows[0].row().ID, rows[1].row().ID)
	}
	return rows[0], nil
}

// The name is guarded here instead of by a unique key, because the platform's own clients may have used one twice.
const createAgentConfigSQL = `
	INSERT INTO public.agent_configs AS a (id, organization_id, org_id, team_id, name, description, agent_type, config,
		triggers, conditions, tags, execution_timeout_seconds, max_retries, retry_delay_seconds, is_active, version)
	SELECT @id::uuid, @organization_id::uuid, @organization_id::uuid, t.id, @name::text, @description::text,
		upper(@agent_type::text COLLATE "C")::public.agenttype, @config::text::json, @triggers::text::json, @conditions::text::json,
		to_json(@tags::text[]), @execution_timeout_seconds::int, @max_retries::int, @retry_delay_seconds::int, @is_active::boolean, 1
	FROM public.teams t
	WHERE t.id = @team_id AND NOT EXISTS (
		SELECT FROM public.agent_configs WHERE organization_id = t.organization_id AND team_id = t.id AND name = @name)
	RETURNING` + agentConfigColumns

// CreateAgentConfig inserts an agent config with version 1; its ID and times are the database's. A taken name is a
// [*DuplicateError], a team of another organization an [*OrganizationError].
func (s *Store) CreateAgentConfig(ctx context.Context, a AgentConfig) (AgentConfig, error) {
	return patient(ctx, s, "agent config", "", func(alone bool) (AgentConfig, error) { return s.createAgentConfig(ctx, a, alone) })
}

func (s *Store) createAgentConfig(ctx context.Context, a AgentConfig, alone bool) (AgentConfig, error) {
	created, err := s.agentConfigs.insert(ctx, alone, a, createAgentConfigSQL, lockTeam(a.TeamID))
	return created, s.agentConfigError(ctx, a, err)
}

// A name that was used twice before is no hindrance as long as it is kept.
const updateAgentConfigSQL = `
	UPDATE public.agent_configs a SET
		team_id = CASE WHEN 'team_id' = ANY(@changes::text[]) THEN @team_id ELSE a.team_id END,
		name = CASE WHEN 'name' = ANY(@changes::text[]) THEN @name ELSE a.name END,
		description = CASE WHEN 'description' = ANY(@changes::text[]) THEN @description ELSE a.description END,
		agent_type = CASE WHEN 'agent_type' = ANY(@changes::text[])
			THEN upper(@agent_type::text COLLATE "C")::public.agenttype ELSE a.agent_type::text::public.agenttype END,
		config = CASE WHEN 'config' = ANY(@changes::text[]) THEN @config::text::json ELSE a.config END,
		triggers = CASE WHEN 'triggers' = ANY(@changes::text[]) THEN @triggers::text::json ELSE a.triggers END,
		conditions = CASE WHEN 'conditions' = ANY(@changes::text[]) THEN @conditions::text::json ELSE a.conditions END,
		tags = CASE WHEN 'tags' = ANY(@changes::text[]) THEN to_json(@tags::text[]) ELSE a.tags END,
		execution_timeout_seconds = CASE WHEN 'execution_timeout_seconds' = ANY(@changes::text[])
			THEN @execution_timeout_seconds ELSE a.execution_timeout_seconds END,
		max_retries = CASE WHEN 'max_retries' = ANY(@changes::text[]) THEN @max_retries ELSE a.max_retries END,
		retry_delay_seconds = CASE WHEN 'retry_delay_seconds' = ANY(@changes::text[])
			THEN @retry_delay_seconds ELSE a.retry_delay_seconds END,
		is_active = CASE WHEN 'is_active' = ANY(@changes::text[]) THEN @is_active ELSE a.is_active END,
		version = a.version + 1
	WHERE a.organization_id = @organization_id AND a.id = @id
		AND ` + calendar + `a.updated_at)) = @updated_at AND (
		NOT @changes::text[] && '{team_id,name}' OR NOT EXISTS (
			SELECT FROM public.agent_configs WHERE organization_id = a.organization_id AND team_id = @team_id AND name = @name))
	RETURNING` + agentConfigColumns

// UpdateAgentConfig changes an agent config from before to after and raises its version by one. It returns a
// [*ConflictError] when it no longer is what before says, and otherwise the same errors as [Store.CreateAgentConfig].
func (s *Store) UpdateAgentConfig(ctx context.Context, before, after AgentConfig) (AgentConfig, error) {
	return patient(ctx, s, "agent config", before.ID, func(bool) (AgentConfig, error) { return s.updateAgentConfig(ctx, before, after) })
}

func (s *Store) updateAgentConfig(ctx context.Context, before, after AgentConfig) (AgentConfig, error) {
	if err := s.RefuseOrganizationChange(ctx, "agent config", before.Name, before.OrganizationID, after.OrganizationID); err != nil {
		return AgentConfig{}, err
	}
	updated, err := s.agentConfigs.update(ctx, before, after, updateAgentConfigSQL, lockTeam(after.TeamID))
	return updated, s.agentConfigError(ctx, after, err)
}

const agentConfigKeySQL = `
	SELECT a.id, o.slug AS organization, t.slug AS team
	FROM public.agent_configs a JOIN public.teams t ON t.id = a.team_id AND t.organization_id = a.organization_id
		JOIN public.organizations o ON o.id = a.organization_id
	WHERE a.team_id = $1 AND a.name = $2 LIMIT 1`

func (s *Store) agentConfigError(ctx context.Context, a AgentConfig, err error) error {
	if !errors.Is(err, errHeldBack) {
		return s.teamReferenceError(ctx, "agent config", a.TeamID, a.OrganizationID, err)
	}
	if wrong := s.CheckTeam(ctx, "agent config", a.TeamID, a.OrganizationID); wrong != nil {
		return wrong
	}
	existing, err := postgres.QueryOne[struct{ ID, Organization, Team string }](ctx, s.db, agentConfigKeySQL, a.TeamID, a.Name)
	if errors.Is(err, postgres.ErrNotFound) || err == nil && existing.ID == a.ID {
		return errHeldBack
	}
	if err != nil {
		return err
	}
	return duplicateError("agent config", "name", a.Name, fmt.Sprintf("in team %q of organization %q", existing.Team,
		existing.Organization),
		Existing{ID: existing.ID, Key: existing.Organization + "/" + existing.Team + "/" + a.Name})
}

const deleteAgentConfigSQL = `DELETE FROM public.agent_configs WHERE id = $1 RETURNING id`

// DeleteAgentConfig deletes an agent config. Deleting what is gone already is no error.
func (s *Store) DeleteAgentConfig(ctx context.Context, id string) error {
	return orHeldBack(s.agentConfigs.remove(ctx, id, deleteAgentConfigSQL))
}
