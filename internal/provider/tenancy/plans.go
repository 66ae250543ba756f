package tenancy

import (
	"context"
	"slices"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// plans checks against the database what is planned, as far as the walk tells what will become of the rows that are there. What it
// cannot find out is left to the apply, which checks everything.
type plans struct {
	store *tenancy.Store
	walk  *tf.Walk

	organizations, teams postgres.Loader[tenancy.Remains]
}

func newPlans(store *tenancy.Store, walk *tf.Walk) *plans {
	p := &plans{store: store, walk: walk}
	p.organizations.Load = func(ctx context.Context, ids []string) (map[string]tenancy.Remains, error) {
		return store.RemainsOfOrganizations(ctx, ids, p.going(ids, nil))
	}
	p.teams.Load = func(ctx context.Context, ids []string) (map[string]tenancy.Remains, error) {
		var organizations []string
		for _, id := range ids {
			if outcome, _ := walk.Outcome("team", id); !slices.Contains(organizations, outcome.Organization) {
				organizations = append(organizations, outcome.Organization)
			}
		}
		return store.RemainsOfTeams(ctx, ids, p.going(organizations, ids))
	}
	return p
}

// going lists what the plan takes away from organizations, or from teams of them.
func (p *plans) going(organizations, teams []string) (going tenancy.Going) {
	lists := map[string]*[]string{
		"team": &going.Teams, "user": &going.Users, "agent config": &going.AgentConfigs, "config": &going.Configs, "role": &going.Roles,
	}
	for _, organization := range organizations {
		for object, outcome := range p.walk.Members(organization) {
			moves := teams != nil && !slices.Contains(teams, outcome.Team)
			if list := lists[object.Kind]; list != nil && (outcome.Goes || moves) {
				*list = append(*list, object.ID)
			}
		}
	}
	return going
}

// destroy plans that an object goes, and returns a [*tenancy.NotEmptyError] when that would delete what the plan does not destroy.
//
// Terraform plans the destruction of an object after that of all that refers to it. What belongs to it only by a literal ID may
// come later: so the answer is only taken for the last word when the plan has nothing more to tell.
func (p *plans) destroy(ctx context.Context, kind, id string, outcome tf.Outcome, loader *postgres.Loader[tenancy.Remains]) error {
	outcome.Goes = true
	p.walk.Plans(kind, id, outcome)
	remains, err := loader.Get(ctx, id)
	if err != nil || remains.IsNothing() {
		return nil //nolint:nilerr // The apply says it: an organization that cannot be read cannot be deleted either.
	}
	p.walk.Hear(ctx, func() bool { return false })
	if remains, err = loader.Get(ctx, id); err != nil || remains.IsNothing() {
		return nil //nolint:nilerr // as above
	}
	return remains.Refusal()
}
