package tenancy

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/patience"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Wish is what a row is to have that not every row can: names that are unique, a place in an organization or a team. What is nil is
// not wished for.
type Wish struct {
	Kind           string  `json:"kind"` // a noun: "agent config"
	ID             *string `json:"id"`   // of the row; nil for a new one
	OrganizationID *string `json:"organization_id"`
	TeamID         *string `json:"team_id"`
	Name           *string `json:"name"`
	Slug           *string `json:"slug"`
	Email          *string `json:"email"`
	Username       *string `json:"username"`
	OIDCSubject    *string `json:"oidc_subject"`
}

// Fact is what stands in the way of a wish, or may: of the attributes organization_id and team_id, who else has a place there.
type Fact struct {
	N              int        `db:"n"`
	Attribute      string     `db:"attribute"`
	Value          string     `db:"value"`
	ID             string     `db:"id"` // of the row that has the value, or of the place
	OrganizationID string     `db:"organization_id"`
	Organization   string     `db:"organization"` // slug
	Team           *string    `db:"team"`         // slug, for what belongs to one
	DeletedAt      *time.Time `db:"deleted_at"`
	Count          int64      `db:"count"`
	Max            int32      `db:"max"`
}

const factsSQL = `
	WITH w AS MATERIALIZED (
		SELECT * FROM pg_catalog.json_to_recordset($1::text::json) AS w (n int, kind text, id uuid, organization_id uuid, team_id uuid,
			name text, slug text, email text, username text, oidc_subject text)
	), found AS (
		SELECT w.n, 'name' AS attribute, w.name AS value, o.id, o.id AS organization_id, NULL::uuid AS team_id,
			NULL::timestamptz AS deleted_at, 0 AS count
		FROM w JOIN public.organizations o ON o.name = w.name WHERE w.kind = 'organization' AND o.id IS DISTINCT FROM w.id
		UNION ALL
		SELECT w.n, 'slug', w.slug, o.id, o.id, NULL, NULL, 0
		FROM w JOIN public.organizations o ON o.slug = w.slug WHERE w.kind = 'organization' AND o.id IS DISTINCT FROM w.id
		UNION ALL
		SELECT w.n, 'slug', w.slug, t.id, t.organization_id, NULL, NULL, 0
		FROM w JOIN public.teams t ON t.organization_id = w.organization_id AND t.slug = w.slug
		WHERE w.kind = 'team' AND t.id IS DISTINCT FROM w.id
		UNION ALL
		SELECT w.n, 'email', w.email, u.id, u.organization_id, u.team_id, u.deleted_at, 0
		FROM w JOIN public.users u ON u.email = w.email
		WHERE w.kind = 'user' AND u.id IS DISTINCT FROM w.id
			AND NOT (u.deleted_at IS NOT NULL AND w.id IS NULL AND u.organization_id = w.organization_id) -- is revived
		UNION ALL
		SELECT w.n, 'username', w.username, u.id, u.organization_id, u.team_id, u.deleted_at, 0
		FROM w JOIN public.users u ON u.username = w.username
		WHERE w.kind = 'user' AND u.id IS DISTINCT FROM w.id
			AND NOT (u.deleted_at IS NOT NULL AND w.id IS NULL AND u.organization_id = w.organization_id AND u.email = w.email)
		UNION ALL
		SELECT w.n, 'oidc_subject', w.oidc_subject, u.id, u.organization_id, u.team_id, u.deleted_at, 0
		FROM w JOIN public.users u ON u.oidc_subject = w.oidc_subject
		WHERE w.kind = 'user' AND u.id IS DISTINCT FROM w.id
			AND NOT (u.deleted_at IS NOT NULL AND w.id IS NULL AND u.organization_id = w.organization_id AND u.email = w.email)
		UNION ALL
		SELECT w.n, 'name', w.name, a.id, a.organization_id, a.team_id, NULL, 0
		FROM w JOIN public.agent_configs a ON a.organization_id = w.organization_id AND a.team_id = w.team_id AND a.name = w.name
		WHERE w.kind = 'agent config' AND a.id IS DISTINCT FROM w.id
		UNION ALL
		SELECT w.n, 'name', w.name, c.id, c.organization_id, c.team_id, NULL, 0
		FROM w JOIN public.configs c ON c.organization_id = w.organization_id AND c.name = w.name
		WHERE w.kind = 'config' AND c.team_id IS NOT DISTINCT FROM w.team_id AND c.id IS DISTINCT FROM w.id
		UNION ALL
		SELECT w.n, 'organization_id', o.id::text, o.id, o.id, NULL, NULL,
			(SELECT count(*) FROM public.teams WHERE organization_id = o.id)
		FROM w JOIN public.organizations o ON o.id = w.organization_id WHERE w.kind = 'team' AND w.id IS NULL
		UNION ALL
		SELECT w.n, 'team_id', t.id::text, t.id, t.organization_id, t.id, NULL, CASE WHEN w.kind = 'user' THEN (
			SELECT count(*) FROM public.users
			WHERE organization_id = t.organization_id AND team_id = t.id AND deleted_at IS NULL AND id IS DISTINCT FROM w.id) ELSE 0 END
		FROM w JOIN public.teams t ON t.id = w.team_id
	)
	SELECT f.n, f.attribute, f.value, f.id, f.organization_id, o.slug AS organization, t.slug AS team,
		CASE WHEN f.deleted_at IS NOT NULL THEN ` + calendar + `f.deleted_at)) END AS deleted_at, f.count,
		CASE f.attribute WHEN 'team_id' THEN o.max_users_per_team ELSE o.max_teams END AS max
	FROM found f JOIN public.organizations o ON o.id = f.organization_id LEFT JOIN public.teams t ON t.id = f.team_id`

