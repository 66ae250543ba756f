package tenancy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// What is made or deleted at the same time shares transactions. What is wrong with one object is its own matter.
func TestObjectsAreMadeAndDeletedTogether(t *testing.T) {
	t.Parallel()
	const n = 30
	tenant := newTenant(t, func(o *tenancy.Organization) { o.MaxTeams = 2 })
	wanted := func(base string, i int) tenancy.Organization {
		slug := fmt.Sprintf("%s-%d", base, i)
		return tenancy.Organization{Name: slug, Slug: slug, IsActive: true, MaxTeams: int32(i + 1), MaxUsersPerTeam: 50}
	}
	create := func(o tenancy.Organization) error {
		made, err := tenant.store.CreateOrganization(t.Context(), o)
		if err == nil && (made.Slug != o.Slug || made.MaxTeams != o.MaxTeams) {
			err = fmt.Errorf("wanted %+v, made %+v", o, made)
		}
		return err
	}
	made, failures := race(n, func(i int) error {
		o := wanted("some", i)
		if i == 7 {
			o.Slug = tenant.organization.Slug
		}
		return create(o)
	})
	var duplicate *tenancy.DuplicateError
	if made != n-1 || len(failures) != 1 || !errors.As(failures[0], &duplicate) {
		t.Errorf("%d were made, and %v", made, failures)
	}
	if made, failures = race(n, func(i int) error { return create(wanted("all", i)) }); made != n {
		t.Errorf("%d were made, and %v", made, failures)
	}
	transactions := testdb.Value[int64](t, tenant.database,
		`SELECT count(DISTINCT xmin::text) FROM public.organizations WHERE slug LIKE 'all-%'`)
	if t.Logf("%d organizations were made in %d transactions", n, transactions); transactions > n/2 {
		t.Error("those are too many")
	}

	organizations := testdb.Must(tenant.store.Organizations(t.Context(), tenancy.OrganizationFilter{}))(t)
	stores := []*tenancy.Store{tenant.store, tenancy.New(testdb.DB(t, tenant.database))} // two applies
	// The one of the limit has a team already.
	made, failures = race(2*len(organizations), func(i int) error {
		o := organizations[i/2]
		if i%2 == 1 {
			o = organizations[len(organizations)-1-i/2] // in the other order
		}
		_, err := stores[i%2].CreateTeam(t.Context(), newTeam(o, fmt.Sprintf("team-%d", i%2)))
		return err
	})
	want := 0
	for _, o := range organizations {
		want += min(int(o.MaxTeams), 2)
	}
	if want--; made != want {
		t.Errorf("%d teams were made, want %d; %v", made, want, failures)
	}
	for _, err := range failures {
		var limit *tenancy.LimitError
		if !errors.As(err, &limit) {
			t.Errorf("got %v", err)
		}
	}

	teams := testdb.Must(tenant.store.Teams(t.Context(), tenancy.TeamFilter{}))(t)
	if deleted, failures := race(len(teams), func(i int) error {
		if teams[i].OrganizationID == tenant.organization.ID {
			return nil
		}
		return tenant.store.DeleteTeam(t.Context(), teams[i].ID)
	}); deleted != len(teams) {
		t.Errorf("%d teams of %d were deleted; %v", deleted, len(teams), failures)
	}
	deleted, failures := race(len(organizations), func(i int) error { return tenant.store.DeleteOrganization(t.Context(), organizations[i].ID) })
	var notEmpty *tenancy.NotEmptyError
	if deleted != len(organizations)-1 || len(failures) != 1 || !errors.As(failures[0], &notEmpty) {
		t.Errorf("%d organizations of %d were deleted; %v", deleted, len(organizations), failures)
	}
	if left := testdb.Value[string](t, tenant.database, `SELECT string_agg(slug, ' ') FROM public.organizations`); left != "acme" {
		t.Errorf("left are %s", left)
	}
}

