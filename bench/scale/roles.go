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
	oneLimit  = 5 // for changing or dropping one, whatever the number of the others: autovacuum may fall into it
)

// cluster is a server with many roles, all of one organization, and a login that manages them.
type cluster struct {
	pid          int
	admin        *pgx.Conn
	manager      string
	store        *access.Store
	organization string
	roles        int
	// made is the server's processor time for making them, in this round.
	made time.Duration
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

// grow makes roles until there are so many, and adds up what they cost the server.
func (c *cluster) grow(ctx context.Context, to int) error {
	cost, err := c.each(ctx, c.roles, to, c.make)
	if err != nil {
		return err
	}
	c.made += cost
	c.roles = to
	_, err = c.admin.Exec(ctx, "ANALYZE pg_authid, pg_auth_members, brownie.role_bindings")
	return err
}

func (c *cluster) make(ctx context.Context, role access.Role) error {
	_, err := c.store.CreateRole(ctx, role)
	return err
}

func (c *cluster) role(i int) access.Role {
	return access.Role{
		Name: fmt.Sprintf("%s-%d-app", c.manager, i), Access: "writer", OrganizationID: &c.organization, Pooled: true, ConnectionLimit: 20,
	}
}

// each does something with roles as Terraform does: some at once. It returns the server's processor time.
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
	return after - before, err
}

// measure returns what making n roles, reading them, and changing and dropping one more costs the server.
func (c *cluster) measure(ctx context.Context, n int) (figures []time.Duration, err error) {
	if err := c.grow(ctx, n); err != nil {
		return nil, err
	}
	read, err := c.each(ctx, 0, n, func(ctx context.Context, role access.Role) error {
		_, err := c.store.Role(ctx, role.Name)
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, err := c.each(ctx, n, n+few, c.make); err != nil {
		return nil, err
	}
	changed, err := c.each(ctx, n, n+few, func(ctx context.Context, role access.Role) error {
		other := role
		other.ConnectionLimit++
		_, err := c.store.UpdateRole(ctx, role, other)
		return err
	})
	if err != nil {
		return nil, err
	}
	dropped, err := c.each(ctx, n, n+few, func(ctx context.Context, role access.Role) error {
		return c.store.DropRole(ctx, role, "")
	})
	benchmark.Progress("%s, %d roles: made in %s, read in %s, one changed in %s and dropped in %s", c.manager, n,
		c.made.Round(time.Millisecond), read, changed/few, dropped/few)
	return []time.Duration{c.made, read, changed / few, dropped / few}, err
}

// clear drops all roles as a superuser, many at once.
func (c *cluster) clear(ctx context.Context) error {
	const atOnce = 500 // The server has room for the locks of so many.
	for c.roles > 0 {
		var names []string
		for ; c.roles > 0 && len(names) < atOnce; c.roles-- {
			names = append(names, pgx.Identifier{c.role(c.roles).Name}.Sanitize())
		}
		if _, err := c.admin.Exec(ctx, "DROP ROLE "+strings.Join(names, ", ")); err != nil {
			return err
		}
	}
	c.made = 0
	if _, err := c.admin.Exec(ctx, "DELETE FROM brownie.role_bindings"); err != nil {
		return err
	}
	_, err := c.admin.Exec(ctx, "VACUUM ANALYZE")
	return err
}

// few roles are made, changed and dropped to measure what one costs among many.
const few = 100

// roles measures what the server does to make, read and drop roles, by their number.
func roles(ctx context.Context, r *benchmark.Report, server *devstack.Postgres) error {
	r.Section("What one role costs the server")
	r.Text("Processor time of the server, ten at once, by the number of roles: making all of them, reading all, and changing and "+
		"dropping one of %d more, medians of %d rounds.", few, *rounds)
	numbers, err := numbersOfRoles()
	if err != nil {
		return err
	}
	superuser, err := server.Config("postgres")
	if err != nil {
		return err
	}
	table := [][]string{{"managed by", "roles", "make all", "read all", "change one", "drop one"}}
	for _, manager := range []string{"", superuser.Username} {
		c, err := newCluster(ctx, server, manager)
		if err != nil {
			return err
		}
		measured := make([][]benchmark.Series, len(numbers))
		for range *rounds {
			for i, n := range numbers {
				figures, err := c.measure(ctx, n)
				if err != nil {
					return err
				}
				if measured[i] == nil {
					measured[i] = make([]benchmark.Series, len(figures))
				}
				for k, figure := range figures {
					measured[i][k] = append(measured[i][k], figure)
				}
			}
			if err := c.clear(ctx); err != nil {
				return err
			}
		}
		table = append(table, reportRoles(r, c.manager, numbers, measured)...)
	}
	r.Table(table...)
	r.Text("PostgreSQL gives whoever makes a role ADMIN OPTION on it, and looks through all of those when that one makes or drops a role, "+
		"changes to another one or uses a right of one. `%s` has roles made by makers, of 250 each. A superuser is spared that.", login)
	return nil
}

func numbersOfRoles() (numbers []int, err error) {
	for size := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// reportRoles returns the rows of one manager, and checks them against those of the fewest roles.
func reportRoles(r *benchmark.Report, manager string, numbers []int, measured [][]benchmark.Series) (rows [][]string) {
	for i, n := range numbers {
		row, ratios := []string{"`" + manager + "`", strconv.Itoa(n)}, []string{"", "**ratio**"}
		for k, figures := range measured[i] {
			row = append(row, fmt.Sprintf("%.2f ms", figures.Median().Seconds()*1000))
			ratios = append(ratios, "**"+benchmark.Times(figures.Ratio(measured[0][k]))+"**")
		}
		rows = append(rows, row)
		if i == 0 {
			continue
		}
		rows = append(rows, ratios)
		times := float64(n) / float64(numbers[0])
		r.Limit(fmt.Sprintf("making %d roles as %s", n, manager), measured[i][0].Ratio(measured[0][0]), makeLimit*times)
		r.Limit(fmt.Sprintf("reading %d roles as %s", n, manager), measured[i][1].Ratio(measured[0][1]), readLimit*times)
		r.Limit(fmt.Sprintf("changing one of %d roles as %s", n, manager), measured[i][2].Ratio(measured[0][2]), oneLimit)
		r.Limit(fmt.Sprintf("dropping one of %d roles as %s", n, manager), measured[i][3].Ratio(measured[0][3]), oneLimit)
	}
	return rows
}
