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
	tenants = 10 // that the queries are about; all others are there to be skipped
	service = "benchmark-service"
	latest  = 0 // version of the schema
)

// who sends a query.
type who string

const (
	asTenant    who = "tenant"
	asService   who = "service role"
	asSuperuser who = "superuser"
)

// tenant is one organization, with a connection for each of those who query its rows.
type tenant struct {
	organization, team, incident string
	connections                  map[who]*pgx.Conn
}

// database is a migrated database, and those tenants in it that are asked about.
type database struct {
	name    string
	server  *devstack.Postgres
	db      *postgres.DB
	access  *access.Store
	admin   *pgx.Conn
	tenants []tenant
	plans   []string // of the tenants' queries
}

// open makes an empty database with the schema of a version.
func open(ctx context.Context, server *devstack.Postgres, name string, version int64) (*database, error) {
	if err := server.CreateDatabase(ctx, name, ""); err != nil {
		return nil, err
	}
	config, err := server.Config(name)
	if err != nil {
		return nil, err
	}
	db := postgres.New(config) //nolint:contextcheck // It connects later, with the context of a request.
	d := &database{name: name, server: server, db: db, access: access.New(db)}
	if d.admin, err = pgx.Connect(ctx, server.URL(name)); err != nil {
		return nil, err
	}
	err = d.migrate(ctx, version)
	return d, err
}

func (d *database) migrate(ctx context.Context, version int64) error {
	engine := migrate.New(d.db, migrate.Platform, migrate.Options{})
	if version == latest {
		var err error
		if version, err = engine.Latest(); err != nil {
			return err
		}
	}
	_, err := engine.Up(ctx, version)
	return err
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

// newDatabase is filled with organizations, each of which has the same number of incidents.
func newDatabase(ctx context.Context, server *devstack.Postgres) (*database, error) {
	d, err := open(ctx, server, "brownie_benchmark", latest)
	if err != nil {
		return nil, err
	}
	benchmark.Progress("Filling in %d organizations with %d incidents each", *organizations, *incidents)
	for _, statement := range []struct {
		sql  string
		args []any
	}{{organizationsSQL, []any{*organizations}}, {incidentsSQL, []any{*incidents}}, {bindingsSQL, nil}, {"VACUUM (ANALYZE)", nil}} {
		if _, err := d.admin.Exec(ctx, statement.sql, statement.args...); err != nil {
			return nil, err
		}
	}
	err = d.addTenants(ctx)
	return d, err
}

// addTenants makes the roles as brownie_role does, and connects as each of them.
func (d *database) addTenants(ctx context.Context) error {
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
	if _, err := d.access.CreateRole(ctx, access.Role{Name: service, Access: "writer", ConnectionLimit: -1}); err != nil {
		return err
	}
	for i := range d.tenants {
		t := &d.tenants[i]
		role := access.Role{Name: fmt.Sprintf("benchmark-tenant-%d", i), Access: "writer", ConnectionLimit: -1}
		role.OrganizationID = &t.organization
		if _, err := d.access.CreateRole(ctx, role); err != nil {
			return err
		}
		t.connections = map[who]*pgx.Conn{}
		for reader, login := range map[who]string{asTenant: role.Name, asService: service, asSuperuser: "postgres"} {
			if t.connections[reader], err = connectAs(ctx, d.server, d.name, login); err != nil {
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
	d.db.Close()
}
