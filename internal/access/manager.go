package access

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// manager is what the login role may do with roles.
type manager struct {
	// Login, Owner and NotInHands are SQL identifiers.
	Login      string   `db:"login"`
	MayCreate  bool     `db:"may_create"`
	MayBind    bool     `db:"may_bind"`
	Owner      string   `db:"owner"`
	NotInHands []string `db:"not_in_hands"` // group roles that it may not hand out
}

// A group role that does not exist yet is made by a migration, or by the first role.
const managerSQL = `
	SELECT pg_catalog.quote_ident(l.rolname) AS login, l.rolsuper OR l.rolcreaterole AS may_create,
		pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(b.relowner)) AS owner,
		pg_catalog.pg_has_role(b.relowner, 'SET') OR pg_catalog.has_table_privilege(b.oid, 'INSERT')
			AND pg_catalog.has_table_privilege(b.oid, 'UPDATE') AND pg_catalog.has_table_privilege(b.oid, 'DELETE') AS may_bind,
		ARRAY(SELECT pg_catalog.quote_ident(g.rolname) FROM pg_catalog.pg_roles g
			WHERE (g.rolname = ANY (@groups::text[]) OR g.rolname = pg_catalog.current_setting('brownie.connect_group'))
				AND NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE roleid = g.oid AND member = l.oid AND admin_option)
				AND NOT pg_catalog.pg_has_role(g.oid, 'MEMBER WITH ADMIN OPTION') ORDER BY g.rolname) AS not_in_hands
	FROM pg_catalog.pg_roles l JOIN pg_catalog.pg_class b ON b.oid = pg_catalog.to_regclass('brownie.role_bindings')
	WHERE l.rolname = current_user`

func (s *Store) askManager() (manager, error) {
	// It is asked once, whoever is the first and however long that one stays.
	return postgres.Ask(context.Background(), new(postgres.Question), s.readManager)
}

func (s *Store) readManager(ctx context.Context) (manager, error) {
	rows, err := postgres.Change[manager](ctx, s.db, postgres.Statement{SQL: connectGroupSQL},
		postgres.Statement{SQL: managerSQL, Args: []any{pgx.StrictNamedArgs{"groups": GroupRoles()}}})
	if err == nil && len(rows) == 0 {
		err = postgres.ErrNotMigrated
	}
	if err != nil {
		return manager{}, err
	}
	return rows[0], nil
}

// ManagerError says which rights the login role lacks to manage a role.
type ManagerError struct{ *problem.Problem }

// CheckManager returns a [*ManagerError] when the login role lacks rights to make a role what it shall be. They are read once;
// what has changed since, the change itself will tell.
//
// A group role that the role belongs to already needs no right.
func (s *Store) CheckManager(role, before Role) error {
	m, err := s.manager()
	if err != nil {
		return err
	}
	needed := slices.DeleteFunc(role.Groups(), func(group string) bool { return slices.Contains(before.MemberOf, group) })
	connects := slices.Contains(before.Attributes, "CONNECT")
	groups := slices.DeleteFunc(slices.Clone(m.NotInHands), func(group string) bool {
		isConnectGroup := strings.HasPrefix(strings.TrimPrefix(group, `"`), connectGroupPrefix)
		return !slices.Contains(needed, group) && (connects || !isConnectGroup)
	})
	return m.lacking(groups)
}

// lacking returns a [*ManagerError] when there is something that the login role may not do; groups are those that it may not hand
// out, and must.
func (m manager) lacking(groups []string) error {
	var lacks, grants []string
	if !m.MayCreate {
		lacks = append(lacks, "may not create roles")
		grants = append(grants, fmt.Sprintf("ALTER ROLE %s CREATEROLE", m.Login))
	}
	if len(groups) > 0 {
		names := strings.Join(groups, ", ")
		lacks = append(lacks, "may not hand out "+names)
		grants = append(grants, fmt.Sprintf("GRANT %s TO %s WITH ADMIN OPTION", names, m.Login))
	}
	if !m.MayBind {
		lacks = append(lacks, "may not bind roles to tenants")
		grants = append(grants, fmt.Sprintf("GRANT %s TO %s", m.Owner, m.Login))
	}
	if len(lacks) == 0 {
		return nil
	}
	return &ManagerError{problem.New(fmt.Sprintf("the provider's own role %s %s", m.Login, strings.Join(lacks, ", ")),
		"As a superuser: "+strings.Join(grants, "; "))}
}