// Facts returns what stands in the way of wishes, each written as JSON, by the wish.
func (s *Store) Facts(ctx context.Context, wishes []string) (map[string][]Fact, error) {
	type numbered struct {
		N int `json:"n"`
		Wish
	}
	facts := make(map[string][]Fact, len(wishes))
	list := make([]numbered, len(wishes))
	for i, wish := range wishes {
		facts[wish], list[i].N = nil, i
		if err := json.Unmarshal([]byte(wish), &list[i].Wish); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	rows, err := postgres.Query[Fact](ctx, s.db, factsSQL, string(text))
	for _, row := range rows {
		facts[wishes[row.N]] = append(facts[wishes[row.N]], row)
	}
	return facts, err
}

// Taken says that another row has the value.
func (f Fact) Taken(kind string) *DuplicateError {
	scope := ""
	switch {
	case kind == "team", kind == "config" && f.Team == nil:
		scope = fmt.Sprintf("in organization %q", f.Organization)
	case kind == "agent config", kind == "config":
		scope = fmt.Sprintf("in team %q of organization %q", *f.Team, f.Organization)
	}
	return duplicateError(kind, f.Attribute, f.Value, scope, Existing{ID: f.ID, DeletedAt: f.DeletedAt, Organization: f.Organization})
}

// MayBeTaken says that another row has the value, of which nobody can tell whether it keeps it.
func (f Fact) MayBeTaken(kind string) error { return problem.MayBeFreed(kind, f.Taken(kind)) }

// Swapped says that the row which has the value is to get the one that is given up for it.
func (f Fact) Swapped(kind string) error { return patience.Swap(kind, f.Taken(kind).obstacle()) }

// Full says that there would be more of a kind than a limit of the place allows.
func (f Fact) Full(maximum int32, count int64) *LimitError {
	if f.Attribute == "team_id" {
		return limitError("team_id", fmt.Sprintf("team %q of organization %q", *f.Team, f.Organization), "users", "max_users_per_team",
			maximum, count)
	}
	return limitError("organization_id", fmt.Sprintf("organization %q", f.Organization), "teams", "max_teams", maximum, count)
}

// MayBeFull says it where nobody can tell whether others leave.
func (f Fact) MayBeFull(maximum int32, count int64) error {
	full := f.Full(maximum, count)
	return problem.New(full.Text()+", and Terraform has not told yet whether this plan makes room", full.Remedy()).On(full.Attribute())
}
