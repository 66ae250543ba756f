package tenancy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Organization is a tenant.
type Organization struct {
	Row
	Name            string  `db:"name"`
	Slug            string  `db:"slug"`
	Description     *string `db:"description"`
	IsActive        bool    `db:"is_active"`
	Settings        *JSON   `db:"settings"`
	MaxTeams        int32   `db:"max_teams"`
	MaxUsersPerTeam int32   `db:"max_users_per_team"`
	// ForceDestroy lets the organization and its teams be deleted together with everything that belongs to them.
	ForceDestroy bool `db:"force_destroy"`
}

const organizationColumns = `
	o.id, ` + calendar + `o.created_at)) AS created_at,
	` + calendar + `o.updated_at)) AS updated_at,
	o.name, o.slug, o.description, o.is_active,
	CASE WHEN json_typeof(o.settings) <> 'null' THEN o.settings::text END AS settings, o.max_teams, o.max_users_per_team,
	coalesce(x.force_destroy, false) AS force_destroy `

const organizationsSQL = `SELECT` + organizationColumns + `
	FROM public.organizations o LEFT JOIN brownie.organization_options x ON x.organization_id = o.id `

const organizationsByIDSQL = organizationsSQL + `WHERE o.id = ANY($1::uuid[])`

// Organization returns the organization with the ID, or [postgres.ErrNotFound].
func (s *Store) Organization(ctx context.Context, id string) (Organization, error) {
	return s.organizations.Get(ctx, id)
}

// OrganizationBySlug returns the organization with the slug, or [postgres.ErrNotFound].
func (s *Store) OrganizationBySlug(ctx context.Context, slug string) (Organization, error) {
	return postgres.QueryOne[Organization](ctx, s.db, organizationsSQL+`WHERE o.slug = $1`, slug)
}

// OrganizationFilter selects organizations; nil means all.
type OrganizationFilter struct {
	IsActive *bool
}

// Organizations returns the organizations that pass the filter, ordered by slug.
func (s *Store) Organizations(ctx context.Context, filter OrganizationFilter) ([]Organization, error) {
	return postgres.Query[Organization](ctx, s.db, organizationsSQL+`
		WHERE ($1::boolean IS NULL OR o.is_active = $1) ORDER BY o.slug`, filter.IsActive)
}

const createOrganizationSQL = `
	WITH o AS (
		INSERT INTO public.organizations (id, name, slug, description, is_active, settings, max_teams, max_users_per_team)
		VALUES (@id, @name, @slug, @description, @is_active, @settings::text::json, @max_teams, @max_users_per_team) RETURNING *
	), x AS (
		INSERT INTO brownie.organization_options (organization_id, force_destroy) SELECT id, @force_destroy FROM o RETURNING *
	)
	SELECT` + organizationColumns + `FROM o JOIN x ON x.organization_id = o.id`

// CreateOrganization inserts an organization; its ID and times are the database's. A taken name or slug is a
// [*DuplicateError].
func (s *Store) CreateOrganization(ctx context.Context, o Organization) (Organization, error) {
	return patient(ctx, s, "organization", "", func(alone bool) (Organization, error) { return s.createOrganization(ctx, o, alone) })
}

func (s *Store) createOrganization(ctx context.Context, o Organization, alone bool) (Organization, error) {
	created, err := s.organizations.insert(ctx, alone, o, createOrganizationSQL)
	return created, s.organizationError(ctx, o, err)
}

