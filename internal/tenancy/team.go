package tenancy

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Team is a team of an organization.
type Team struct {
	Row
	OrganizationID string  `db:"organization_id"`
	Name           string  `db:"name"`
	Slug           string  `db:"slug"`
	Description    *string `db:"description"`
	IsActive       bool    `db:"is_active"`
	Permissions    *JSON   `db:"permissions"`
	Settings       *JSON   `db:"settings"`
}

const teamColumns = `
	t.id, ` + calendar + `t.created_at)) AS created_at,
	` + calendar + `t.updated_at)) AS updated_at,
	t.organization_id, t.name, t.slug, t.description, t.is_active,
	CASE WHEN json_typeof(t.permissions) <> 'null' THEN t.permissions::text END AS permissions,
	CASE WHEN json_typeof(t.settings) <> 'null' THEN t.settings::text END AS settings `

const teamsSQL = `SELECT` + teamColumns + `FROM public.teams t `

const teamsByIDSQL = teamsSQL + `WHERE t.id = ANY($1::uuid[])`

// Team returns the team with the ID, or [postgres.ErrNotFound].
func (s *Store) Team(ctx context.Context, id string) (Team, error) {
	return s.teams.Get(ctx, id)
}

// TeamBySlug returns the team of an organization with the slug, or [postgres.ErrNotFound].
func (s *Store) TeamBySlug(ctx context.Context, organizationID, slug string) (Team, error) {
	return postgres.QueryOne[Team](ctx, s.db, teamsSQL+`WHERE t.organization_id = $1 AND t.slug = $2`, organizationID, slug)
}

// TeamByKey returns the team by its and its organization's slug, or [postgres.ErrNotFound].
func (s *Store) TeamByKey(ctx context.Context, organizationSlug, slug string) (Team, error) {
	return postgres.QueryOne[Team](ctx, s.db, teamsSQL+`
		JOIN public.organizations o ON o.id = t.organization_id WHERE o.slug = $1 AND t.slug = $2`, organizationSlug, slug)
}

// TeamFilter selects teams; nil means all.
type TeamFilter struct {
	OrganizationID *string `db:"organization_id"`
	IsActive       *bool   `db:"is_active"`
}

// Teams returns the teams that pass the filter, ordered by organization and slug.
func (s *Store) Teams(ctx context.Context, filter TeamFilter) ([]Team, error) {
	return postgres.Query[Team](ctx, s.db, teamsSQL+`
		WHERE (@organization_id::uuid IS NULL OR t.organization_id = @organization_id)
			AND (@is_active::boolean IS NULL OR t.is_active = @is_active)
		ORDER BY t.organization_id, t.slug`, pgx.StrictStructArgs(filter))
}

// This lock makes those who count against a limit of the organization, or look for a name in it, take turns. Foreign
// keys do not wait for it.
func lockOrganization(id string) postgres.Statement {
	return postgres.Statement{SQL: `SELECT FROM public.organizations WHERE id = $1 FOR NO KEY UPDATE`, Args: []any{id}}
}

// An existing slug passes the guard so that it is reported as the duplicate it is, also when the limit is reached.
const createTeamSQL = `
	INSERT INTO public.teams AS t (id, organization_id, org_id, name, slug, description, is_active, permissions, settings)
	SELECT @id::uuid, o.id, o.id, @name::text, @slug::text, @description::text, @is_active::boolean, @permissions::text::json,
		@settings::text::json
	FROM public.organizations o
	WHERE o.id = @organization_id AND (
		(SELECT count(*) FROM public.teams WHERE organization_id = o.id) < o.max_teams
		OR EXISTS (SELECT FROM public.teams WHERE organization_id = o.id AND slug = @slug))
	RETURNING` + teamColumns

// CreateTeam inserts a team; its ID and times are the database's. A taken slug is a [*DuplicateError], a full
// organization a [*LimitError].
func (s *Store) CreateTeam(ctx context.Context, t Team) (Team, error) {
	return patient(ctx, s, "team", "", func(alone bool) (Team, error) { return s.createTeam(ctx, t, alone) })
}