// Whose row somebody holds waits for that. All others do not.
func TestALockedRowHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil)
	organizations := []tenancy.Organization{tenant.organization}
	for i := range 4 {
		slug := fmt.Sprintf("other-%d", i)
		organizations = append(organizations, testdb.Must(tenant.store.CreateOrganization(t.Context(), tenancy.Organization{
			Name: slug, Slug: slug, MaxTeams: 9, MaxUsersPerTeam: 9,
		}))(t))
	}
	conn := connect(t, tenant.database)
	holder := testdb.Must(conn.Begin(t.Context()))(t)
	if _, err := holder.Exec(t.Context(), `SELECT FROM public.organizations WHERE slug = 'acme' FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	held := make(chan error, 1)
	go func() {
		_, err := tenant.store.CreateTeam(t.Context(), newTeam(organizations[0], "new"))
		held <- err
	}()
	var group sync.WaitGroup
	for _, round := range []string{"first", "second"} {
		for _, o := range organizations[1:] {
			group.Go(func() {
				if _, err := tenant.store.CreateTeam(t.Context(), newTeam(o, round)); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
	select {
	case err := <-held:
		t.Errorf("the team of the locked organization was made: %v", err)
	default:
	}
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-held; err != nil {
		t.Error(err)
	}
}

// What is made together is what would be made alone, also where a trigger of somebody else changes it.
func TestATriggerThatChangesIDs(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil)
	testdb.Exec(t, tenant.database, `CREATE FUNCTION public.own_id() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN NEW.id := gen_random_uuid(); RETURN NEW; END'`)
	testdb.Exec(t, tenant.database, `CREATE TRIGGER zz BEFORE INSERT ON public.teams FOR EACH ROW EXECUTE FUNCTION public.own_id()`)
	var ids sync.Map
	made, failures := race(8, func(i int) error {
		team, err := tenant.store.CreateTeam(t.Context(), newTeam(tenant.organization, fmt.Sprintf("team-%d", i)))
		ids.Store(team.ID, true)
		return err
	})
	if made != 8 {
		t.Errorf("%d were made; %v", made, failures)
	}
	for _, id := range strings.Fields(testdb.Value[string](t, tenant.database, `SELECT string_agg(id::text, ' ') FROM public.teams
		WHERE slug LIKE 'team-%'`)) {
		if _, ok := ids.Load(id); !ok {
			t.Errorf("nobody was told of team %s", id)
		}
	}
}

// What is deleted with much beneath it is for itself; what has little shares transactions.
func TestMuchIsDeletedAlone(t *testing.T) {
	t.Parallel()
	const n = 6
	tenant := newTenant(t, nil)
	testdb.Exec(t, tenant.database, `CREATE TABLE public.deletions (id uuid, transaction text DEFAULT pg_current_xact_id()::text)`)
	testdb.Exec(t, tenant.database, `GRANT INSERT ON public.deletions TO PUBLIC`)
	testdb.Exec(t, tenant.database, `CREATE FUNCTION public.record() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN INSERT INTO public.deletions VALUES (OLD.id); RETURN NULL; END'`)
	for _, table := range []string{"organizations", "teams"} {
		testdb.Exec(t, tenant.database, `CREATE TRIGGER record AFTER DELETE ON public.`+table+` FOR EACH ROW EXECUTE FUNCTION public.record()`)
	}
	transactions := func(rows int, forced bool) int {
		organizations, teams := make([]string, n), make([]string, n)
		for i := range n {
			slug := fmt.Sprintf("with-%d-%d", rows, i)
			o := testdb.Must(tenant.store.CreateOrganization(t.Context(), tenancy.Organization{
				Name: slug, Slug: slug, MaxTeams: 9, MaxUsersPerTeam: 9, ForceDestroy: forced,
			}))(t)
			team := testdb.Must(tenant.store.CreateTeam(t.Context(), newTeam(o, "core")))(t)
			organizations[i], teams[i] = o.ID, team.ID
			testdb.Exec(t, tenant.database, `INSERT INTO public.stats (organization_id, team_id, metric_name, metric_type, value)
				SELECT $1, CASE WHEN of_team THEN $2::uuid END, 'a', 'b', 1
				FROM generate_series(1, $3::integer), (VALUES (true), (false)) AS x (of_team)`,
				o.ID, team.ID, rows)
		}
		for _, remove := range []func(int) error{
			func(i int) error { return tenant.store.DeleteTeam(t.Context(), teams[i]) },
			func(i int) error { return tenant.store.DeleteOrganization(t.Context(), organizations[i]) },
		} {
			if removed, failures := race(n, remove); removed != n {
				t.Errorf("%d of %d were deleted; %v", removed, n, failures)
			}
		}
		return testdb.Value[int](t, tenant.database, `SELECT count(DISTINCT transaction)::integer FROM public.deletions
			WHERE id = ANY ($1::uuid[])`, slices.Concat(organizations, teams))
	}
	if got := transactions(101, true); got != 2*n {
		t.Errorf("%d teams and organizations with much beneath them were deleted in %d transactions", 2*n, got)
	}
	if got := transactions(0, false); got > n {
		t.Errorf("%d plain ones were deleted in %d transactions", 2*n, got)
	}
}