const updateOrganizationSQL = `
	WITH o AS (
		UPDATE public.organizations o SET
			name = CASE WHEN 'name' = ANY(@changes::text[]) THEN @name ELSE o.name END,
			slug = CASE WHEN 'slug' = ANY(@changes::text[]) THEN @slug ELSE o.slug END,
			description = CASE WHEN 'description' = ANY(@changes::text[]) THEN @description ELSE o.description END,
			is_active = CASE WHEN 'is_active' = ANY(@changes::text[]) THEN @is_active ELSE o.is_active END,
			settings = CASE WHEN 'settings' = ANY(@changes::text[]) THEN @settings::text::json ELSE o.settings END,
			max_teams = CASE WHEN 'max_teams' = ANY(@changes::text[]) THEN @max_teams ELSE o.max_teams END,
			max_users_per_team = CASE WHEN 'max_users_per_team' = ANY(@changes::text[])
				THEN @max_users_per_team ELSE o.max_users_per_team END
		WHERE id = @id AND ` + calendar + `updated_at)) = @updated_at RETURNING *
	), x AS (
		INSERT INTO brownie.organization_options AS x (organization_id, force_destroy) SELECT id, @force_destroy FROM o
		ON CONFLICT (organization_id) DO UPDATE SET force_destroy = EXCLUDED.force_destroy RETURNING *
	)
	SELECT` + organizationColumns + `FROM o JOIN x ON x.organization_id = o.id`

// UpdateOrganization changes an organization from before to after. It returns a [*ConflictError] when it no longer is
// what before says, and a [*DuplicateError] when the new name or slug is taken.
func (s *Store) UpdateOrganization(ctx context.Context, before, after Organization) (Organization, error) {
	return patient(ctx, s, "organization", before.ID, func(bool) (Organization, error) { return s.updateOrganization(ctx, before, after) })
}

func (s *Store) updateOrganization(ctx context.Context, before, after Organization) (Organization, error) {
	updated, err := s.organizations.update(ctx, before, after, updateOrganizationSQL)
	return updated, s.organizationError(ctx, after, err)
}

// organizationError words the violation of a constraint.
func (s *Store) organizationError(ctx context.Context, o Organization, err error) error {
	constraint, _ := postgres.Constraint(err)
	var attribute, value string
	switch constraint {
	case "organizations_name_key":
		attribute, value = "name", o.Name
	case "organizations_slug_key":
		attribute, value = "slug", o.Slug
	default:
		return err
	}
	existing, readErr := postgres.QueryOne[Organization](ctx, s.db, organizationsSQL+`
		WHERE ($1 = 'name' AND o.name = $2) OR ($1 = 'slug' AND o.slug = $2)`, attribute, value)
	if readErr != nil {
		return err
	}
	return duplicateError("organization", attribute, value, "", Existing{ID: existing.ID, Key: existing.Slug})
}

// The row lock makes concurrent inserts of what belongs to the organization wait, since their foreign keys lock it too.
const lockOrganizationForDeleteSQL = `SELECT FROM public.organizations WHERE id = $1 FOR UPDATE`

const deleteOrganizationSQL = `
	DELETE FROM public.organizations o
	WHERE o.id = $1 AND (
		EXISTS (SELECT FROM brownie.organization_options x WHERE x.organization_id = o.id AND x.force_destroy)
		OR NOT (
			EXISTS (SELECT FROM public.teams WHERE organization_id = o.id)
			OR EXISTS (SELECT FROM public.users WHERE organization_id = o.id AND deleted_at IS NULL)
			OR EXISTS (SELECT FROM public.incidents WHERE organization_id = o.id)
			OR EXISTS (SELECT FROM public.agent_configs WHERE organization_id = o.id)
			OR EXISTS (SELECT FROM public.configs WHERE organization_id = o.id)
			OR EXISTS (SELECT FROM public.stats WHERE organization_id = o.id)
			OR EXISTS (SELECT FROM brownie.role_bindings WHERE organization_id = o.id)))
	RETURNING o.id`

// Many rows, in whichever of the tables, are found without counting all.
const muchOfOrganizationSQL = `
	SELECT FROM unnest($1::uuid[]) AS o (id), LATERAL (SELECT FROM (
		SELECT FROM public.teams WHERE organization_id = o.id
		UNION ALL SELECT FROM public.users WHERE organization_id = o.id
		UNION ALL SELECT FROM public.incidents WHERE organization_id = o.id
		UNION ALL SELECT FROM public.agent_configs WHERE organization_id = o.id
		UNION ALL SELECT FROM public.configs WHERE organization_id = o.id
		UNION ALL SELECT FROM public.stats WHERE organization_id = o.id) AS beneath OFFSET 100 LIMIT 1) AS much`

