package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/patience"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// A row that is created with the name of one that is about to be deleted waits for that.
func TestACreateWaitsForTheNameToBeFree(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, func(o *tenancy.Organization) { o.MaxTeams, o.MaxUsersPerTeam = 1, 1 })
	tenant.store.Patience.Limit = 10 * time.Second
	user := testdb.Must(tenant.store.CreateUser(t.Context(), newUser(tenant.team, "ada")))(t)
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := tenant.store.CreateUser(t.Context(), newUser(tenant.team, "ada")); err != nil {
			t.Errorf("the same e-mail address: %s", err)
		}
	})
	group.Go(func() {
		time.Sleep(300 * time.Millisecond)
		if err := tenant.store.DeleteUser(t.Context(), user.ID); err != nil {
			t.Error(err)
		}
	})
	group.Wait()
}

// The place within a limit, too.
func TestACreateWaitsForAPlace(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, func(o *tenancy.Organization) { o.MaxTeams = 1 })
	tenant.store.Patience.Limit = 10 * time.Second
	time.AfterFunc(300*time.Millisecond, func() { _ = tenant.store.DeleteTeam(context.Background(), tenant.team.ID) })
	if _, err := tenant.store.CreateTeam(t.Context(), newTeam(tenant.organization, "other")); err != nil {
		t.Error(err)
	}
}

// Nobody frees it: the error is the same as without waiting, and comes when the time is over or the caller gives up.
func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil)
	tenant.store.Patience.Limit = 200 * time.Millisecond
	var taken *tenancy.DuplicateError
	if _, err := tenant.store.CreateTeam(t.Context(), newTeam(tenant.organization, "platform")); !errors.As(err, &taken) {
		t.Errorf("got %v, want a DuplicateError", err)
	}
	tenant.store.Patience.Limit = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := tenant.store.CreateTeam(ctx, newTeam(tenant.organization, "platform")); !errors.As(err, &taken) {
		t.Errorf("got %v, want a DuplicateError", err)
	}
}

// teams makes teams with these slugs.
func (tenant tenant) teams(t *testing.T, slugs ...string) []tenancy.Team {
	t.Helper()
	var teams []tenancy.Team
	for _, slug := range slugs {
		teams = append(teams, testdb.Must(tenant.store.CreateTeam(t.Context(), newTeam(tenant.organization, slug)))(t))
	}
	return teams
}

// rename gives all teams new slugs at once, and returns what became of each.
func (tenant tenant) rename(t *testing.T, teams []tenancy.Team, slugs ...string) []error {
	t.Helper()
	errs := make([]error, len(teams))
	var group sync.WaitGroup
	for i, team := range teams {
		group.Go(func() {
			time.Sleep(time.Duration(i) * 50 * time.Millisecond) // the one that all wait for comes last
			after := team
			after.Slug = slugs[i]
			_, errs[i] = tenant.store.UpdateTeam(t.Context(), team, after)
		})
	}
	group.Wait()
	return errs
}

func TestChainsOfRenamesWork(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil)
	tenant.store.Patience.Limit = 10 * time.Second
	teams := tenant.teams(t, "a", "b", "c", "d")
	if err := errors.Join(tenant.rename(t, teams, "b", "c", "d", "e")...); err != nil {
		t.Error(err)
	}
}

// Of a swap, and of a longer circle, each is told at once what it is.
func TestASwapIsToldAtOnce(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			tenant := newTenant(t, nil)
			tenant.store.Patience.Limit = time.Minute
			slugs := []string{"a", "b", "c"}[:n]
			teams := tenant.teams(t, slugs...)
			start := time.Now()
			for _, err := range tenant.rename(t, teams, append(slugs[1:], slugs[0])...) {
				var swap *patience.SwapError
				if !errors.As(err, &swap) || swap.Attribute() != "slug" || !strings.Contains(err.Error(), "third slug and apply") {
					t.Errorf("got %v, want a SwapError about slug that says how to", err)
				}
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// When everything that Terraform works on at once would wait, it cannot make the change that all wait for: the last one gives up.
func TestACrowdDoesNotWait(t *testing.T) {
	t.Parallel()
	tenant := newTenant(t, nil)
	tenant.store.Patience.Limit = time.Minute
	tenant.store.Patience.Wait = func() (func(), bool) { return func() {}, false }
	_, err := tenant.store.CreateTeam(t.Context(), newTeam(tenant.organization, "platform"))
	var taken *tenancy.DuplicateError
	if !errors.As(err, &taken) || !strings.Contains(err.Error(), "apply again") {
		t.Errorf("got %v, want a DuplicateError that says to apply again", err)
	}
}
