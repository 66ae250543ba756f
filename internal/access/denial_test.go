package access_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// ownServer starts a server for one test.
func ownServer(t *testing.T, o devstack.Options) *devstack.Postgres {
	t.Helper()
	server := testdb.Must(devstack.StartPostgres(t.Context(), o))(t)
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	return server
}

// crowded is a server with 20 connections, of which a few are reserved: what the module postgres-auth reserves, and
// what PostgreSQL does for superusers. The provider has the rights that the guide gives it, and no more.
type crowded struct{ server *devstack.Postgres }

const crowdedDatabase = "brownie_metadata"

func newCrowded(t *testing.T) crowded {
	t.Helper()
	c := crowded{ownServer(t, devstack.Options{Settings: []string{"max_connections=20"}})}
	admin := testdb.Must(pgx.Connect(t.Context(), c.server.URL("postgres")))(t)
	defer func() { _ = admin.Close(context.Background()) }()
	guide := string(testdb.Must(os.ReadFile(filepath.Join(testdb.Repository(t), "templates", "guides", "connecting.md")))(t))
	_, documented, _ := strings.Cut(guide, "```sql\n")
	documented, _, _ = strings.Cut(documented, "```")
	for statement := range strings.SplitSeq(strings.TrimSpace(documented), ";\n") {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %s", statement, err)
		}
	}
	testdb.Migrate(t, c.config(t, postgres.DefaultUsername))
	return c
}

func (c crowded) config(t *testing.T, role string) postgres.Config {
	t.Helper()
	return testdb.ConfigOn(t, c.server, crowdedDatabase, role)
}

// asProvider connects anew, and gives its connections back.
func (c crowded) asProvider(t *testing.T, work func(db *postgres.DB, store *access.Store)) {
	t.Helper()
	db := postgres.New(c.config(t, postgres.DefaultUsername))
	defer db.Close()
	work(db, access.New(db))
}

// newTenant makes an organization and its role.
func (c crowded) newTenant(t *testing.T, name string, limit int32) (role access.Role) {
	t.Helper()
	c.asProvider(t, func(db *postgres.DB, store *access.Store) {
		organization := testdb.Must(postgres.QueryOne[struct{ ID string }](t.Context(), db,
			`INSERT INTO public.organizations (name, slug) VALUES ($1, $1) RETURNING id::text`, name))(t)
		role = testdb.Must(store.CreateRole(t.Context(), access.Role{
			Name: name, Access: "writer", OrganizationID: &organization.ID, Pooled: true, ConnectionLimit: limit,
		}))(t)
	})
	return role
}

