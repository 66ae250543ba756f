package access

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// refusal is why the login role may not change a role.
type refusal struct {
	Name string `db:"name" json:"name"`
	// Role, Login and Admins are SQL identifiers.
	Role   string   `db:"role" json:"role"`
	Login  string   `db:"login" json:"login"`
	Admins []string `db:"admins" json:"admins"` // who may let others change it
	// OfSuperuser means that only a superuser may change it, whatever was granted.
	OfSuperuser bool `db:"of_superuser" json:"of_superuser"`
	Lacks       bool `db:"lacks" json:"lacks"`
}

// Changing or dropping a role takes ADMIN OPTION on it, also by a membership in a role that has it. Nobody has that on itself, which
// the change tells better. PostgreSQL walks all memberships of the login to find the latter, so that its own, and those of its makers,
// are looked up first.
const refusalsSQL = `
	SELECT * FROM (
		SELECT r.rolname::text AS name, pg_catalog.quote_ident(r.rolname) AS role, pg_catalog.quote_ident(l.rolname) AS login,
			ARRAY(SELECT pg_catalog.quote_ident(a.rolname) FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles a ON a.oid = m.member
				WHERE m.roleid = r.oid AND m.admin_option GROUP BY a.rolname ORDER BY a.rolname) AS admins,
			r.rolsuper AND NOT l.rolsuper AS of_superuser, CASE
				WHEN EXISTS (SELECT FROM pg_catalog.pg_auth_members m WHERE m.roleid = r.oid AND m.admin_option AND (m.member = l.oid
					OR EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE roleid = m.member AND member = l.oid))) THEN false
				ELSE NOT pg_catalog.pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION') END AS lacks
		FROM pg_catalog.pg_roles r, pg_catalog.pg_roles l
		WHERE l.rolname = current_user AND r.oid <> l.oid AND r.rolname = ANY (@names::text[]::name[])
		OFFSET 0) AS asked
	WHERE of_superuser OR lacks`

func (s *Store) loadRefusals(ctx context.Context, names []string) (map[string]refusal, error) {
	rows, err := postgres.Query[refusal](ctx, s.db, refusalsSQL, pgx.StrictNamedArgs{"names": names})
	refusals := make(map[string]refusal, len(rows))
	for _, row := range rows {
		refusals[row.Name] = row
	}
	return refusals, err
}

// CheckChange returns a [*ManagerError] when the login role may not change the role of that name, if there is one.
func (s *Store) CheckChange(ctx context.Context, name string) error {
	r, err := s.refusals.Get(ctx, name)
	if errors.Is(err, postgres.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.error()
}

func (r *refusal) error() error {
	var lacks, remedies []string
	who := "a superuser"
	if r.OfSuperuser {
		lacks = append(lacks, "is no superuser, as role "+r.Role+" is")
		remedies = append(remedies, fmt.Sprintf("ALTER ROLE %s NOSUPERUSER", r.Role))
	} else if len(r.Admins) > 0 {
		who = strings.Join(r.Admins, ", ") + ", or a superuser"
	}
	if r.Lacks {
		lacks = append(lacks, "has no ADMIN OPTION on role "+r.Role+", which somebody else made")
		remedies = append(remedies, fmt.Sprintf("GRANT %s TO %s WITH ADMIN OPTION", r.Role, r.Login))
	}
	return &ManagerError{problem.New(fmt.Sprintf("the provider's own role %s %s", r.Login, strings.Join(lacks, ", and ")),
		fmt.Sprintf("As %s: %s", who, strings.Join(remedies, "; ")))}
}
