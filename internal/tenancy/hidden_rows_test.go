package tenancy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// What a session does not see need not be gone: nothing is missing, listed or deleted unless the session sees all tenants.
func TestHiddenRowsAreNotGone(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil, testdb.Certificates)
	database, owner, acme, team := tenant.database, tenant.store, tenant.organization, tenant.team
	user := testdb.Must(owner.CreateUser(t.Context(), newUser(team, "jane")))(t)
	other := testdb.Must(owner.CreateOrganization(t.Context(), tenancy.Organization{Name: "Other", Slug: "other"}))(t)
	role := "hidden-" + database
	service := serviceRole(t, database, role, "admin")
	store := tenancy.New(service)

	const restore = `UPDATE brownie.role_bindings SET valid_until = NULL, organization_id = NULL, access = 'admin' WHERE role_name = `
	for hiding, words := range map[string]string{
		`UPDATE brownie.role_bindings SET valid_until = now() - interval '1 s' WHERE role_name = `: "does not own the schema",
		`UPDATE brownie.role_bindings SET access = 'monitor' WHERE role_name = `:                   "service role of another access",
		`UPDATE brownie.role_bindings SET organization_id = '` + other.ID + `' WHERE role_name = `: "acts for organization " + other.ID,
	} {
		if _, err := store.Organization(t.Context(), acme.ID); err != nil {
			t.Fatalf("before %s: %v", hiding, err)
		}
		testdb.Exec(t, database, hiding+`'`+role+`'`) // while the connection stays open
		for what, try := range map[string]func() error{
			"read":        func() error { _, err := store.Organization(t.Context(), acme.ID); return err },
			"by slug":     func() error { _, err := store.OrganizationBySlug(t.Context(), "acme"); return err },
			"list":        func() error { _, err := store.Organizations(t.Context(), tenancy.OrganizationFilter{}); return err },
			"teams":       func() error { _, err := store.Teams(t.Context(), tenancy.TeamFilter{}); return err },
			"usage":       func() error { _, err := store.OrganizationUsage(t.Context(), other.ID); return err },
			"delete":      func() error { return store.DeleteTeam(t.Context(), team.ID) },
			"delete user": func() error { return store.DeleteUser(t.Context(), user.ID) },
			"keep user":   func() error { return store.SoftDeleteUser(t.Context(), user.ID) },
			"delete all":  func() error { return store.DeleteOrganization(t.Context(), acme.ID) },
			"update": func() error {
				_, err := store.UpdateTeam(t.Context(), team, newTeam(acme, "renamed"))
				return err
			},
		} {
			err := try()
			if err == nil || errors.Is(err, postgres.ErrNotFound) || !strings.Contains(err.Error(), words) ||
				!strings.Contains(err.Error(), "brownie_migrator") || !strings.Contains(err.Error(), role) {
				t.Errorf("after %s, %s: got %v, want %q", hiding, what, err, words)
			}
		}
		testdb.Exec(t, database, restore+`'`+role+`'`)
	}
	if _, err := store.Organization(t.Context(), "00000000-0000-0000-0000-000000000000"); !errors.Is(err, postgres.ErrNotFound) {
		t.Errorf("what is gone: %v", err)
	}
	if n := len(testdb.Must(store.Organizations(t.Context(), tenancy.OrganizationFilter{}))(t)); n != 2 {
		t.Errorf("a service role lists %d organizations", n)
	}
}

// Who manages with the login of one tenant, by mistake, learns with which one to log in.
func TestATenantsLoginIsTold(t *testing.T) {
	t.Parallel()
	database := testdb.Migrated(t, testdb.Certificates)
	service := serviceRole(t, database, "tenant-"+database, "admin")
	testdb.Exec(t, database, `REVOKE brownie_all_tenants, brownie_admin FROM "tenant-`+database+`"; GRANT brownie_writer TO "tenant-`+
		database+`"`)
	_, err := tenancy.New(service).Organization(t.Context(), "00000000-0000-0000-0000-000000000000")
	if err == nil || !strings.Contains(err.Error(), "permission denied") || !strings.Contains(err.Error(), "member of brownie_migrator") {
		t.Errorf("got %v", err)
	}
}

