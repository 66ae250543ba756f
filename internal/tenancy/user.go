package tenancy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// User is a person of a team. A user whose deleted_at is set counts as gone everywhere.
type User struct {
	Row
	OrganizationID string  `db:"organization_id"`
	TeamID         string  `db:"team_id"`
	Email          string  `db:"email"`
	Username       string  `db:"username"`
	FullName       *string `db:"full_name"`
	Role           string  `db:"role"` // admin, member, viewer
	IsActive       bool    `db:"is_active"`
	IsVerified     bool    `db:"is_verified"`
	OIDCProvider   *string `db:"oidc_provider"`
	OIDCSubject    *string `db:"oidc_subject"`
	Preferences    *JSON   `db:"preferences"`
}

const userColumns = `
	u.id, u.created_at, u.updated_at, u.organization_id, u.team_id, u.email, u.username, u.full_name,
	lower(u.role::text) AS role, u.is_active, u.is_verified, u.oidc_provider, u.oidc_subject,
	nullif(u.preferences::text, 'null') AS preferences `

const usersSQL = `SELECT` + userColumns + `FROM public.users u WHERE u.deleted_at IS NULL `

const usersByIDSQL = usersSQL + `AND u.id = ANY($1::uuid[])`

// User returns the user with the ID, or [postgres.ErrNotFound].
func (s *Store) User(ctx context.Context, id string) (User, error) {
	return s.users.Get(ctx, id)
}

// UserByEmail returns the user with the e-mail address, or [postgres.ErrNotFound].
func (s *Store) UserByEmail(ctx context.Context, email string) (User, error) {
	return postgres.QueryOne[User](ctx, s.db, usersSQL+`AND u.email = $1`, email)
}

// UserFilter selects users; nil means all.
type UserFilter struct {
	OrganizationID *string
	TeamID         *string
	Role           *string
	IsActive       *bool
}

// Users returns the users that pass the filter, ordered by e-mail address.
func (s *Store) Users(ctx context.Context, filter UserFilter) ([]User, error) {
	return postgres.Query[User](ctx, s.db, usersSQL+`
		AND ($1::uuid IS NULL OR u.organization_id = $1) AND ($2::uuid IS NULL OR u.team_id = $2)
		AND ($3::text IS NULL OR lower(u.role::text) = $3) AND ($4::boolean IS NULL OR u.is_active = $4)
		ORDER BY u.email`, filter.OrganizationID, filter.TeamID, filter.Role, filter.IsActive)
}

// Those who count a team's users, or look for a name in it, take turns by this lock. Foreign keys do not wait for it.
const lockTeamSQL = `SELECT FROM public.teams WHERE id = $1 FOR NO KEY UPDATE`

// A deleted user of the same organization comes back to life with a new set of attributes. An e-mail address that is in
// use passes the guard of the limit, so that it is reported as the duplicate it is.
const createUserSQL = `
	WITH home AS (
		SELECT t.id AS team_id FROM public.teams t JOIN public.organizations o ON o.id = t.organization_id
		WHERE t.id = $3 AND (
			(SELECT count(*) FROM public.users WHERE organization_id = t.organization_id AND team_id = t.id AND deleted_at IS NULL) < o.max_users_per_team
			OR EXISTS (SELECT FROM public.users WHERE email = $4 AND deleted_at IS NULL))
	), revived AS (
		UPDATE public.users u SET team_id = home.team_id, username = $5::text, full_name = $6::text, role = upper($7::text)::public.userrole,
			is_active = $8::boolean, is_verified = $9::boolean, oidc_provider = $10::text, oidc_subject = $11::text,
			preferences = $12::text::json, deleted_at = NULL, deleted_by = NULL
		FROM home WHERE u.email = $4::text AND u.deleted_at IS NOT NULL AND u.organization_id = $2::uuid
		RETURNING` + userColumns + `
	), created AS (
		INSERT INTO public.users AS u (id, organization_id, org_id, team_id, email, username, full_name, role, is_active,
			is_verified, oidc_provider, oidc_subject, preferences)
		SELECT $1::uuid, $2::uuid, $2::uuid, home.team_id, $4::text, $5::text, $6::text, upper($7::text)::public.userrole, $8::boolean,
			$9::boolean, $10::text, $11::text, $12::text::json
		FROM home WHERE NOT EXISTS (
			SELECT FROM public.users WHERE email = $4 AND deleted_at IS NOT NULL AND organization_id = $2)
		RETURNING` + userColumns + `
	)
	SELECT * FROM revived UNION ALL SELECT * FROM created`

// CreateUser inserts a user, or revives the deleted one with the same e-mail address in the same organization. A taken
// e-mail address, username or OIDC subject is a [*DuplicateError], a full team a [*LimitError], a team of another
// organization an [*OrganizationError].
func (s *Store) CreateUser(ctx context.Context, u User) (User, error) {
	id := newID()
	created, err := insert(ctx, s.db,
		func(ctx context.Context) (User, error) { return s.User(ctx, id) },
		postgres.Statement{SQL: lockTeamSQL, Args: []any{u.TeamID}},
		postgres.Statement{SQL: createUserSQL, Args: []any{
			id, u.OrganizationID, u.TeamID, u.Email, u.Username, u.FullName, u.Role, u.IsActive, u.IsVerified,
			u.OIDCProvider, u.OIDCSubject, u.Preferences,
		}})
	if errors.Is(err, errHeldBack) {
		if err := s.userDuplicate(ctx, "email", u.Email); !errors.Is(err, postgres.ErrNotFound) {
			return created, err
		}
		return created, s.userLimitError(ctx, u)
	}
	return created, s.userError(ctx, u, err)
}

