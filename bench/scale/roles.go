package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// The most that a multiple of the roles may cost, by the multiple: of reading, and of making them.
var limits = map[int][2]float64{2: {2.2, 2.2}, 10: {11, 12}}

// cluster is a server with a number of roles, all of one organization.
type cluster struct {
	pid   int
	admin *pgx.Conn
	store *access.Store
	roles []access.Role
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

func newCluster(ctx context.Context, server *devstack.Postgres, name string, n int) (*cluster, error) {
	config, err := newDatabase(ctx, server, name)
	if err != nil {
		return nil, err
	}
	c := &cluster{store: access.New(postgres.New(config))} //nolint:contextcheck // It connects later, with the context of a request.
	if c.admin, err = pgx.Connect(ctx, server.URL(name)); err != nil {
		return nil, err
	}
	if c.pid, err = serverPID(ctx, c.admin); err != nil {
		return nil, err
	}
	var organization string
	err = c.admin.QueryRow(ctx, `INSERT INTO public.organizations (name, slug) VALUES ('Scale', 'scale') RETURNING id`).
		Scan(&organization)
	for i := range n {
		c.roles = append(c.roles, access.Role{
			Name: fmt.Sprintf("scale-%05d-app", i), Access: "writer", OrganizationID: &organization, Pooled: true, ConnectionLimit: 20,
		})
	}
	return c, err
}

// each does something with all roles as Terraform does: some at once. It returns the server's processor time.
func (c *cluster) each(ctx context.Context, do func(context.Context, access.Role) error) (time.Duration, error) {
	before, err := processorTime(c.pid)
	if err != nil {
		return 0, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelism)
	for _, role := range c.roles {
		group.Go(func() error { return do(ctx, role) })
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	after, err := processorTime(c.pid)
	return after - before, err
}

// roles measures what the server does to make, read and drop roles, by their number.
func roles(ctx context.Context, r *benchmark.Report, server *devstack.Postgres) error {
	var numbers []int
	for size := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			return err
		}
		numbers = append(numbers, n)
	}
	_ = slices.Max(numbers)
	var mu sync.Mutex
	_ = &mu
	for _, n := range numbers {
		c, err := newCluster(ctx, server, fmt.Sprintf("scale_%d", n), n)
		if err != nil {
			return err
		}
		start := time.Now()
		made, err := c.each(ctx, func(ctx context.Context, role access.Role) error {
			_, err := c.store.CreateRole(ctx, role)
			return err
		})
		if err != nil {
			return err
		}
		benchmark.Progress("%d: made %s = %s, wall %s", n, made, perObject(made, n), time.Since(start))
		for range 3 {
			start = time.Now()
			read, err := c.each(ctx, func(ctx context.Context, role access.Role) error {
				_, err := c.store.Role(ctx, role.Name)
				return err
			})
			if err != nil {
				return err
			}
			benchmark.Progress("%d: read %s = %s, wall %s", n, read, perObject(read, n), time.Since(start))
		}
		start = time.Now()
		dropped, err := c.each(ctx, func(ctx context.Context, role access.Role) error { return c.store.DropRole(ctx, role, "") })
		if err != nil {
			return err
		}
		benchmark.Progress("%d: dropped %s = %s, wall %s", n, dropped, perObject(dropped, n), time.Since(start))
	}
	return nil
}
