package tenancy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// AgentConfig is how an agent of a team works. Its name is unique in the team.
type AgentConfig struct {
	Row
	OrganizationID          string   `db:"organization_id"`
	TeamID                  string   `db:"team_id"`
	Name                    string   `db:"name"`
	Description             *string  `db:"description"`
	AgentType               string   `db:"agent_type"` // incident_response, monitoring, analysis, notification, custom
	Config                  JSON     `db:"config"`
	Triggers                *JSON    `db:"triggers"`
	Conditions              *JSON    `db:"conditions"`
	Tags                    []string `db:"tags"`
	ExecutionTimeoutSeconds int32    `db:"execution_timeout_seconds"`
	MaxRetries              int32    `db:"max_retries"`
	RetryDelaySeconds       int32    `db:"retry_delay_seconds"`
	IsActive                bool     `db:"is_active"`
	Version                 int32    `db:"version" computed:"true"`
}

const agentConfigColumns = `
	a.id, a.created_at, a.updated_at, a.organization_id, a.team_id, a.name, a.description,
	lower(a.agent_type::text) AS agent_type, a.config::text AS config, nullif(a.triggers::text, 'null') AS triggers,
	nullif(a.conditions::text, 'null') AS conditions,
	CASE json_typeof(a.tags) WHEN 'array' THEN
		ARRAY(SELECT tag FROM json_array_elements_text(a.tags) tag WHERE tag IS NOT NULL) END AS tags,
	a.execution_timeout_seconds, a.max_retries, a.retry_delay_seconds, a.is_active, a.version `

const agentConfigsSQL = `SELECT` + agentConfigColumns + `FROM public.agent_configs a `

const agentConfigsByIDSQL = agentConfigsSQL + `WHERE a.id = ANY($1::uuid[])`

// AgentConfig returns the agent config with the ID, or [postgres.ErrNotFound].
func (s *Store) AgentConfig(ctx context.Context, id string) (AgentConfig, error) {
	return s.agentConfigs.Get(ctx, id)
}

// AgentConfigByName returns the agent config of a team with the name, or [postgres.ErrNotFound].
func (s *Store) AgentConfigByName(ctx context.Context, teamID, name string) (AgentConfig, error) {
	return onlyOne(postgres.Query[AgentConfig](ctx, s.db, agentConfigsSQL+`
		WHERE a.organization_id = (SELECT organization_id FROM public.teams WHERE id = $1) AND a.team_id = $1 AND a.name = $2`, teamID, name))
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
	SELECT $1::uuid, $2::uuid, $2::uuid, t.id, $4::text, $5::text, upper($6::text)::public.agenttype, $7::text::json,
		$8::text::json, $9::text::json, to_json($10::text[]), $11::int, $12::int, $13::int, $14::boolean, 1
	FROM public.teams t
	WHERE t.id = $3 AND NOT EXISTS (SELECT FROM public.agent_configs WHERE organization_id = t.organization_id AND team_id = t.id AND name = $4)
	RETURNING` + agentConfigColumns

// CreateAgentConfig inserts an agent config with version 1; its ID and times are the database's. A taken name is a
// [*DuplicateError], a team of another organization an [*OrganizationError].
func (s *Store) CreateAgentConfig(ctx context.Context, a AgentConfig) (AgentConfig, error) {
	id := newID()
	created, err := insert(ctx, s.db,
		func(ctx context.Context) (AgentConfig, error) { return s.AgentConfig(ctx, id) },
		postgres.Statement{SQL: lockTeamSQL, Args: []any{a.TeamID}},
		postgres.Statement{SQL: createAgentConfigSQL, Args: []any{
			id, a.OrganizationID, a.TeamID, a.Name, a.Description, a.AgentType, a.Config, a.Triggers, a.Conditions, a.Tags,
			a.ExecutionTimeoutSeconds, a.MaxRetries, a.RetryDelaySeconds, a.IsActive,
		}})
	return created, s.agentConfigError(ctx, a, err)
}

// A name that was used twice before is no hindrance as long as it is kept.
const updateAgentConfigSQL = `
	UPDATE public.agent_configs a SET team_id = $3, name = $4, description = $5,
		agent_type = upper($6::text)::public.agenttype, config = $7::text::json, triggers = $8::text::json,
		conditions = $9::text::json, tags = to_json($10::text[]), execution_timeout_seconds = $11, max_retries = $12,
		retry_delay_seconds = $13, is_active = $14, version = a.version + 1
	WHERE a.id = $1 AND a.updated_at = $2 AND (
		(a.team_id = $3 AND a.name = $4)
		OR NOT EXISTS (SELECT FROM public.agent_configs WHERE organization_id = a.organization_id AND team_id = $3 AND name = $4))
	RETURNING` + agentConfigColumns

// UpdateAgentConfig changes an agent config from before to after and raises its version by one. It returns a
// [*ConflictError] when it no longer is what before says, and otherwise the same errors as [Store.CreateAgentConfig].
func (s *Store) UpdateAgentConfig(ctx context.Context, before, after AgentConfig) (AgentConfig, error) {
	if err := s.RefuseOrganizationChange(ctx, "agent config", before.Name, before.OrganizationID, after.OrganizationID); err != nil {
		return AgentConfig{}, err
	}
	updated, err := update(ctx, s.db, before, after,
		func(ctx context.Context) (AgentConfig, error) { return s.AgentConfig(ctx, before.ID) },
		func(updatedAt time.Time) []postgres.Statement {
			return []postgres.Statement{
				{SQL: lockTeamSQL, Args: []any{after.TeamID}},
				{SQL: updateAgentConfigSQL, Args: []any{
					before.ID, updatedAt, after.TeamID, after.Name, after.Description, after.AgentType, after.Config,
					after.Triggers, after.Conditions, after.Tags, after.ExecutionTimeoutSeconds, after.MaxRetries,
					after.RetryDelaySeconds, after.IsActive,
				}},
			}
		})
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
	if err != nil {
		return err
	}
	return &DuplicateError{
		Noun: "agent config", Attribute: "name", Value: a.Name,
		Scope: fmt.Sprintf("in team %q of organization %q", existing.Team, existing.Organization),
		ID:    existing.ID, Key: existing.Organization + "/" + existing.Team + "/" + a.Name,
	}
}

const deleteAgentConfigSQL = `DELETE FROM public.agent_configs WHERE id = $1 RETURNING id`

// DeleteAgentConfig deletes an agent config. Deleting what is gone already is no error.
func (s *Store) DeleteAgentConfig(ctx context.Context, id string) error {
	_, err := remove(ctx, s.db, func(ctx context.Context) (AgentConfig, error) { return s.AgentConfig(ctx, id) },
		postgres.Statement{SQL: deleteAgentConfigSQL, Args: []any{id}})
	return err
}
