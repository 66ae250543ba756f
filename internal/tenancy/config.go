package tenancy

import (
	"context"
	"errors"
	"fmt"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Config is a configuration of an organization or, when TeamID is set, of one team. Its name is unique there.
type Config struct {
	Row
	Versioned
	OrganizationID  string  `db:"organization_id"`
	TeamID          *string `db:"team_id"`
	Name            string  `db:"name"`
	Description     *string `db:"description"`
	ConfigType      string  `db:"config_type"` // organization, team, alert, agent, global
	Status          string  `db:"status"`      // draft, active, deprecated, archived
	Priority        int32   `db:"priority"`
	NamePattern     *string `db:"name_pattern"`
	SeverityPattern *string `db:"severity_pattern"`
	TeamPattern     *string `db:"team_pattern"`
	ConfigJSON      *JSON   `db:"config_json"`
	Tags            Tags    `db:"tags"`
	IsGlobal        bool    `db:"is_global"`
	IsActive        bool    `db:"is_active"`
}

const configColumns = `
	c.id, ` + calendar + `c.created_at)) AS created_at,
	` + calendar + `c.updated_at)) AS updated_at,
	c.organization_id, c.team_id, c.name, c.description,
	lower(c.config_type::text COLLATE "C") AS config_type, lower(c.status::text COLLATE "C") AS status, c.priority, c.name_pattern,
	c.severity_pattern, c.team_pattern, CASE WHEN json_typeof(c.config_json) <> 'null' THEN c.config_json::text END AS config_json,
	c.tags::text AS tags,
	c.is_global, c.is_active, c.version `

const configsSQL = `SELECT` + configColumns + `FROM public.configs c `

const configsByIDSQL = configsSQL + `WHERE c.id = ANY($1::uuid[])`

// Config returns the config with the ID, or [postgres.ErrNotFound].
func (s *Store) Config(ctx context.Context, id string) (Config, error) {
	return s.configs.Get(ctx, id)
}

// ConfigByName returns the config with the name of a team, or of the organization itself when teamID is nil, or
// [postgres.ErrNotFound].
func (s *Store) ConfigByName(ctx context.Context, organizationID string, teamID *string, name string) (Config, error) {
	return onlyOne(postgres.Query[Config](ctx, s.db, configsSQL+`
		WHERE c.organization_id = $1 AND c.team_id IS NOT DISTINCT FROM $2::uuid AND c.name = $3`, organizationID, teamID, name))
}

// ConfigByKey returns the config by its name and the slugs of its organization and team, or [postgres.ErrNotFound]. An
// empty team slug means a config of the organization itself.
func (s *Store) ConfigByKey(ctx context.Context, organizationSlug, teamSlug, name string) (Config, error) {
	return onlyOne(postgres.Query[Config](ctx, s.db, configsSQL+`
		JOIN public.organizations o ON o.id = c.organization_id LEFT JOIN public.teams t ON t.id = c.team_id
		WHERE o.slug = $1 AND coalesce(t.slug, '') = $2 AND c.name = $3`, organizationSlug, teamSlug, name))
}

const createConfigSQL = `
	INSERT INTO public.configs AS c (id, organization_id, org_id, team_id, name, description, config_type, status, priority,
		name_pattern, severity_pattern, team_pattern, config_json, tags, is_global, is_active, version)
	SELECT @id::uuid, o.id, o.id, @team_id::uuid, @name::text, @description::text,
		upper(@config_type::text COLLATE "C")::public.configtype, upper(@status::text COLLATE "C")::public.configstatus,
		@priority::int, @name_pattern::text, @severity_pattern::text,
		@team_pattern::text, @config_json::text::json, to_json(@tags::text[]), @is_global::boolean, @is_active::boolean, 1
	FROM public.organizations o
	WHERE o.id = @organization_id AND NOT EXISTS (
		SELECT FROM public.configs WHERE organization_id = o.id AND team_id IS NOT DISTINCT FROM @team_id::uuid AND name = @name)
	RETURNING` + configColumns

// CreateConfig inserts a config with version 1; its ID and times are the database's. A taken name is a
// [*DuplicateError], a team of another organization an [*OrganizationError].
func (s *Store) CreateConfig(ctx context.Context, c Config) (Config, error) {
	return patient(ctx, s, "config", "", func(alone bool) (Config, error) { return s.createConfig(ctx, c, alone) })
}

func (s *Store) createConfig(ctx context.Context, c Config, alone bool) (Config, error) {
	created, err := s.configs.insert(ctx, alone, c, createConfigSQL, lockOrganization(c.OrganizationID))
	return created, s.configError(ctx, c, err)
}

// A name that was used twice before is no hindrance as long as it is kept.
const updateConfigSQL = `
	UPDATE public.configs c SET
		team_id = CASE WHEN 'team_id' = ANY(@changes::text[]) THEN @team_id::uuid ELSE c.team_id END,
		name = CASE WHEN 'name' = ANY(@changes::text[]) THEN @name ELSE c.name END,
		description = CASE WHEN 'description' = ANY(@changes::text[]) THEN @description ELSE c.description END,
		config_type = CASE WHEN 'config_type' = ANY(@changes::text[])
			THEN upper(@config_type::text COLLATE "C")::public.configtype ELSE c.config_type::text::public.configtype END,
		status = CASE WHEN 'status' = ANY(@changes::text[])
			THEN upper(@status::text COLLATE "C")::public.configstatus ELSE c.status::text::public.configstatus END,
		priority = CASE WHEN 'priority' = ANY(@changes::text[]) THEN @priority ELSE c.priority END,
		name_pattern = CASE WHEN 'name_pattern' = ANY(@changes::text[]) THEN @name_pattern ELSE c.name_pattern END,
		severity_pattern = CASE WHEN 'severity_pattern' = ANY(@changes::text[]) THEN @severity_pattern ELSE c.severity_pattern END,
		team_pattern = CASE WHEN 'team_pattern' = ANY(@changes::text[]) THEN @team_pattern ELSE c.team_pattern END,
		config_json = CASE WHEN 'config_json' = ANY(@changes::text[]) THEN @config_json::text::json ELSE c.config_json END,
		tags = CASE WHEN 'tags' = ANY(@changes::text[]) THEN to_json(@tags::text[]) ELSE c.tags END,
		is_global = CASE WHEN 'is_global' = ANY(@changes::text[]) THEN @is_global ELSE c.is_global END,
		is_active = CASE WHEN 'is_active' = ANY(@changes::text[]) THEN @is_active ELSE c.is_active END,
		version = c.version + 1
	WHERE c.organization_id = @organization_id AND c.id = @id
		AND ` + calendar + `c.updated_at)) = @updated_at AND (
		NOT @changes::text[] && '{team_id,name}' OR NOT EXISTS (
			SELECT FROM public.configs
			WHERE organization_id = c.organization_id AND team_id IS NOT DISTINCT FROM @team_id::uuid AND name = @name))
	RETURNING` + configColumns

// UpdateConfig changes a config from before to after and raises its version by one. It returns a [*ConflictError] when
// it no longer is what before says, and otherwise the same errors as [Store.CreateConfig].
func (s *Store) UpdateConfig(ctx context.Context, before, after Config) (Config, error) {
	return patient(ctx, s, "config", before.ID, func(bool) (Config, error) { return s.updateConfig(ctx, before, after) })
}

func (s *Store) updateConfig(ctx context.Context, before, after Config) (Config, error) {
	if err := s.RefuseOrganizationChange(ctx, "config", before.Name, before.OrganizationID, after.OrganizationID); err != nil {
		return Config{}, err
	}
	updated, err := s.configs.update(ctx, before, after, updateConfigSQL, lockOrganization(before.OrganizationID))
	return updated, s.configError(ctx, after, err)
}

const configKeySQL = `
	SELECT c.id, o.slug AS organization, coalesce(t.slug, '') AS team
	FROM public.configs c JOIN public.organizations o ON o.id = c.organization_id LEFT JOIN public.teams t ON t.id = c.team_id
	WHERE c.organization_id = $1 AND c.team_id IS NOT DISTINCT FROM $2::uuid AND c.name = $3 LIMIT 1`

func (s *Store) configError(ctx context.Context, c Config, err error) error {
	if !errors.Is(err, errHeldBack) {
		if c.TeamID == nil {
			return err
		}
		return s.teamReferenceError(ctx, "config", *c.TeamID, c.OrganizationID, err)
	}
	existing, err := postgres.QueryOne[struct{ ID, Organization, Team string }](ctx, s.db, configKeySQL, c.OrganizationID, c.TeamID, c.Name)
	if errors.Is(err, postgres.ErrNotFound) {
		if _, err := s.Organization(ctx, c.OrganizationID); errors.Is(err, postgres.ErrNotFound) {
			return missingError("organization_id", "organization", c.OrganizationID)
		}
	}
	if errors.Is(err, postgres.ErrNotFound) || err == nil && existing.ID == c.ID {
		return errHeldBack
	}
	if err != nil {
		return err
	}
	scope := fmt.Sprintf("in organization %q", existing.Organization)
	if existing.Team != "" {
		scope = fmt.Sprintf("in team %q of organization %q", existing.Team, existing.Organization)
	}
	return duplicateError("config", "name", c.Name, scope,
		Existing{ID: existing.ID, Key: existing.Organization + "/" + existing.Team + "/" + c.Name})
}

const deleteConfigSQL = `DELETE FROM public.configs WHERE id = $1 RETURNING id`

// DeleteConfig deletes a config. Deleting what is gone already is no error.
func (s *Store) DeleteConfig(ctx context.Context, id string) error {
	return orHeldBack(s.configs.remove(ctx, id, deleteConfigSQL))
}