// A policy that somebody dropped hides rows from the owner of a table, too.
func TestRowsHiddenByADroppedPolicyAreNotGone(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil, testdb.Certificates)
	database, store, acme, team := tenant.database, tenant.store, tenant.organization, tenant.team
	testdb.Exec(t, database, `DROP POLICY owner ON public.teams`)
	if _, err := store.Team(t.Context(), team.ID); err == nil || errors.Is(err, postgres.ErrNotFound) ||
		!strings.Contains(err.Error(), "teams") || !strings.Contains(err.Error(), "owns the schema") {
		t.Errorf("got %v", err)
	}
	if _, err := store.Organization(t.Context(), acme.ID); err != nil {
		t.Error(err)
	}
}

// So does a policy that somebody added or changed, from owners and service roles alike: nothing is gone, and the policy is named.
func TestRowsHiddenByARestrictivePolicyAreNotGone(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil, testdb.Certificates)
	database, owner, acme, team := tenant.database, tenant.store, tenant.organization, tenant.team
	user := testdb.Must(owner.CreateUser(t.Context(), newUser(team, "jane")))(t)
	role := "narrow-" + database
	service := tenancy.New(serviceRole(t, database, role, "admin"))
	for _, c := range []struct {
		hide, show, policy string
		stores             []*tenancy.Store
	}{
		{
			`CREATE POLICY mine ON public.users AS RESTRICTIVE TO public USING (email <> 'jane@acme.example')`,
			`DROP POLICY mine ON public.users`, "mine of ",
			[]*tenancy.Store{owner, service},
		},
		{
			`CREATE POLICY mine ON public.users AS RESTRICTIVE FOR SELECT TO brownie_all_tenants USING (false)`,
			`DROP POLICY mine ON public.users`, "mine of ",
			[]*tenancy.Store{service},
		},
		{
			`ALTER POLICY "0_tenant" ON public.users USING (false)`,
			`SELECT brownie.write_policies('public.users')`, `"0_tenant" of `,
			[]*tenancy.Store{service},
		},
		{
			`DO $$ BEGIN EXECUTE (SELECT 'ALTER POLICY "0_tenant" ON public.users USING (email <> ''jane@acme.example'' AND ' ||
				pg_get_expr(polqual, polrelid) || ')' FROM pg_policy WHERE polname = '0_tenant' AND polrelid = 'public.users'::regclass); END $$`,
			`SELECT brownie.write_policies('public.users')`, `"0_tenant" of `,
			[]*tenancy.Store{service},
		},
		{
			`ALTER POLICY all_tenants_indexes ON public.users USING (nullif(organization_id, '` + acme.ID +
				`') OPERATOR(brownie_service.>=) '00000000-0000-0000-0000-000000000000'::uuid)`,
			`SELECT brownie.write_policies('public.users')`, "all_tenants_indexes of ",
			[]*tenancy.Store{service},
		},
		{
			`ALTER POLICY all_tenants_indexes ON public.users USING (false)`,
			`SELECT brownie.write_policies('public.users')`, "all_tenants_indexes of ",
			[]*tenancy.Store{service},
		},
	} {
		testdb.Exec(t, database, c.hide)
		for _, store := range c.stores {
			_, read := store.User(t.Context(), user.ID)
			_, list := store.Users(t.Context(), tenancy.UserFilter{})
			for what, err := range map[string]error{"read": read, "list": list, "delete": store.DeleteUser(t.Context(), user.ID)} {
				if err == nil || errors.Is(err, postgres.ErrNotFound) || !strings.Contains(err.Error(), c.policy) {
					t.Errorf("after %s, %s: got %v", c.hide, what, err)
				}
			}
		}
		testdb.Exec(t, database, c.show)
		for _, store := range []*tenancy.Store{owner, service} {
			if _, err := store.User(t.Context(), "00000000-0000-0000-0000-000000000000"); !errors.Is(err, postgres.ErrNotFound) {
				t.Errorf("after %s: %v", c.show, err)
			}
		}
	}
}
