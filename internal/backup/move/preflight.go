package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

const (
	readySQL   = `SELECT to_regclass('brownie.moves') IS NOT NULL AS ready, current_database()::text AS name`
	versionSQL = `SELECT coalesce(max(version_id), 0) AS version FROM brownie.goose_db_version WHERE is_applied`
)

// checkSchemas refuses databases that know nothing of moves.
func (m *Mover) checkSchemas(ctx context.Context) error {
	for _, each := range m.databases() {
		is, err := postgres.QueryOne[struct {
			Ready bool
			Name  string
		}](ctx, each.db, readySQL)
		if err == nil && !is.Ready {
			err = problem.New(fmt.Sprintf("database %s has not the schema for moves", is.Name), "Bring it to migration 27 or later")
		}
		if err != nil {
			return each.named(err)
		}
	}
	return nil
}

// checkVersions refuses databases that are not of one schema.
func (m *Mover) checkVersions(ctx context.Context) error {
	var versions []int64
	for _, each := range m.databases() {
		is, err := postgres.QueryOne[struct{ Version int64 }](ctx, each.db, versionSQL)
		if err != nil {
			return each.named(err)
		}
		versions = append(versions, is.Version)
	}
	if versions[0] != versions[1] {
		return problem.New(fmt.Sprintf("the source is at migration %d, and the target at %d", versions[0], versions[1]),
			"Bring both to the same one")
	}
	return nil
}

type database struct {
	name string
	db   *postgres.DB
}

func (m *Mover) databases() []database { return []database{{"source", m.Source}, {"target", m.Target}} }

func (d database) named(err error) error {
	if err != nil {
		err = fmt.Errorf("in the %s: %w", d.name, err)
	}
	return err
}

const takenSQL = `
	SELECT what FROM (
		SELECT 1 AS n, 'an organization with the same ' || CASE WHEN id = $1 THEN 'ID' WHEN slug = $2 THEN 'slug' ELSE 'name' END AS what
		FROM public.organizations WHERE id = $1 OR slug = $2 OR name = $3
		UNION ALL SELECT 2, format('a move of the organization that is not over (%s, step %s)', id, step) FROM brownie.moves
		WHERE organization = $1 AND step NOT IN ('aborted', 'dropped', 'arrived', 'awaited')
	) AS taken ORDER BY n LIMIT 1`

// What another move left behind there keeps nobody from trying.
const openSQL = `UPDATE brownie.moves SET step = 'copying' WHERE organization = $1`

const nameSQL = `SELECT name FROM public.organizations WHERE id = $1`

// Tables of tenants in which a row of an organization that moves could be written all the same.
const unguardedSQL = `
	SELECT coalesce(string_agg(format('%I.%I', n.nspname, c.relname), ', ' ORDER BY n.nspname, c.relname), '') AS tables
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'
		AND c.oid <> 'brownie.role_bindings'::regclass
		AND (c.oid = 'public.organizations'::regclass OR EXISTS (SELECT FROM pg_attribute
			WHERE attrelid = c.oid AND attname = 'organization_id' AND atttypid = 'uuid'::regtype AND NOT attisdropped))
		AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgenabled IN ('O', 'A') AND tgfoid IN
			('brownie.refuse_while_moving()'::regprocedure, 'brownie.refuse_organization_while_moving()'::regprocedure))`

