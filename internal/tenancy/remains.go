package tenancy

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Going are the objects that somebody means to delete, or to move elsewhere: IDs, and names of roles.
type Going struct {
	Teams, Users, AgentConfigs, Configs, Roles []string
	Made                                       bool // whatever Terraform has created, too
}

// Remains is what would be deleted with an organization or a team although nobody means to.
type Remains struct {
	Usage
	ID           string  `db:"id"`
	Organization string  `db:"organization"` // its slug
	Team         *string `db:"team"`         // that of a team
	Sessions     int64   `db:"sessions"`     // of roles that are not going: those of others end with their role
	Forced       bool    `db:"forced"`       // the organization has force_destroy
}

// counts adds the sessions.
func (r Remains) counts() []count { return append(r.Usage.counts(), count{r.Sessions, "open session"}) }

// Unmanaged is of it what Terraform never manages.
func (r Remains) Unmanaged() Remains {
	r.Usage, r.Sessions = Usage{Incidents: r.Incidents, Stats: r.Stats}, 0
	return r
}

// IsNothing tells that nothing stands in the way.
func (r Remains) IsNothing() bool { return list(r.counts()) == list(nil) }

// The version in an ID tells who has made the row, as [newID] says; bindings are made by this provider alone.
const remainsOfOrganizationsSQL = `
	WITH sessions AS MATERIALIZED (
		SELECT b.organization_id, count(*) AS count
		FROM brownie.role_bindings b JOIN pg_catalog.pg_stat_activity a ON a.usename = b.role_name
		WHERE b.organization_id = ANY(@ids::uuid[]) AND b.role_name::text <> ALL(@going_roles::text[]) AND @made = '' GROUP BY 1
	)
	SELECT o.id, o.slug AS organization, NULL AS team, coalesce(x.force_destroy, false) AS forced,
		(SELECT count(*) FROM public.teams WHERE organization_id = o.id AND id <> ALL(@going_teams::uuid[])
			AND substr(id::text, 15, 1) <> @made) AS teams,
		(SELECT count(*) FROM public.users
			WHERE organization_id = o.id AND deleted_at IS NULL AND id <> ALL(@going_users::uuid[])
			AND substr(id::text, 15, 1) <> @made) AS users,
		(SELECT count(*) FROM public.incidents WHERE organization_id = o.id) AS incidents,
		(SELECT count(*) FROM public.agent_configs
			WHERE organization_id = o.id AND id <> ALL(@going_agent_configs::uuid[])
			AND substr(id::text, 15, 1) <> @made) AS agent_configs,
		(SELECT count(*) FROM public.configs WHERE organization_id = o.id AND id <> ALL(@going_configs::uuid[])
			AND substr(id::text, 15, 1) <> @made) AS configs,
		(SELECT count(*) FROM public.stats WHERE organization_id = o.id) AS stats,
		(SELECT count(*) FROM brownie.role_bindings
			WHERE organization_id = o.id AND role_name::text <> ALL(@going_roles::text[]) AND @made = '') AS roles,
		coalesce((SELECT count FROM sessions s WHERE s.organization_id = o.id), 0) AS sessions
	FROM public.organizations o LEFT JOIN brownie.organization_options x ON x.organization_id = o.id
	WHERE o.id = ANY(@ids::uuid[])`

// RemainsOfOrganizations counts, for each of the organizations that exists, what is not going.
func (s *Store) RemainsOfOrganizations(ctx context.Context, ids []string, going Going) (map[string]Remains, error) {
	return s.remains(ctx, remainsOfOrganizationsSQL, ids, going)
}

