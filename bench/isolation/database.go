package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

const (
	name    = "brownie_benchmark"
	tenants = 10 // that the queries are about; all others are there to be skipped
	service = "benchmark-service"
)

// tenant is one organization, with a connection for each of those who query its rows.
type tenant struct {
	organization, team, incident string
	connections                  map[who]*pgx.Conn
}

// database is a migrated database with organizations, each of which has the same number of incidents.
type database struct {
	server  *devstack.Postgres
	store   *access.Store
	admin   *pgx.Conn
	tenants []tenant
}

const organizationsSQL = `
WITH o AS (
	INSERT INTO organizations (name, slug) SELECT 'Tenant ' || i, 'tenant-' || i FROM generate_series(1, $1::integer) i RETURNING id
)
INSERT INTO teams (organization_id, name, slug) SELECT id, 'Team', 'team' FROM o`

// The rows of all tenants lie mixed on the disk, as they would if all had been at work for a year.
const incidentsSQL = `
INSERT INTO incidents (organization_id, team_id, idempotency_key, title, description, status, priority, created_at)
SELECT t.organization_id, t.id, 'alert-' || i, 'Incident ' || i, repeat('Something is slow. ', 5),
	(enum_range(NULL::incidentstatus))[1 + i % array_length(enum_range(NULL::incidentstatus), 1)],
	(enum_range(NULL::incidentpriority))[1 + i % array_length(enum_range(NULL::incidentpriority), 1)],
	now() - (i * interval '1 year' / $1::integer) - random() * interval '8 hours'
FROM generate_series(1, $1::integer) i, teams t
ORDER BY i, random()`

// The tenants that are only skipped have roles too, as far as the lookup of a role's tenant can tell.
const bindingsSQL = `
INSERT INTO brownie.role_bindings (role_name, organization_id, access)
SELECT 'skipped-' || slug, id, 'writer' FROM organizations`

const tenantsSQL = `
SELECT t.organization_id::text, t.id::text, (SELECT i.id::text FROM incidents i WHERE i.organization_id = t.organization_id LIMIT 1)
FROM teams t ORDER BY t.organization_id LIMIT $1`

func newDatabase(ctx context.Context, server *devstack.Postgres, o options) (*database, error) {
	if err := server.CreateDatabase(ctx, name, ""); err != nil {
		return nil, err
	}
	admin, err := pgx.Connect(ctx, server.URL(name))
	if err != nil {
		return nil, err
	}
	d := &database{server: server, admin: admin}
	if d.store, err = d.migrate(ctx); err != nil {
		return nil, err
	}
	benchmark.Progress("Filling in %d organizations with %d incidents each", o.organizations, o.incidents)
	if _, err := admin.Exec(ctx, organizationsSQL, o.organizations); err != nil {
		return nil, err
	}
	if _, err := admin.Exec(ctx, incidentsSQL, o.incidents); err != nil {
		return nil, err
	}
	if _, err := admin.Exec(ctx, bindingsSQL); err != nil {
		return nil, err
	}
	if _, err := admin.Exec(ctx, "VACUUM (ANALYZE)"); err != nil {
		return nil, err
	}
	if err := d.addTenants(ctx, d.store); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *database) migrate(ctx context.Context) (*access.Store, error) {
	config, err := d.server.Config(name)
	if err != nil {
		return nil, err
	}
	db := postgres.New(config) //nolint:contextcheck // It connects later, with the context of a request.
	engine := migrate.New(db, migrate.Platform, migrate.Options{})
	latest, err := engine.Latest()
	if err != nil {
		return nil, err
	}
	_, err = engine.Up(ctx, latest)
	return access.New(db), err
}

// addTenants makes the roles as brownie_role does, and connects as each of them.
func (d *database) addTenants(ctx context.Context, store *access.Store) error {
	rows, err := d.admin.Query(ctx, tenantsSQL, tenants)
	if err != nil {
		return err
	}
	d.tenants, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (t tenant, err error) {
		return t, row.Scan(&t.organization, &t.team, &t.incident)
	})
	if err != nil {
		return err
	}
	if _, err := store.CreateRole(ctx, access.Role{Name: service, Access: "writer", ConnectionLimit: -1}); err != nil {
		return err
	}
	for i := range d.tenants {
		t := &d.tenants[i]
		role := fmt.Sprintf("benchmark-tenant-%d", i)
		if _, err := store.CreateRole(ctx, access.Role{Name: role, Access: "writer", OrganizationID: &t.organization, ConnectionLimit: -1}); err != nil {
			return err
		}
		t.connections = map[who]*pgx.Conn{}
		for reader, login := range map[who]string{asTenant: role, asService: service, asSuperuser: "postgres"} {
			if t.connections[reader], err = connectAs(ctx, d.server, name, login); err != nil {
				return err
			}
		}
	}
	return nil
}

func connectAs(ctx context.Context, server *devstack.Postgres, database, role string) (*pgx.Conn, error) {
	certificate, err := server.ClientCertificate(role)
	if err != nil {
		return nil, err
	}
	return pgx.Connect(ctx, fmt.Sprintf("host=%s port=%d dbname=%s user=%s sslmode=verify-full sslrootcert='%s' sslcert='%s' sslkey='%s'",
		server.Host(), server.Port(), database, role, server.CAFile(), certificate.CertFile, certificate.KeyFile))
}

func (d *database) close(ctx context.Context) {
	for _, t := range d.tenants {
		for _, connection := range t.connections {
			_ = connection.Close(ctx)
		}
	}
	_ = d.admin.Close(ctx)
}