// preflight refuses what would fail later. Nothing is changed, and the organization can be written; the rows are copied once, and not kept.
func (m *Mover) preflight(ctx context.Context, r record) error {
	if err := m.checkVersions(ctx); err != nil {
		return err
	}
	for _, each := range m.databases() {
		bare, err := postgres.QueryOne[struct{ Tables string }](ctx, each.db, unguardedSQL)
		if err == nil && bare.Tables != "" {
			err = problem.New("these tables can be written while an organization moves: "+bare.Tables,
				"For each of them: SELECT brownie.isolate_table('"+strings.Split(bare.Tables, ", ")[0]+"')")
		}
		if err != nil {
			return each.named(err)
		}
	}
	name, err := postgres.QueryOne[struct{ Name string }](ctx, m.Source, nameSQL, r.Organization)
	if err != nil {
		return err
	}
	taken, err := postgres.QueryOne[struct{ What string }](ctx, m.Target, takenSQL, r.Organization, r.Slug, name.Name)
	switch {
	case err == nil:
		return problem.New("the target already has "+taken.What,
			"Is it the right target? If it is, rename or delete what is there, or finish the former move there")
	case !errors.Is(err, problem.ErrNotFound):
		return inTarget(err)
	}
	if err := m.checkRoles(ctx, r); err != nil {
		return err
	}
	began := time.Now()
	m.Log.Info("The copy is tried", "organization", r.Slug)
	rows, err := m.tryCopy(ctx, r, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, openSQL, r.Organization)
		return err
	}, nil)
	if err == nil {
		total := int64(0)
		for _, n := range rows {
			total += n
		}
		m.Log.Info("The copy was tried", "organization", r.Slug, "rows", total, "seconds", time.Since(began).Seconds())
	}
	return err
}

func inTarget(err error) error { return database{name: "target"}.named(err) }

const bindingsSQL = `SELECT role_name::text AS name FROM brownie.role_bindings WHERE organization_id = $1 ORDER BY role_name`

// rolesOf are the roles that act for an organization.
func rolesOf(ctx context.Context, db *postgres.DB, store *access.Store, organization string) (roles []access.Role, err error) {
	bound, err := postgres.Query[struct{ Name string }](ctx, db, bindingsSQL, organization)
	if err != nil {
		return nil, err
	}
	for _, each := range bound {
		role, err := store.Role(ctx, each.Name)
		if errors.Is(err, problem.ErrNotFound) {
			continue // A binding without a role lets nobody in.
		}
		if err != nil {
			return nil, err
		}
		roles = append(roles, role)
	}
	return roles, nil
}

// wanted is what the target's role is to be. A password, and what else the role should not have, stays behind.
func wanted(role access.Role) access.Role {
	return access.Role{
		Name: role.Name, Access: role.Access, OrganizationID: role.OrganizationID, Pooled: role.Pooled,
		ConnectionLimit: role.ConnectionLimit, StatementTimeout: role.StatementTimeout, ValidUntil: role.ValidUntil,
		Locked: !slices.Contains(role.Attributes, "LOGIN"),
	}
}

// checkRoles refuses roles that could not be made in the target, or not be locked in the source.
func (m *Mover) checkRoles(ctx context.Context, r record) error {
	source, target := access.New(m.Source), access.New(m.Target)
	roles, err := rolesOf(ctx, m.Source, source, r.Organization)
	if err != nil {
		return err
	}
	for _, role := range roles {
		if err := source.CheckChange(ctx, role.Name); err != nil {
			return database{name: "source"}.named(err)
		}
		there, err := target.Role(ctx, role.Name)
		if err == nil && !isOf(there, r) {
			return problem.New(fmt.Sprintf("the target's cluster already has a role %q", role.Name),
				"Two cells are two clusters. If these are, drop or rename that role")
		}
		if err != nil && !errors.Is(err, problem.ErrNotFound) {
			return inTarget(err)
		}
		if err := target.CheckManager(wanted(role), access.Role{}); err != nil {
			return inTarget(err)
		}
	}
	return nil
}

func isOf(role access.Role, r record) bool {
	return role.OrganizationID != nil && *role.OrganizationID == r.Organization
}

// makeRoles makes the target's roles what the source's are.
func (m *Mover) makeRoles(ctx context.Context, r record) error {
	m.Log.Info("The roles are made in the target", "organization", r.Slug, "move", r.ID)
	target := access.New(m.Target)
	roles, err := rolesOf(ctx, m.Source, access.New(m.Source), r.Organization)
	for i := 0; i < len(roles) && err == nil; i++ {
		role := wanted(roles[i])
		there, findErr := target.Role(ctx, role.Name)
		switch {
		case errors.Is(findErr, problem.ErrNotFound):
			_, err = target.CreateRole(ctx, role)
		case findErr != nil:
			err = findErr
		case !isOf(there, r):
			err = access.NameTaken(role.Name)
		default:
			_, err = target.UpdateRole(ctx, there, role)
		}
	}
	return inTarget(err)
}