const remainsOfTeamsSQL = `
	SELECT t.id, o.slug AS organization, t.slug AS team, coalesce(x.force_destroy, false) AS forced, 0 AS teams,
		(SELECT count(*) FROM public.users WHERE organization_id = t.organization_id AND team_id = t.id AND deleted_at IS NULL
			AND id <> ALL(@going_users::uuid[])
			AND substr(id::text, 15, 1) <> @made) AS users,
		(SELECT count(*) FROM public.incidents WHERE organization_id = t.organization_id AND team_id = t.id) AS incidents,
		(SELECT count(*) FROM public.agent_configs WHERE organization_id = t.organization_id AND team_id = t.id
			AND id <> ALL(@going_agent_configs::uuid[])
			AND substr(id::text, 15, 1) <> @made) AS agent_configs,
		(SELECT count(*) FROM public.configs WHERE organization_id = t.organization_id AND team_id = t.id
			AND id <> ALL(@going_configs::uuid[])
			AND substr(id::text, 15, 1) <> @made) AS configs,
		(SELECT count(*) FROM public.stats WHERE organization_id = t.organization_id AND team_id = t.id) AS stats,
		0 AS roles, 0 AS sessions
	FROM public.teams t JOIN public.organizations o ON o.id = t.organization_id
		LEFT JOIN brownie.organization_options x ON x.organization_id = o.id
	WHERE t.id = ANY(@ids::uuid[])`

// RemainsOfTeams counts, for each of the teams that exists, what is not going.
func (s *Store) RemainsOfTeams(ctx context.Context, ids []string, going Going) (map[string]Remains, error) {
	return s.remains(ctx, remainsOfTeamsSQL, ids, going)
}

func (s *Store) remains(ctx context.Context, query string, ids []string, going Going) (map[string]Remains, error) {
	args := pgx.NamedArgs{ // not strict: a team has no use for all of them
		"ids": ids, "going_teams": orEmpty(going.Teams), "going_users": orEmpty(going.Users),
		"going_agent_configs": orEmpty(going.AgentConfigs), "going_configs": orEmpty(going.Configs), "going_roles": orEmpty(going.Roles),
		"made": "",
	}
	if going.Made {
		args["made"] = madeVersion
	}
	rows, err := postgres.Query[Remains](ctx, s.db, query, args)
	byID := make(map[string]Remains, len(rows))
	for _, row := range rows {
		byID[row.ID] = row
	}
	return byID, err
}

// orEmpty is an array without elements for nil, which would be NULL.
func orEmpty(ids []string) []string { return append([]string{}, ids...) }

// Refusal says what would be deleted although nobody means to.
func (r Remains) Refusal() *NotEmptyError {
	return &NotEmptyError{problem.New(
		fmt.Sprintf("%s still has %s, which Terraform does not destroy here, and which would be deleted with it. Nothing was changed",
			r.where(), list(r.counts())),
		"Remove them first, or set force_destroy = true on the organization and apply that before destroying. Of what Terraform "+
			"manages, it is certain only then what goes first, when it refers to the organization and team by their resources instead "+
			"of by literal ids"), r.Usage}
}

// Doubt says what is deleted, or stands in the way, unless somebody means to delete it. Of a forced destroy it says which the numbers
// are: those of [Going.Made], or all that the plan does not list.
func (r Remains) Doubt(made bool) error {
	if r.Forced {
		which := "which this plan does not list"
		if made {
			which = "which Terraform has not created (what it has imported counts)"
		}
		return problem.New(fmt.Sprintf("%s has %s, %s, and force_destroy deletes them with it", r.where(), list(r.counts()), which),
			"Read the numbers before you apply: nothing brings them back")
	}
	return problem.New(fmt.Sprintf("%s still has %s, and Terraform has not told yet which of them this plan destroys",
		r.where(), list(r.counts())),
		"What Terraform has created does not count here. Compare the numbers with the plan before you apply: if it destroys fewer of "+
			"the others, the apply destroys what it can and then fails. Remove them first, or set force_destroy = true on the "+
			"organization and apply that before")
}

func (r Remains) where() string {
	where := fmt.Sprintf("organization %q", r.Organization)
	if r.Team != nil {
		where = fmt.Sprintf("team %q of %s", *r.Team, where)
	}
	return where
}