const updateUserSQL = `
	UPDATE public.users u SET team_id = $3, email = $4, username = $5, full_name = $6,
		role = upper($7::text)::public.userrole, is_active = $8, is_verified = $9, oidc_provider = $10, oidc_subject = $11,
		preferences = $12::text::json
	WHERE u.id = $1 AND u.updated_at = $2 AND u.deleted_at IS NULL AND (
		u.team_id = $3 OR (SELECT count(*) FROM public.users WHERE organization_id = u.organization_id AND team_id = $3 AND deleted_at IS NULL) < (
			SELECT o.max_users_per_team FROM public.organizations o WHERE o.id = u.organization_id))
	RETURNING` + userColumns

// UpdateUser changes a user from before to after. It returns a [*ConflictError] when the user no longer is what before
// says, and otherwise the same errors as [Store.CreateUser].
func (s *Store) UpdateUser(ctx context.Context, before, after User) (User, error) {
	if err := s.RefuseOrganizationChange(ctx, "user", before.Email, before.OrganizationID, after.OrganizationID); err != nil {
		return User{}, err
	}
	updated, err := update(ctx, s.db, before, after,
		func(ctx context.Context) (User, error) { return s.User(ctx, before.ID) },
		func(updatedAt time.Time) []postgres.Statement {
			return []postgres.Statement{
				{SQL: lockTeamSQL, Args: []any{after.TeamID}},
				{SQL: updateUserSQL, Args: []any{
					before.ID, updatedAt, after.TeamID, after.Email, after.Username, after.FullName, after.Role, after.IsActive,
					after.IsVerified, after.OIDCProvider, after.OIDCSubject, after.Preferences,
				}},
			}
		})
	if errors.Is(err, errHeldBack) {
		return updated, s.userLimitError(ctx, after)
	}
	return updated, s.userError(ctx, after, err)
}

func (s *Store) userError(ctx context.Context, u User, err error) error {
	switch constraint, _ := postgres.Constraint(err); constraint {
	case "users_email_key":
		return s.userDuplicate(ctx, "email", u.Email)
	case "users_username_key":
		return s.userDuplicate(ctx, "username", u.Username)
	case "users_oidc_subject_key":
		return s.userDuplicate(ctx, "oidc_subject", *u.OIDCSubject)
	}
	return s.teamReferenceError(ctx, "user", u.TeamID, u.OrganizationID, err)
}

const userWithSQL = `
	SELECT u.id, u.email, u.deleted_at FROM public.users u
	WHERE ($1 = 'email' AND u.email = $2) OR ($1 = 'username' AND u.username = $2) OR ($1 = 'oidc_subject' AND u.oidc_subject = $2)`

// userDuplicate returns a [*DuplicateError] about the user, deleted or not, that has the value, or
// [postgres.ErrNotFound] when none has.
func (s *Store) userDuplicate(ctx context.Context, attribute, value string) error {
	existing, err := postgres.QueryOne[struct {
		ID, Email string
		DeletedAt *time.Time `db:"deleted_at"`
	}](ctx, s.db, userWithSQL, attribute, value)
	if err != nil {
		return err
	}
	return &DuplicateError{
		Noun: "user", Attribute: attribute, Value: value, ID: existing.ID, Key: existing.Email, DeletedAt: existing.DeletedAt,
	}
}

const userLimitSQL = `
	SELECT t.slug AS team, o.slug AS organization, o.max_users_per_team AS max,
		(SELECT count(*) FROM public.users WHERE organization_id = t.organization_id AND team_id = t.id AND deleted_at IS NULL) AS count
	FROM public.teams t JOIN public.organizations o ON o.id = t.organization_id WHERE t.id = $1`

func (s *Store) userLimitError(ctx context.Context, u User) error {
	if err := s.CheckTeam(ctx, "user", u.TeamID, u.OrganizationID); err != nil {
		return err
	}
	limit, err := postgres.QueryOne[struct {
		Team, Organization string
		Max                int32
		Count              int64
	}](ctx, s.db, userLimitSQL, u.TeamID)
	if err != nil {
		return err
	}
	return &LimitError{
		Attribute: "team_id", Limit: "max_users_per_team", Max: limit.Max, Count: limit.Count,
		Where: fmt.Sprintf("team %q of organization %q", limit.Team, limit.Organization), What: "users",
	}
}

// A user that the platform marked as deleted meanwhile is left as it is.
const deleteUserSQL = `DELETE FROM public.users WHERE id = $1 AND deleted_at IS NULL RETURNING id`

// DeleteUser deletes a user for good; incidents that were assigned to the user stay, without an assignee. Deleting what
// is gone already is no error.
func (s *Store) DeleteUser(ctx context.Context, id string) error {
	_, err := remove(ctx, s.db, func(ctx context.Context) (User, error) { return s.User(ctx, id) },
		postgres.Statement{SQL: deleteUserSQL, Args: []any{id}})
	return err
}
