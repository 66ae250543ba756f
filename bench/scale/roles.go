package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// parallelism is Terraform's default: so many resources are read or made at once.
const parallelism = 10

// The most that one of many roles may cost, as a multiple of what one of the fewest costs.
const (
	readLimit = 1.1
	makeLimit = 1.2
)

// cluster is a server with many roles, all of one organization, and a login that manages them.
type cluster struct {
	pid          int
	admin        *pgx.Conn
	manager      string
	store        *access.Store
	organization string
	roles        int
}

// login is the role that the guides recommend: it owns its database and may create roles.
const login = "brownie-terraform"

// newDatabase makes a migrated database, and returns how that role logs in to it.
func newDatabase(ctx context.Context, server *devstack.Postgres, name string) (postgres.Config, error) {
	if err := server.CreateDatabase(ctx, name, ""); err != nil {
		return postgres.Config{}, err
	}
	admin, err := pgx.Connect(ctx, server.URL(name))
	if err != nil {
		return postgres.Config{}, err
	}
	defer func() { _ = admin.Close(ctx) }()
	if _, err := admin.Exec(ctx, fmt.Sprintf(loginSQL, pgx.Identifier{login}.Sanitize(), pgx.Identifier{name}.Sanitize())); err != nil {
		return postgres.Config{}, err
	}
	config, err := server.Config(name)
	if err != nil {
		return config, err
	}
	certificate, err := server.ClientCertificate(login)
	if err != nil {
		return config, err
	}
	config.Username, config.SSLCert, config.SSLKey = login, certificate.CertFile, certificate.KeyFile
	db := postgres.New(config) //nolint:contextcheck // It connects later, with the context of a request.
	defer db.Close()
	engine := migrate.New(db, migrate.Platform, migrate.Options{})
	version, err := engine.Latest()
	if err == nil {
		_, err = engine.Up(ctx, version)
	}
	return config, err
}

const loginSQL = `
DO $$ BEGIN
	IF to_regrole('%[1]s') IS NULL THEN
		CREATE ROLE %[1]s LOGIN CREATEROLE;
	END IF;
END $$;
ALTER DATABASE %[2]s OWNER TO %[1]s`

// bulkSQL makes roles as the provider makes them, in one statement. Who creates a role without being a superuser is given it with
// ADMIN OPTION by PostgreSQL.
const bulkSQL = `
DO $do$
BEGIN
	FOR i IN %[1]d + 1..%[2]d LOOP
		EXECUTE format('CREATE ROLE %%I LOGIN CONNECTION LIMIT 20', '%[3]s-' || i || '-app');
		EXECUTE format('GRANT brownie_writer, brownie_pooled, %%I TO %%I WITH INHERIT TRUE, SET FALSE',
			'brownie_connect_' || current_database(), '%[3]s-' || i || '-app');
		IF '%[3]s' <> '%[4]s' THEN
			EXECUTE format('GRANT %%I TO "%[3]s" WITH ADMIN OPTION, INHERIT FALSE, SET FALSE', '%[3]s-' || i || '-app');
		END IF;
	END LOOP;
	INSERT INTO brownie.role_bindings (role_name, organization_id, access)
		SELECT '%[3]s-' || i || '-app', '%[5]s', 'writer' FROM generate_series(%[1]d + 1, %[2]d) i;
END
$do$`

func newCluster(ctx context.Context, server *devstack.Postgres, superuser string) (*cluster, error) {
	c := &cluster{manager: login}
	database := "scale_roles"
	if superuser != "" {
		c.manager, database = superuser, "scale_roles_superuser"
	}
	config, err := newDatabase(ctx, server, database)
	if err != nil {
		return nil, err
	}
	if superuser != "" {
		if config, err = server.Config(database); err != nil {
			return nil, err
		}
	}
	c.store = access.New(postgres.New(config)) //nolint:contextcheck // It connects later, with the context of a request.
	if c.admin, err = pgx.Connect(ctx, server.URL(database)); err != nil {
		return nil, err
	}
	if c.pid, err = serverPID(ctx, c.admin); err != nil {
		return nil, err
	}
	err = c.admin.QueryRow(ctx, `INSERT INTO public.organizations (name, slug) VALUES ('Scale', 'scale') RETURNING id`).
		Scan(&c.organization)
	return c, err
}