// fill opens connections until the server refuses one, and returns how many there are and the refusal.
func (c crowded) fill(t *testing.T, role string) (opened int, refusal string) {
	t.Helper()
	for range 40 {
		conn, err := connect(t.Context(), c.config(t, role))
		if err != nil {
			return opened, err.Error()
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		opened++
	}
	return opened, ""
}

// works logs in as the role of a tenant and writes a row.
func (c crowded) works(t *testing.T, role string) {
	t.Helper()
	conn, err := connect(t.Context(), c.config(t, role))
	if err != nil {
		t.Fatalf("%s cannot log in: %s", role, err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	_, err = conn.Exec(t.Context(), `INSERT INTO teams (organization_id, name, slug) SELECT id, now(), now() FROM organizations`)
	if err != nil {
		t.Errorf("%s cannot work: %s", role, err)
	}
}

// A tenant takes what it may and no more; a role without a limit takes all that is left, and the provider still works.
func TestATenantShutsOutNobody(t *testing.T) {
	t.Parallel()
	c := newCrowded(t)
	c.newTenant(t, "acme", 8)
	c.newTenant(t, "globex", access.DefaultConnectionLimit(true))
	unlimited := access.Role{Name: "unlimited", Access: "reader", ConnectionLimit: access.DefaultConnectionLimit(false)}
	c.asProvider(t, func(_ *postgres.DB, store *access.Store) {
		unlimited = testdb.Must(store.CreateRole(t.Context(), unlimited))(t)
	})

	if opened, refusal := c.fill(t, "acme"); opened != 8 || !strings.Contains(refusal, `too many connections for role "acme"`) {
		t.Fatalf("acme has %d connections: %s", opened, refusal)
	}
	c.works(t, "globex")

	for range 3 { // sessions of before end a little later than their connections
		if _, refusal := c.fill(t, unlimited.Name); !strings.Contains(refusal, "reserved for roles with") {
			t.Fatalf("the server is not full: %s", refusal)
		}
		time.Sleep(200 * time.Millisecond)
	}
	if _, err := connect(t.Context(), c.config(t, "globex")); err == nil || !strings.Contains(err.Error(), "pg_use_reserved_connections") {
		t.Fatalf("the server is not full: %v", err)
	}
	c.newTenant(t, "initech", access.TenantConnections)
	c.asProvider(t, func(_ *postgres.DB, store *access.Store) {
		locked := unlimited
		locked.Locked = true
		testdb.Must(store.UpdateRole(t.Context(), unlimited, locked))(t)
	})
	c.works(t, "globex")
	c.works(t, "initech")
}

// A certificate that pg_ident.conf lets in as somebody else is no tenant's.
func TestNamesThatCertificatesAreMappedFrom(t *testing.T) {
	t.Parallel()
	server := ownServer(t, devstack.Options{HBA: []string{"host all nobody 127.0.0.1/32 ident map=machines"}})
	admin := testdb.Must(pgx.Connect(t.Context(), server.URL("postgres")))(t)
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	file := testdb.Must(pgx.CollectExactlyOneRow(testdb.Must(admin.Query(t.Context(), `SHOW ident_file`))(t), pgx.RowTo[string]))(t)
	appendLine := func(line string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), `COPY (SELECT '`+line+`') TO PROGRAM 'cat >> "`+file+`"'`); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range []string{
		"brownie gateway +brownie_pooled", "brownie same same", "machines deploy postgres", "unused stray postgres",
	} {
		appendLine(line)
	}
	if err := server.CreateDatabase(t.Context(), crowdedDatabase, ""); err != nil {
		t.Fatal(err)
	}
	config := testdb.Must(server.Config(crowdedDatabase))(t)
	testdb.Migrate(t, config)
	db := postgres.New(config)
	t.Cleanup(db.Close)
	store := access.New(db)
	create := func(name, level string) (access.Role, error) {
		return store.CreateRole(t.Context(), access.Role{Name: name, Access: level, ConnectionLimit: -1})
	}
	refused := func(err error, words string) {
		t.Helper()
		var mapped *access.MappedNameError
		if !errors.As(err, &mapped) || !strings.Contains(err.Error(), words) {
			t.Errorf("got %v, want %s", err, words)
		}
	}
	for name, words := range map[string]string{
		access.PoolerName: `(map brownie) lets a certificate of that name log in as +brownie_pooled`,
		"gateway":         file + ` (map brownie) lets a certificate of that name log in as +brownie_pooled`,
		"Gateway":         `(map brownie) lets a certificate of that name log in as +brownie_pooled`,
		"stray":           `(map unused) lets a certificate of that name log in as postgres`,
	} {
		_, err := create(name, "reader")
		refused(err, words)
	}
	for name, level := range map[string]string{"same": "reader", "deploy": "reader", "gateway": "pooler"} {
		role := testdb.Must(create(name, level))(t)
		changed := role
		changed.Access = "writer"
		if _, err := store.UpdateRole(t.Context(), role, changed); name == "gateway" {
			refused(err, "+brownie_pooled")
		} else if err != nil {
			t.Error(err)
		}
	}
	// Whoever has the name already can still be changed, and be locked above all.
	early := testdb.Must(create("early", "reader"))(t)
	appendLine("brownie early postgres")
	appendLine("brownie late postgres")
	renamed, locked := early, early
	renamed.Name, locked.Locked = "late", true
	_, err := store.UpdateRole(t.Context(), early, renamed)
	refused(err, "log in as postgres")
	testdb.Must(store.UpdateRole(t.Context(), early, locked))(t)
}
