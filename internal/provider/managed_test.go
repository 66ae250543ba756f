package provider_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

// Managed PostgreSQL gives nobody a superuser: all that the owner of two brownie databases of one cluster has is
// CREATEROLE. It migrates both, makes roles in each, and proves the isolation; no role gets into the other database.
func TestAccOwnerOfTwoDatabasesWithoutSuperuser(t *testing.T) {
	t.Parallel()
	server, err := devstack.StartPostgres(t.Context(), devstack.Options{HBA: []string{"# a server of its own, on which no superuser " +
		"has made the group roles"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	const owner = "brownie-terraform"
	admin, err := pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.Background()) }()
	for _, sql := range []string{
		`CREATE ROLE "` + owner + `" LOGIN CREATEROLE`, `CREATE ROLE "old-client" LOGIN`,
		`GRANT pg_use_reserved_connections TO "` + owner + `"`,
		`CREATE DATABASE north OWNER "` + owner + `"`, `CREATE DATABASE south OWNER "` + owner + `"`,
	} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	const proof = `
data "brownie_tenant_isolation" "proof" {
  depends_on = [brownie_role.tenant]
}
check "isolated" {
  assert {
    condition     = data.brownie_tenant_isolation.proof.isolated
    error_message = data.brownie_tenant_isolation.proof.summary
  }
}
output "isolated" { value = data.brownie_tenant_isolation.proof.isolated }
`
	config := func(database, access string) string {
		return `
resource "brownie_migration" "schema" {}
resource "brownie_organization" "acme" {
  name                = "Acme"
  slug                = "acme"
  deletion_protection = false
  depends_on          = [brownie_migration.schema]
}
resource "brownie_role" "tenant" {
  name              = "` + database + `-tenant"
  access            = "` + access + `"
  organization_id   = brownie_organization.acme.id
  reassign_owned_to = "` + owner + `"
}
resource "brownie_role" "server" {
  name       = "` + database + `-server"
  access     = "admin"
  depends_on = [brownie_migration.schema]
}
resource "brownie_role" "migrator" {
  name       = "` + database + `-migrator"
  access     = "migrator"
  depends_on = [brownie_migration.schema]
}
` + proof
	}
	workspaces := map[string]acctest.Workspace{}
	for _, database := range []string{"north", "south"} {
		w := acctest.NewWorkspaceWith(t, acctest.AsRole(t, server, database, owner), config(database, "writer"))
		workspaces[database] = w
		if output := w.MustRun("apply", "-auto-approve"); strings.Contains(output, "not stopped") {
			t.Error(output)
		}
		w.NoChanges()
		if output := w.MustRun("output", "isolated"); !strings.HasPrefix(output, "true") {
			t.Errorf("%s: isolated = %s", database, output)
		}
	}
	for from, to := range map[string]string{"north": "south", "south": "north"} {
		for _, role := range []string{"-tenant", "-server", "-migrator"} {
			if _, err := acctest.ConnectAs(t, server, from, from+role); err != nil {
				t.Errorf("%s cannot log in to its own database: %s", from+role, err)
			}
			if _, err := acctest.ConnectAs(t, server, to, from+role); err == nil || !strings.Contains(err.Error(),
				"permission denied for database") {
				t.Errorf("%s logs in to %s: %v", from+role, to, err)
			}
		}
	}
	if _, err := acctest.ConnectAs(t, server, "north", "old-client"); err == nil {
		t.Error("a role that has nothing to do with the database logs in to it")
	}

	// A compromised role is shut out, sessions included, by an owner who is no member of it.
	session, err := acctest.ConnectAs(t, server, "north", "north-tenant")
	if err != nil {
		t.Fatal(err)
	}
	locked := strings.Replace(config("north", "writer"), `reassign_owned_to`, "locked            = true\n  reassign_owned_to", 1)
	workspaces["north"].Write(locked)
	workspaces["north"].MustRun("apply", "-auto-approve")
	workspaces["north"].NoChanges()
	if _, err := session.Exec(t.Context(), `SELECT 1`); err == nil {
		t.Error("a session outlived the lock of its role")
	}
	if _, err := acctest.ConnectAs(t, server, "north", "north-tenant"); err == nil || !strings.Contains(err.Error(),
		"not permitted to log in") {
		t.Errorf("a locked role logs in: %v", err)
	}
	workspaces["north"].Write(config("north", "writer"))
	workspaces["north"].MustRun("apply", "-auto-approve")
	if _, err := acctest.ConnectAs(t, server, "north", "north-tenant"); err != nil {
		t.Errorf("a role that is locked no longer cannot log in: %s", err)
	}

	// A migrator may do what the owner may, and Terraform works as one, but for roles.
	migrator, err := acctest.ConnectAs(t, server, "north", "north-migrator")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrator.Exec(t.Context(), `ALTER TABLE incidents ADD COLUMN later text; CREATE TABLE notes (organization_id uuid);
		SELECT brownie.isolate_table('notes')`); err != nil {
		t.Errorf("a migrator cannot migrate: %s", err)
	}
	asMigrator := acctest.NewWorkspaceWith(t, acctest.AsRole(t, server, "north", "north-migrator"), `
resource "brownie_migration" "schema" {}
data "brownie_organizations" "all" {}
output "count" { value = length(data.brownie_organizations.all.organizations) }`)
	asMigrator.MustRun("apply", "-auto-approve")
	if output := asMigrator.MustRun("output", "count"); !strings.HasPrefix(output, "1") {
		t.Errorf("a migrator sees %s organizations", output)
	}

	// Changes, drift and destruction, with sessions open and objects owned.
	w := workspaces["north"]
	refuseToDropWhatASuperuserGranted(t, server, w, config("north", "writer"))
	tenant, err := acctest.ConnectAs(t, server, "north", "north-tenant")
	if err != nil {
		t.Fatal(err)
	}
	w.Write(config("north", "reader"))
	w.MustRun("apply", "-auto-approve")
	w.NoChanges()
	w.MustRun("destroy", "-auto-approve")
	if err := tenant.Ping(t.Context()); err == nil {
		t.Error("a session of a destroyed role goes on")
	}
	var left int
	if err := admin.QueryRow(t.Context(), `SELECT count(*) FROM pg_roles WHERE rolname LIKE 'north-%'`).Scan(&left); err != nil ||
		left != 0 {
		t.Errorf("%d roles are left, %v", left, err)
	}
}

// What a superuser granted, the owner cannot revoke. It says so before it changes anything; and it can give away what
// the role owns to another role that it made.
func refuseToDropWhatASuperuserGranted(t *testing.T, server *devstack.Postgres, w acctest.Workspace, rest string) {
	t.Helper()
	admin, err := acctest.ConnectAs(t, server, "north", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	execute := func(sql string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	heirs := `
resource "brownie_role" "heir" {
  name              = "north-heir"
  access            = "migrator"
  reassign_owned_to = "brownie-terraform"
  depends_on        = [brownie_migration.schema]
}
`
	leaving := heirs + `
resource "brownie_role" "leaving" {
  name              = "north-leaving"
  access            = "migrator"
  reassign_owned_to = brownie_role.heir.name
}
`
	w.Write(rest + leaving)
	w.MustRun("apply", "-auto-approve")
	execute(`CREATE TABLE theirs (id int); CREATE TABLE ours (id int); ALTER TABLE ours OWNER TO "north-leaving";
		GRANT SELECT ON theirs TO "north-leaving"`)
	w.Write(rest + heirs)
	output, err := w.Apply()
	if err == nil || !strings.Contains(output, "privileges for table theirs") || !strings.Contains(output, "superuser, must revoke") {
		t.Errorf("dropping a role to which a superuser granted something: %v\n%s", err, output)
	}
	if _, err := acctest.ConnectAs(t, server, "north", "north-leaving"); err != nil {
		t.Errorf("the refusal locked the role out: %s", err)
	}
	execute(`REVOKE SELECT ON theirs FROM "north-leaving"`)
	w.MustRun("apply", "-auto-approve")
	var owner string
	if err := admin.QueryRow(t.Context(), `SELECT tableowner FROM pg_tables WHERE tablename = 'ours'`).Scan(&owner); err != nil ||
		owner != "north-heir" {
		t.Errorf("the table belongs to %s, %v", owner, err)
	}
	w.Write(rest)
	w.MustRun("apply", "-auto-approve")
	execute(`DROP TABLE theirs`)
}

// Who may create roles but does not own the database is told what is missing, and leaves nothing behind.
func TestAccRoleWithoutTheRights(t *testing.T) {
	t.Parallel()
	server, err := devstack.StartPostgres(t.Context(), devstack.Options{HBA: []string{"# a server of its own, because of the roles"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	if err := server.CreateDatabase(t.Context(), "app", ""); err != nil {
		t.Fatal(err)
	}
	acctest.NewWorkspaceWith(t, acctest.AsRole(t, server, "app", "postgres"),
		`resource "brownie_migration" "schema" {}`).MustRun("apply", "-auto-approve")
	admin, err := acctest.ConnectAs(t, server, "app", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	w := acctest.NewWorkspaceWith(t, acctest.AsRole(t, server, "app", "maker"), `resource "brownie_role" "r" {
  name   = "made"
  access = "reader"
}`)
	for _, step := range []struct{ grant, want string }{
		{`CREATE ROLE maker LOGIN; GRANT CONNECT ON DATABASE app TO maker`, "ALTER ROLE maker CREATEROLE"},
		{`ALTER ROLE maker CREATEROLE`, "GRANT brownie_migrator TO maker"},
		{`GRANT brownie_migrator TO maker`, "TO maker WITH ADMIN OPTION"},
		{
			`GRANT brownie_reader, brownie_all_tenants, brownie_pooled TO maker WITH ADMIN OPTION`,
			"GRANT brownie_connect_app TO maker WITH ADMIN OPTION",
		},
		{`GRANT brownie_connect_app TO maker WITH ADMIN OPTION`, ""},
	} {
		if _, err := admin.Exec(t.Context(), step.grant); err != nil {
			t.Fatal(err)
		}
		output, err := w.Run("plan")
		if strings.Contains(output, "role_bindings") {
			t.Errorf("after %s, a grant on a table of ours is suggested:\n%s", step.grant, output)
		}
		if step.want == "" {
			output, err = w.Apply()
		}
		if step.want == "" && err != nil || step.want != "" && !acctest.Says(step.want).MatchString(output) {
			t.Errorf("after %s: %v\n%s", step.grant, err, output)
		}
	}
	w.NoChanges()
	// A role that somebody else made can be looked at, and not be changed or destroyed.
	exec := func(sql string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(arguments ...string) {
		t.Helper()
		if output, err := w.Run(arguments...); err == nil || !acctest.Says("GRANT theirs TO maker WITH ADMIN OPTION").MatchString(output) {
			t.Errorf("%v: %v\n%s", arguments, err, output)
		}
	}
	exec(`CREATE ROLE other CREATEROLE; SET ROLE other; CREATE ROLE theirs LOGIN; RESET ROLE`)
	w.Write(`import {
  to = brownie_role.r
  id = "theirs"
}
resource "brownie_role" "r" {
  name   = "theirs"
  access = "reader"
}`)
	w.MustRun("state", "rm", "brownie_role.r")
	refused("plan")
	exec(`GRANT theirs TO maker WITH ADMIN OPTION`)
	w.MustRun("apply", "-auto-approve")
	exec(`REVOKE theirs FROM maker`)
	w.NoChanges()
	refused("plan", "-destroy")
	exec(`GRANT theirs TO maker WITH ADMIN OPTION`)
	w.MustRun("destroy", "-auto-approve")
}

// Clients that used the tables before the policies came go on seeing all rows, and so does the old owner.
func TestAccExistingClientsKeepWorking(t *testing.T) {
	t.Parallel()
	server, err := devstack.StartPostgres(t.Context(), devstack.Options{HBA: []string{"# a server of its own, because of the roles"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	admin, err := pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.Background()) }()
	for _, sql := range []string{
		`CREATE ROLE "old-owner" LOGIN`, `CREATE ROLE "old-server" LOGIN`, `CREATE ROLE "old-report" LOGIN`, `CREATE ROLE stranger LOGIN`,
		`CREATE DATABASE app OWNER "old-owner"`,
	} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	w := acctest.NewWorkspaceWith(t, acctest.AsRole(t, server, "app", "old-owner"), `resource "brownie_migration" "schema" { version = 6 }`)
	w.MustRun("apply", "-auto-approve")
	before, err := acctest.ConnectAs(t, server, "app", "old-owner")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.Exec(t.Context(), `
		GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "old-server"; GRANT SELECT ON incidents,
			organizations TO "old-report";
		INSERT INTO organizations (name, slug) VALUES ('Acme', 'acme'), ('Globex', 'globex')`); err != nil {
		t.Fatal(err)
	}
	asAdmin := acctest.NewWorkspaceWith(t, acctest.AsRole(t, server, "app", "postgres"), `resource "brownie_migration" "schema" {}`)
	asAdmin.MustRun("apply", "-auto-approve")
	for _, client := range []string{"old-owner", "old-server", "old-report"} {
		conn, err := acctest.ConnectAs(t, server, "app", client)
		if err != nil {
			t.Errorf("%s cannot log in any more: %s", client, err)
			continue
		}
		var rows int
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM organizations`).Scan(&rows); err != nil || rows != 2 {
			t.Errorf("%s sees %d organizations, %v", client, rows, err)
		}
		_, err = conn.Exec(t.Context(), `INSERT INTO organizations (name, slug) VALUES ($1, $1)`, client)
		if (err == nil) != (client != "old-report") {
			t.Errorf("%s inserts an organization: %v", client, err)
		}
		if _, err := conn.Exec(t.Context(), `DELETE FROM organizations WHERE name = $1`, client); client != "old-report" && err != nil {
			t.Errorf("%s deletes: %s", client, err)
		}
	}
	if _, err := acctest.ConnectAs(t, server, "app", "stranger"); err == nil {
		t.Error("a stranger logs in")
	}
}