// grow makes roles until there are so many.
func (c *cluster) grow(ctx context.Context, superuser string, to int) error {
	// A DO block takes no parameters.
	_, err := c.admin.Exec(ctx, fmt.Sprintf(bulkSQL, c.roles, to, c.manager, superuser, c.organization))
	if err == nil {
		_, err = c.admin.Exec(ctx, "ANALYZE pg_authid, pg_auth_members, brownie.role_bindings")
	}
	c.roles = to
	return err
}

func (c *cluster) role(i int) access.Role {
	return access.Role{
		Name: fmt.Sprintf("%s-%d-app", c.manager, i), Access: "writer", OrganizationID: &c.organization, Pooled: true, ConnectionLimit: 20,
	}
}

// each does something with roles as Terraform does: some at once. It returns the server's processor time for one.
func (c *cluster) each(ctx context.Context, from, to int, do func(context.Context, access.Role) error) (time.Duration, error) {
	before, err := processorTime(c.pid)
	if err != nil {
		return 0, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelism)
	for i := from + 1; i <= to; i++ {
		group.Go(func() error { return do(ctx, c.role(i)) })
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	after, err := processorTime(c.pid)
	return (after - before) / time.Duration(to-from), err
}

// measure returns what making, reading and dropping one role costs the server when there are so many others.
func (c *cluster) measure(ctx context.Context, n int) (figures []time.Duration, err error) {
	var made, read, dropped benchmark.Series
	for round := range *rounds {
		for _, step := range []struct {
			to       *benchmark.Series
			from, up int
			do       func(context.Context, access.Role) error
		}{
			{&made, n, n + few, func(ctx context.Context, role access.Role) error { _, err := c.store.CreateRole(ctx, role); return err }},
			{&read, 0, n, func(ctx context.Context, role access.Role) error { _, err := c.store.Role(ctx, role.Name); return err }},
			{&dropped, n, n + few, func(ctx context.Context, role access.Role) error { return c.store.DropRole(ctx, role, "") }},
		} {
			cost, err := c.each(ctx, step.from, step.up, step.do)
			if err != nil {
				return nil, err
			}
			*step.to = append(*step.to, cost)
		}
		benchmark.Progress("%s, %d roles, round %d: made in %s, read in %s, dropped in %s each", c.manager, n, round+1,
			made[round], read[round], dropped[round])
	}
	return []time.Duration{made.Median(), read.Median(), dropped.Median()}, nil
}

// few roles are made and dropped to measure what one costs among many.
const few = 100

// roles measures what the server does to make, read and drop roles, by their number.
func roles(ctx context.Context, r *benchmark.Report, server *devstack.Postgres) error {
	r.Section("What one role costs the server")
	r.Text("Processor time of the server for one role, ten at once, by the number of roles that there are; medians of %d rounds of all "+
		"roles for reading, and of %d for the rest.", *rounds, few)
	table := [][]string{{"managed by", "roles", "make", "read", "drop"}}
	superuser, err := server.Config("postgres")
	if err != nil {
		return err
	}
	for _, manager := range []string{"", superuser.Username} {
		c, err := newCluster(ctx, server, manager)
		if err != nil {
			return err
		}
		var first []time.Duration
		for size := range strings.SplitSeq(*sizes, ",") {
			n, err := strconv.Atoi(size)
			if err != nil {
				return err
			}
			if err := c.grow(ctx, superuser.Username, n); err != nil {
				return err
			}
			figures, err := c.measure(ctx, n)
			if err != nil {
				return err
			}
			row := []string{"`" + c.manager + "`", size}
			for _, figure := range figures {
				row = append(row, fmt.Sprintf("%.2f ms", figure.Seconds()*1000))
			}
			table = append(table, row)
			if first == nil {
				first = figures
				continue
			}
			row = []string{"", "**ratio**"}
			for i, figure := range figures {
				row = append(row, "**"+benchmark.Times(float64(figure)/float64(first[i]))+"**")
			}
			table = append(table, row)
			r.Limit(fmt.Sprintf("reading one of %d roles as %s", n, c.manager), float64(figures[1])/float64(first[1]), readLimit)
			if manager != "" {
				r.Limit(fmt.Sprintf("making one of %d roles as %s", n, c.manager), float64(figures[0])/float64(first[0]), makeLimit)
			}
		}
	}
	r.Table(table...)
	r.Text("PostgreSQL gives each role that `%s` makes to it with ADMIN OPTION, and looks through all of them at each GRANT that it does, "+
		"and so once for each group of a new role. Only a superuser is spared that.", login)
	return nil
}
