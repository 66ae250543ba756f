package tenancy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

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
	u.id, ` + calendar + `u.created_at)) AS created_at,
	` + calendar + `u.updated_at)) AS updated_at,
	u.organization_id, u.team_id, u.email, u.username, u.full_name,
	lower(u.role::text COLLATE "C") AS role, u.is_active, u.is_verified, u.oidc_provider, u.oidc_subject,
	CASE WHEN json_typeof(u.preferences) <> 'null' THEN u.preferences::text END AS preferences `

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
	OrganizationID *string `db:"organization_id"`
	TeamID         *string `db:"team_id"`
	Role           *string `db:"role"`
	IsActive       *bool   `db:"is_active"`
}

// Users returns the users that pass the filter, ordered by e-mail address.
func (s *Store) Users(ctx context.Context, filter UserFilter) ([]User, error) {
	return postgres.Query[User](ctx, s.db, usersSQL+`
		AND (@organization_id::uuid IS NULL OR u.organization_id = @organization_id)
		AND (@team_id::uuid IS NULL OR u.team_id = @team_id)
		AND (@role::text IS NULL OR lower(u.role::text COLLATE "C") = @role) AND (@is_active::boolean IS NULL OR u.is_active = @is_active)
		ORDER BY u.email`, pgx.StrictStructArgs(filter))
}

// Those who count a team's users, or look for a name in it, take turns by this lock. Foreign keys do not wait for it.
func lockTeam(id string) postgres.Statement {
	return postgres.Statement{SQL: `SELECT FROM public.teams WHERE id = $1 FOR NO KEY UPDATE`, Args: []any{id}}
}

// A deleted user of the same organization comes back to life with a new set of attributes. An e-mail address of a user
// who is not deleted passes the guard of the limit, so that it is reported as the duplicate it is.
const createUserSQL = `
	WITH home AS (
		SELECT t.id AS team_id FROM public.teams t JOIN public.organizations o ON o.id = t.organization_id
		WHERE t.id = @team_id AND (
			(SELECT count(*) FROM public.users WHERE organization_id = t.organization_id AND team_id = t.id AND deleted_at IS NULL)
				< o.max_users_per_team
			OR EXISTS (SELECT FROM public.users WHERE email = @email AND deleted_at IS NULL))
	), revived AS (
		UPDATE public.users u SET team_id = @team_id::uuid, email = @email::text, username = @username::text,
			full_name = @full_name::text, role = upper(@role::text COLLATE "C")::public.userrole, is_active = @is_active::boolean,
			is_verified = @is_verified::boolean, oidc_provider = @oidc_provider::text, oidc_subject = @oidc_subject::text,
			preferences = @preferences::text::json, deleted_at = NULL, deleted_by = NULL
		FROM home WHERE u.email = @email::text AND u.deleted_at IS NOT NULL AND u.organization_id = @organization_id::uuid
		RETURNING` + userColumns + `
	), created AS (
		INSERT INTO public.users AS u (id, organization_id, org_id, team_id, email, username, full_name, role, is_active,
			is_verified, oidc_provider, oidc_subject, preferences)
		SELECT @id::uuid, @organization_id::uuid, @organization_id::uuid, @team_id::uuid, @email::text, @username::text,
			@full_name::text, upper(@role::text COLLATE "C")::public.userrole, @is_active::boolean, @is_verified::boolean,
			@oidc_provider::text, @oidc_subject::text, @preferences::text::json
		FROM home WHERE NOT EXISTS (
			SELECT FROM public.users WHERE email = @email AND deleted_at IS NOT NULL AND organization_id = @organization_id)
		RETURNING` + userColumns + `
	)
	SELECT * FROM revived UNION ALL SELECT * FROM created`

// CreateUser inserts a user, or revives the deleted one with the same e-mail address in the same organization. A taken
// e-mail address, username or OIDC subject is a [*DuplicateError], a full team a [*LimitError], a team of another
// organization an [*OrganizationError].
func (s *Store) CreateUser(ctx context.Context, u User) (User, error) {
	return patient(ctx, s, "user", "", func(alone bool) (User, error) { return s.createUser(ctx, u, alone) })
}

func (s *Store) createUser(ctx context.Context, u User, alone bool) (User, error) {
	created, err := s.users.insert(ctx, alone, u, createUserSQL, lockTeam(u.TeamID))
	if errors.Is(err, errHeldBack) {
		var taken *DuplicateError
		err := s.userDuplicate(ctx, "email", u.Email)
		isDuplicate := errors.As(err, &taken)
		// A deleted user would come back if the team were not full.
		if isDuplicate && taken.DeletedAt == nil || !isDuplicate && !errors.Is(err, postgres.ErrNotFound) {
			return created, err
		}
		return created, s.userLimitError(ctx, u)
	}
	return created, s.userError(ctx, u, err)
}

const updateUserSQL = `
	UPDATE public.users u SET
		team_id = CASE WHEN 'team_id' = ANY(@changes::text[]) THEN @team_id::uuid ELSE u.team_id END,
		email = CASE WHEN 'email' = ANY(@changes::text[]) THEN @email ELSE u.email END,
		username = CASE WHEN 'username' = ANY(@changes::text[]) THEN @username ELSE u.username END,
		full_name = CASE WHEN 'full_name' = ANY(@changes::text[]) THEN @full_name ELSE u.full_name END,
		role = CASE WHEN 'role' = ANY(@changes::text[])
			THEN upper(@role::text COLLATE "C")::public.userrole ELSE u.role::text::public.userrole END,
		is_active = CASE WHEN 'is_active' = ANY(@changes::text[]) THEN @is_active ELSE u.is_active END,
		is_verified = CASE WHEN 'is_verified' = ANY(@changes::text[]) THEN @is_verified ELSE u.is_verified END,
		oidc_provider = CASE WHEN 'oidc_provider' = ANY(@changes::text[]) THEN @oidc_provider ELSE u.oidc_provider END,
		oidc_subject = CASE WHEN 'oidc_subject' = ANY(@changes::text[]) THEN @oidc_subject ELSE u.oidc_subject END,
		preferences = CASE WHEN 'preferences' = ANY(@changes::text[]) THEN @preferences::text::json ELSE u.preferences END
	WHERE u.organization_id = @organization_id AND u.id = @id
		AND ` + calendar + `u.updated_at)) = @updated_at
		AND u.deleted_at IS NULL AND (
		u.team_id = @team_id OR (
			SELECT count(*) FROM public.users WHERE organization_id = u.organization_id AND team_id = @team_id AND deleted_at IS NULL
		) < (SELECT o.max_users_per_team FROM public.organizations o WHERE o.id = u.organization_id))
	RETURNING` + userColumns

// UpdateUser changes a user from before to after. It returns a [*ConflictError] when the user no longer is what before
// says, and otherwise the same errors as [Store.CreateUser].
func (s *Store) UpdateUser(ctx context.Context, before, after User) (User, error) {
	return patient(ctx, s, "user", before.ID, func(bool) (User, error) { return s.updateUser(ctx, before, after) })
}

func (s *Store) updateUser(ctx context.Context, before, after User) (User, error) {
	if err := s.RefuseOrganizationChange(ctx, "user", before.Email, before.OrganizationID, after.OrganizationID); err != nil {
		return User{}, err
	}
	updated, err := s.users.update(ctx, before, after, updateUserSQL, lockTeam(after.TeamID))
	if errors.Is(err, errHeldBack) {
		return updated, s.userLimitError(ctx, after)
	}
	return updated, s.userError(ctx, after, err)
}

func (s *Store) userError(ctx context.Context, u User, err error) error {
	switch constraint, _ := postgres.Constraint(err); constraint {
	case "users_email_key":
		return passed(s.userDuplicate(ctx, "email", u.Email))
	case "users_username_key":
		return passed(s.userDuplicate(ctx, "username", u.Username))
	case "users_oidc_subject_key":
		return passed(s.userDuplicate(ctx, "oidc_subject", *u.OIDCSubject))
	}
	return s.teamReferenceError(ctx, "user", u.TeamID, u.OrganizationID, err)
}

const userWithSQL = `
	SELECT u.id, u.email, CASE WHEN u.deleted_at IS NOT NULL THEN
		` + calendar + `u.deleted_at)) END AS deleted_at, o.slug AS organization
	FROM public.users u JOIN public.organizations o ON o.id = u.organization_id
	WHERE ($1 = 'email' AND u.email = $2) OR ($1 = 'username' AND u.username = $2) OR ($1 = 'oidc_subject' AND u.oidc_subject = $2)`

// userDuplicate returns a [*DuplicateError] about the user, deleted or not, that has the value, or
// [postgres.ErrNotFound] when none has.
func (s *Store) userDuplicate(ctx context.Context, attribute, value string) error {
	existing, err := postgres.QueryOne[struct {
		ID, Email, Organization string
		DeletedAt               *time.Time `db:"deleted_at"`
	}](ctx, s.db, userWithSQL, attribute, value)
	if err != nil {
		return err
	}
	return duplicateError("user", attribute, value, "", Existing{
		ID: existing.ID, Key: existing.Email, DeletedAt: existing.DeletedAt, Organization: existing.Organization,
	})
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
	if limit.Count < int64(limit.Max) {
		return errHeldBack
	}
	return limitError("team_id", fmt.Sprintf("team %q of organization %q", limit.Team, limit.Organization), "users", "max_users_per_team",
		limit.Max, limit.Count)
}

// A user that the platform marked as deleted meanwhile is left as it is.
const deleteUserSQL = `DELETE FROM public.users WHERE id = $1 AND deleted_at IS NULL RETURNING id`

// DeleteUser deletes a user for good; incidents that were assigned to the user stay, without an assignee. Deleting what
// is gone already is no error.
func (s *Store) DeleteUser(ctx context.Context, id string) error {
	return orHeldBack(s.users.remove(ctx, id, deleteUserSQL))
}

const softDeleteUserSQL = `UPDATE public.users SET deleted_at = now(), is_active = false WHERE id = $1 AND deleted_at IS NULL RETURNING id`

// SoftDeleteUser marks a user as deleted, as the platform does it: it counts as gone, and [Store.CreateUser] revives it. Deleting
// what is gone already is no error.
func (s *Store) SoftDeleteUser(ctx context.Context, id string) error {
	return orHeldBack(s.users.remove(ctx, id, softDeleteUserSQL))
}