// DeleteOrganization deletes an organization. Unless its ForceDestroy is set, it returns a [*NotEmptyError] and deletes
// nothing when anything belongs to it. Deleting what is gone already is no error.
func (s *Store) DeleteOrganization(ctx context.Context, id string) error {
	removed, err := s.organizations.remove(ctx, id, deleteOrganizationSQL, lockOrganizationForDeleteSQL)
	if err != nil || removed {
		return err
	}
	organization, err := s.Organization(ctx, id)
	if errors.Is(err, postgres.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	usage, err := s.OrganizationUsage(ctx, id)
	if err != nil {
		return err
	}
	if usage == (Usage{}) {
		return errHeldBack
	}
	return notEmptyError("organization", organization.Slug, usage)
}

// RefuseOrganizationChange returns an [*OrganizationError] that names both organizations when an object (a noun such as
// "team" and its name) would be given to another one.
func (s *Store) RefuseOrganizationChange(ctx context.Context, noun, name, from, to string) error {
	if from == to {
		return nil
	}
	return &OrganizationError{problem.New(
		fmt.Sprintf("%s %q belongs to organization %s and cannot be given to organization %s",
			noun, name, s.organizationName(ctx, from), s.organizationName(ctx, to)),
		fmt.Sprintf("Keep organization_id; to start anew there, destroy the %s first (terraform destroy -target=…)", noun),
	).On("organization_id")}
}

func (s *Store) organizationName(ctx context.Context, id string) string {
	organization, err := s.Organization(ctx, id)
	if err != nil {
		return id // good enough for an error text, which must not be replaced by another error
	}
	return fmt.Sprintf("%q (id %s)", organization.Slug, id)
}

// Usage counts what belongs to an organization or a team. Deleted users do not count.
type Usage struct {
	Teams        int64 `db:"teams"`
	Users        int64 `db:"users"`
	Incidents    int64 `db:"incidents"`
	AgentConfigs int64 `db:"agent_configs"`
	Configs      int64 `db:"configs"`
	Stats        int64 `db:"stats"`
	Roles        int64 `db:"roles"` // that are bound to the organization
}

type count struct {
	n    int64
	noun string
}

func (u Usage) counts() []count {
	return []count{
		{u.Teams, "team"},
		{u.Users, "user"},
		{u.Incidents, "incident"},
		{u.AgentConfigs, "agent config"},
		{u.Configs, "config"},
		{u.Stats, "statistic"},
		{u.Roles, "role"},
	}
}

// String lists what there is, such as "1 team, 3 incidents".
func (u Usage) String() string { return list(u.counts()) }

func list(counts []count) string {
	var parts []string
	for _, count := range counts {
		switch {
		case count.n == 1:
			parts = append(parts, "1 "+count.noun)
		case count.n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", count.n, count.noun))
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

const organizationUsageSQL = `
	SELECT
		(SELECT count(*) FROM public.teams WHERE organization_id = o.id) AS teams,
		(SELECT count(*) FROM public.users WHERE organization_id = o.id AND deleted_at IS NULL) AS users,
		(SELECT count(*) FROM public.incidents WHERE organization_id = o.id) AS incidents,
		(SELECT count(*) FROM public.agent_configs WHERE organization_id = o.id) AS agent_configs,
		(SELECT count(*) FROM public.configs WHERE organization_id = o.id) AS configs,
		(SELECT count(*) FROM public.stats WHERE organization_id = o.id) AS stats,
		(SELECT count(*) FROM brownie.role_bindings WHERE organization_id = o.id) AS roles
	FROM public.organizations o WHERE o.id = $1`

// OrganizationUsage counts what belongs to an organization, or returns [postgres.ErrNotFound].
func (s *Store) OrganizationUsage(ctx context.Context, id string) (Usage, error) {
	return postgres.QueryOne[Usage](ctx, s.db, organizationUsageSQL, id)
}
