package tenancy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// plans checks against the database what is planned, as far as the walk tells what will become of the rows that are there. What it
// cannot find out is left to the apply, which checks everything.
type plans struct {
	store *tenancy.Store
	walk  *tf.Walk

	organizations, teams remains
	facts                postgres.Loader[[]tenancy.Fact]
	wishes               postgres.Question
	maxima               sync.Map // of each organization that is planned
}

// remains counts what is left in organizations, or in teams: all, or of what is not known to go only what others have created.
type remains struct {
	all, others postgres.Loader[tenancy.Remains]
}

func newPlans(store *tenancy.Store, walk *tf.Walk) *plans {
	p := &plans{store: store, walk: walk}
	p.organizations.init(store, func(ctx context.Context, ids []string, made bool) (map[string]tenancy.Remains, error) {
		return store.RemainsOfOrganizations(ctx, ids, p.going(ids, nil, made))
	})
	p.teams.init(store, func(ctx context.Context, ids []string, made bool) (map[string]tenancy.Remains, error) {
		var organizations []string
		for _, id := range ids {
			if outcome, _ := walk.Outcome("team", id); !slices.Contains(organizations, outcome.Organization) {
				organizations = append(organizations, outcome.Organization)
			}
		}
		return store.RemainsOfTeams(ctx, ids, p.going(organizations, ids, made))
	})
	p.facts.Init(store.InFlight(), func(ctx context.Context, wishes []string) (map[string][]tenancy.Fact, error) {
		return postgres.Ask(ctx, &p.wishes, func(ctx context.Context) (map[string][]tenancy.Fact, error) {
			return store.Facts(ctx, wishes)
		})
	})
	return p
}

func (r *remains) init(store *tenancy.Store, load func(ctx context.Context, ids []string, made bool) (map[string]tenancy.Remains, error)) {
	r.all.Init(store.InFlight(), func(ctx context.Context, ids []string) (map[string]tenancy.Remains, error) {
		return load(ctx, ids, false)
	})
	r.others.Init(store.InFlight(), func(ctx context.Context, ids []string) (map[string]tenancy.Remains, error) {
		return load(ctx, ids, true)
	})
}

// planned is a resource whose plans are checked.
type planned struct {
	tf.Resource[tenancy.Store]
	plans     *plans
	noun, key string // key is the attribute that messages call the object by
}

// Configure takes what is needed from the provider.
func (r *planned) Configure(ctx context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.Resource.Configure(ctx, req, resp)
	r.plans = tf.BackendOf[plans](req.ProviderData)
}

// sees tells that Terraform refreshes an object.
func (r *planned) sees(state tftypes.Value) {
	o := objectOf(state)
	r.plans.walk.Read(r.noun, o.get("id"), tf.Outcome{Organization: o.get("organization_id"), From: o.get("team_id")})
}

// apply is the backend, for a change.
func (r *planned) apply() *tenancy.Store {
	r.plans.walk.Applies()
	return r.Backend
}

// doubt is what the apply may refuse, or what is to be read before it: a warning.
type doubt struct{ error }

func (d doubt) Unwrap() error { return d.error }

func report(diags *diag.Diagnostics, verb, noun, name string, err error) {
	if !errors.As(err, new(doubt)) {
		tf.AddError(diags, verb, noun, name, err)
		return
	}
	tf.AddWarning(diags, fmt.Sprintf("Read before you %s the %s", verb, noun), noun, name, err)
}

// planChange refuses what another row stands in the way of.
func (r *planned) planChange(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	tf.RefuseNew(ctx, req, &resp.Diagnostics)
	if r.plans == nil || resp.Diagnostics.HasError() {
		return
	}
	state, plan := objectOf(req.State.Raw), objectOf(req.Plan.Raw)
	replaced := tf.Replaced(ctx, state.get("id"), req, resp)
	verb, name := "create", plan.get(r.key)
	if state != nil {
		verb, name = "update", state.get(r.key)
	}
	if err := r.plans.check(ctx, r.plans.changeOf(r.noun, state, plan, replaced)); err != nil {
		report(&resp.Diagnostics, verb, r.noun, name, err)
	}
}

// planDestroy refuses what would delete more than the plan shows.
func (r *planned) planDestroy(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.plans == nil {
		return
	}
	state := objectOf(req.State.Raw)
	id := state.get("id")
	outcome := tf.Outcome{Goes: true, Organization: state.get("organization_id"), From: state.get("team_id")}
	var left *remains
	switch r.noun {
	case "organization":
		outcome.Organization, left = id, &r.plans.organizations
	case "team":
		left = &r.plans.teams
	}
	r.plans.walk.Plans(r.noun, id, outcome)
	if left == nil {
		return
	}
	if err := r.plans.destroy(ctx, id, outcome.Organization, left); err != nil {
		report(&resp.Diagnostics, "destroy", r.noun, state.get(r.key), err)
	}
}

// going lists what the plan takes away from organizations, or from teams of them; made adds all that Terraform has created.
func (p *plans) going(organizations, teams []string, made bool) (going tenancy.Going) {
	going.Made = made
	lists := map[string]*[]string{
		"team": &going.Teams, "user": &going.Users, "agent config": &going.AgentConfigs, "config": &going.Configs, "role": &going.Roles,
	}
	for _, organization := range organizations {
		for object, outcome := range p.walk.Members(organization) {
			if teams != nil && !slices.Contains(teams, outcome.From) {
				continue
			}
			moves := outcome.Leaves || teams != nil && outcome.Planned && !slices.Contains(teams, outcome.Team)
			if list := lists[object.Kind]; list != nil && (outcome.Goes || moves) {
				*list = append(*list, object.ID)
			}
		}
	}
	return going
}

// destroy returns a [*tenancy.NotEmptyError] when deleting an object would delete what the plan does not destroy, and a doubt where
// it may, or where force_destroy lets it.
//
// Terraform plans the destruction of an object after that of all that refers to it; but not that of one element of a for_each, which
// waits for the object's. So, where nothing of the object is known to go yet, all that Terraform has created is taken for going, and
// of the rest what it may manage is only doubted, since it may be imported. What belongs to an object only by a literal ID may come
// later, too: so the answer is only taken for the last word when the plan has nothing more to tell.
func (p *plans) destroy(ctx context.Context, id, organization string, left *remains) error {
	untold := func() bool { return p.walk.Refreshes() && !p.isEmptied(id, organization) }
	remains := func() (all, sure tenancy.Remains) {
		all, err := left.all.Get(ctx, id)
		if sure = all; err == nil && !all.IsNothing() && untold() {
			all, err = left.others.Get(ctx, id)
			sure = all.Unmanaged()
		}
		if err != nil { // The apply says it: an organization that cannot be read cannot be deleted either.
			return tenancy.Remains{}, tenancy.Remains{}
		}
		if all.Forced {
			return all, tenancy.Remains{}
		}
		return all, sure
	}
	if all, _ := remains(); all.IsNothing() {
		return nil
	}
	p.walk.HearLast(ctx)
	all, sure := remains()
	switch {
	case !sure.IsNothing():
		return sure.Refusal()
	case !all.IsNothing():
		return doubt{all.Doubt(untold())}
	}
	return nil
}

// isEmptied tells whether anything of an organization, or of a team of it, goes.
func (p *plans) isEmptied(id, organization string) bool {
	for object, outcome := range p.walk.Members(organization) {
		if object.ID != id && outcome.Goes && (id == organization || outcome.From == id) {
			return true
		}
	}
	return false
}