func (s *Store) createTeam(ctx context.Context, t Team, alone bool) (Team, error) {
	created, err := s.teams.insert(ctx, alone, t, createTeamSQL, lockOrganization(t.OrganizationID))
	if errors.Is(err, errHeldBack) {
		return created, s.teamLimitError(ctx, t.OrganizationID)
	}
	return created, s.teamError(ctx, t, err)
}

const updateTeamSQL = `
	UPDATE public.teams t SET
		name = CASE WHEN 'name' = ANY(@changes::text[]) THEN @name ELSE t.name END,
		slug = CASE WHEN 'slug' = ANY(@changes::text[]) THEN @slug ELSE t.slug END,
		description = CASE WHEN 'description' = ANY(@changes::text[]) THEN @description ELSE t.description END,
		is_active = CASE WHEN 'is_active' = ANY(@changes::text[]) THEN @is_active ELSE t.is_active END,
		permissions = CASE WHEN 'permissions' = ANY(@changes::text[]) THEN @permissions::text::json ELSE t.permissions END,
		settings = CASE WHEN 'settings' = ANY(@changes::text[]) THEN @settings::text::json ELSE t.settings END
	WHERE t.organization_id = @organization_id AND t.id = @id
		AND ` + calendar + `t.updated_at)) = @updated_at
	RETURNING` + teamColumns

// UpdateTeam changes a team from before to after. It returns a [*ConflictError] when it no longer is what before says,
// a [*DuplicateError] when the new slug is taken, and an [*OrganizationError] when the organization would change.
func (s *Store) UpdateTeam(ctx context.Context, before, after Team) (Team, error) {
	return patient(ctx, s, "team", before.ID, func(bool) (Team, error) { return s.updateTeam(ctx, before, after) })
}

func (s *Store) updateTeam(ctx context.Context, before, after Team) (Team, error) {
	if err := s.RefuseOrganizationChange(ctx, "team", before.Slug, before.OrganizationID, after.OrganizationID); err != nil {
		return Team{}, err
	}
	updated, err := s.teams.update(ctx, before, after, updateTeamSQL)
	return updated, s.teamError(ctx, after, err)
}

func (s *Store) teamError(ctx context.Context, t Team, err error) error {
	if constraint, _ := postgres.Constraint(err); constraint != "teams_organization_id_slug_key" {
		return err
	}
	existing, readErr := s.TeamBySlug(ctx, t.OrganizationID, t.Slug)
	if readErr != nil {
		return err
	}
	organization, readErr := s.Organization(ctx, t.OrganizationID)
	if readErr != nil {
		return err
	}
	return duplicateError("team", "slug", t.Slug, fmt.Sprintf("in organization %q", organization.Slug),
		Existing{ID: existing.ID, Key: organization.Slug + "/" + existing.Slug})
}

func (s *Store) teamLimitError(ctx context.Context, organizationID string) error {
	organization, err := s.Organization(ctx, organizationID)
	if errors.Is(err, postgres.ErrNotFound) {
		return missingError("organization_id", "organization", organizationID)
	}
	if err != nil {
		return err
	}
	usage, err := s.OrganizationUsage(ctx, organizationID)
	if err != nil {
		return err
	}
	if usage.Teams < int64(organization.MaxTeams) {
		return errHeldBack
	}
	return limitError("organization_id", fmt.Sprintf("organization %q", organization.Slug), "teams", "max_teams", organization.MaxTeams,
		usage.Teams)
}

const lockTeamForDeleteSQL = `SELECT FROM public.teams WHERE id = $1 FOR UPDATE`

const deleteTeamSQL = `
	DELETE FROM public.teams t
	WHERE t.id = $1 AND (
		EXISTS (SELECT FROM brownie.organization_options x WHERE x.organization_id = t.organization_id AND x.force_destroy)
		OR NOT (
			EXISTS (SELECT FROM public.users WHERE organization_id = t.organization_id AND team_id = t.id AND deleted_at IS NULL)
			OR EXISTS (SELECT FROM public.incidents WHERE organization_id = t.organization_id AND team_id = t.id)
			OR EXISTS (SELECT FROM public.agent_configs WHERE organization_id = t.organization_id AND team_id = t.id)
			OR EXISTS (SELECT FROM public.configs WHERE organization_id = t.organization_id AND team_id = t.id)
			OR EXISTS (SELECT FROM public.stats WHERE organization_id = t.organization_id AND team_id = t.id)))
	RETURNING t.id`

const muchOfTeamSQL = `
	SELECT FROM public.teams t, LATERAL (SELECT FROM (
		SELECT FROM public.users WHERE organization_id = t.organization_id AND team_id = t.id
		UNION ALL SELECT FROM public.incidents WHERE organization_id = t.organization_id AND team_id = t.id
		UNION ALL SELECT FROM public.agent_configs WHERE organization_id = t.organization_id AND team_id = t.id
		UNION ALL SELECT FROM public.configs WHERE organization_id = t.organization_id AND team_id = t.id
		UNION ALL SELECT FROM public.stats WHERE organization_id = t.organization_id AND team_id = t.id) AS beneath
		OFFSET 100 LIMIT 1) AS much
	WHERE t.id = ANY($1::uuid[])`

const teamUsageSQL = `
	SELECT 0 AS teams,
		(SELECT count(*) FROM public.users WHERE organization_id = t.organization_id AND team_id = t.id AND deleted_at IS NULL) AS users,
		(SELECT count(*) FROM public.incidents WHERE organization_id = t.organization_id AND team_id = t.id) AS incidents,
		(SELECT count(*) FROM public.agent_configs WHERE organization_id = t.organization_id AND team_id = t.id) AS agent_configs,
		(SELECT count(*) FROM public.configs WHERE organization_id = t.organization_id AND team_id = t.id) AS configs,
		(SELECT count(*) FROM public.stats WHERE organization_id = t.organization_id AND team_id = t.id) AS stats, 0 AS roles
	FROM public.teams t WHERE t.id = $1`

// DeleteTeam deletes a team. Unless the organization's ForceDestroy is set, it returns a [*NotEmptyError] and deletes
// nothing when anything belongs to it. Deleting what is gone already is no error.
func (s *Store) DeleteTeam(ctx context.Context, id string) error {
	removed, err := s.teams.remove(ctx, id, deleteTeamSQL, lockTeamForDeleteSQL)
	if err != nil || removed {
		return err
	}
	team, err := s.Team(ctx, id)
	if errors.Is(err, postgres.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	usage, err := postgres.QueryOne[Usage](ctx, s.db, teamUsageSQL, id)
	if err != nil {
		return err
	}
	if usage == (Usage{}) {
		return errHeldBack
	}
	return notEmptyError("team", team.Slug, usage)
}

const teamInOrganizationSQL = `
	SELECT t.slug AS team, home.slug AS home, other.slug AS other
	FROM public.teams t JOIN public.organizations home ON home.id = t.organization_id
		LEFT JOIN public.organizations other ON other.id = $2
	WHERE t.id = $1`

// CheckTeam returns an [*OrganizationError] naming both organizations when the team is not of the organization that
// the object (a noun such as "user") belongs to, and a problem when there is no such team or organization.
func (s *Store) CheckTeam(ctx context.Context, noun, teamID, organizationID string) error {
	found, err := postgres.QueryOne[struct {
		Team, Home string
		Other      *string
	}](ctx, s.db, teamInOrganizationSQL, teamID, organizationID)
	switch {
	case errors.Is(err, postgres.ErrNotFound):
		return missingError("team_id", "team", teamID)
	case err != nil:
		return err
	case found.Other == nil:
		return missingError("organization_id", "organization", organizationID)
	case found.Home == *found.Other:
		return nil
	}
	return &OrganizationError{problem.New(
		fmt.Sprintf("team %q (id %s) belongs to organization %q, but the %s to organization %q (id %s)",
			found.Team, teamID, found.Home, noun, *found.Other, organizationID),
		"Choose a team of the same organization").On("team_id")}
}

// teamReferenceError words the violation of a foreign key to the team or the organization.
func (s *Store) teamReferenceError(ctx context.Context, noun, teamID, organizationID string, err error) error {
	if _, code := postgres.Constraint(err); code != postgres.CodeForeignKeyViolation {
		return err
	}
	if wrong := s.CheckTeam(ctx, noun, teamID, organizationID); wrong != nil {
		return wrong
	}
	return err
}
