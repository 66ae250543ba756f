package tenancy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"

	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// unique are the attributes of each kind whose values are unique, and what they are unique in.
var unique = map[string]struct{ attributes, scope []string }{
	"organization": {[]string{"name", "slug"}, nil},
	"team":         {[]string{"slug"}, []string{"organization_id"}},
	"user":         {[]string{"email", "username", "oidc_subject"}, nil},
	"agent config": {[]string{"name"}, []string{"organization_id", "team_id"}},
	"config":       {[]string{"name"}, []string{"organization_id", "team_id"}},
}

// object is a state or a plan of one: nil for one that does not exist yet, or any more.
type object map[string]tftypes.Value

func objectOf(raw tftypes.Value) (o object) {
	if raw.IsNull() || !raw.IsKnown() || raw.As((*map[string]tftypes.Value)(&o)) != nil {
		return nil
	}
	return o
}

// text is nil for what is null or not known.
func (o object) text(attribute string) (text *string) {
	if value, ok := o[attribute]; !ok || value.IsNull() || !value.IsKnown() || value.As(&text) != nil {
		return nil
	}
	return text
}

func (o object) get(attribute string) string {
	if text := o.text(attribute); text != nil {
		return *text
	}
	return ""
}

func (o object) isKnown(attribute string) bool {
	value, ok := o[attribute]
	return !ok || value.IsKnown()
}

func (o object) number(attribute string) (n int64, ok bool) {
	value, known := o[attribute]
	if !known || value.IsNull() || !value.IsKnown() {
		return 0, false
	}
	number := new(big.Float)
	if value.As(number) != nil {
		return 0, false
	}
	n, _ = number.Int64()
	return n, true
}

// claims are the unique values that an object of a kind has, by attribute, as far as they are known.
func (o object) claims(kind string) map[string]tf.Claim {
	claims, scope := map[string]tf.Claim{}, ""
	for _, attribute := range unique[kind].scope {
		if !o.isKnown(attribute) {
			return claims
		}
		scope += o.get(attribute) + "/"
	}
	for _, attribute := range unique[kind].attributes {
		if value := o.text(attribute); value != nil {
			claims[attribute] = tf.ClaimOf(kind, attribute, scope, *value)
		}
	}
	return claims
}

// change is an object that is to be made or changed.
type change struct {
	kind        string
	state, plan object
	replaced    string              // the ID of the row that a new one takes the place of
	id          string              // the row's; for a new one, one of its own
	wanted      map[string]tf.Claim // the unique values that it does not have yet
	comes       bool                // to an organization, or a team
}

func (p *plans) changeOf(kind string, state, plan object, replaced string) change {
	c := change{kind: kind, state: state, plan: plan, replaced: replaced, id: uuid.NewString(), wanted: plan.claims(kind)}
	if state == nil {
		c.comes = true
		return c
	}
	c.id = state.get("id")
	had := state.claims(kind)
	for attribute, claim := range c.wanted {
		if had[attribute] == claim {
			delete(c.wanted, attribute)
		}
	}
	c.comes = plan.text("team_id") != nil && plan.get("team_id") != state.get("team_id")
	return c
}

func (c change) wish() tenancy.Wish {
	w := tenancy.Wish{Kind: c.kind, OrganizationID: c.plan.text("organization_id"), TeamID: c.plan.text("team_id")}
	if c.state != nil {
		w.ID = &c.id
	}
	for attribute, to := range map[string]**string{
		"name": &w.Name, "slug": &w.Slug, "email": &w.Email, "username": &w.Username, "oidc_subject": &w.OIDCSubject,
	} {
		if _, ok := c.wanted[attribute]; ok {
			*to = c.plan.text(attribute)
		}
	}
	return w
}

// tell tells the walk what is planned.
func (p *plans) tell(c change) {
	if c.replaced != "" {
		outcome, _ := p.walk.Outcome(c.kind, c.replaced)
		outcome.Goes = true
		p.walk.Plans(c.kind, c.replaced, outcome)
	}
	if c.state == nil {
		return
	}
	outcome := tf.Outcome{Organization: c.state.get("organization_id"), From: c.state.get("team_id"), Team: c.plan.get("team_id")}
	for _, claim := range c.plan.claims(c.kind) {
		outcome.Keeps = append(outcome.Keeps, claim)
	}
	if c.kind == "organization" {
		outcome.Organization = c.id
		p.setMaxima(c.id, c.plan)
	}
	p.walk.Plans(c.kind, c.id, outcome)
}

// check returns what the apply would refuse, as far as that is certain.
func (p *plans) check(ctx context.Context, c change) error {
	p.tell(c)
	if c.state != nil {
		if err := p.kept(c); err != nil {
			return err
		}
	}
	if p.walk.IsApply() || len(c.wanted) == 0 && !c.comes {
		return nil
	}
	for attribute, claim := range c.wanted {
		if other := p.walk.Claims(claim, c.id); other != "" && other != c.replaced {
			return c.shared(attribute)
		}
	}
	wish, err := json.Marshal(c.wish())
	if err != nil {
		return err
	}
	facts, err := p.facts.Get(ctx, string(wish))
	if err != nil {
		return nil //nolint:nilerr // A plan that only makes new objects needs no database, and none that is migrated.
	}
	var unsure error
	for _, fact := range facts {
		err := p.place(ctx, c, fact)
		if _, wanted := c.wanted[fact.Attribute]; wanted {
			err = p.taken(ctx, c, fact)
		}
		if errors.As(err, new(doubt)) {
			unsure = err
		} else if err != nil {
			return err
		}
	}
	return unsure
}

// kept: what was planned before, in the hope that this object gives up a value, must not have hoped in vain.
func (p *plans) kept(c change) error {
	for attribute, claim := range c.plan.claims(c.kind) {
		if _, wanted := c.wanted[attribute]; !wanted && p.walk.Doubted(claim) {
			return c.shared(attribute)
		}
	}
	return nil
}

func (c change) shared(attribute string) error {
	return problem.New(fmt.Sprintf("another block is to have %s %q, too", attribute, c.plan.get(attribute)),
		fmt.Sprintf("Give one of them another %s", attribute)).On(attribute)
}

// taken: a row that has the value may be one that the plan destroys, or gives another value.
func (p *plans) taken(ctx context.Context, c change, fact tenancy.Fact) error {
	if fact.DeletedAt != nil {
		return fact.Taken(c.kind)
	}
	switch fate := p.walk.Fate(ctx, c.kind, fact.ID, c.wanted[fact.Attribute]); {
	case fate == tf.Kept:
		return fact.Taken(c.kind)
	case fate == tf.Unclear && p.walk.Refreshes(): // an apply, which does not refresh, says it itself
		return doubt{fact.MayBeTaken(c.kind)}
	case fate == tf.Freed && c.state != nil:
		if had, ok := c.state.claims(c.kind)[fact.Attribute]; ok && p.walk.Takes(c.kind, fact.ID, had) {
			return fact.Swapped(c.kind)
		}
	}
	return nil
}

// place: a team belongs to the same organization, and limits hold for what stays and what comes.
func (p *plans) place(ctx context.Context, c change, fact tenancy.Fact) error {
	organization := c.plan.text("organization_id")
	if c.state == nil && fact.Attribute == "team_id" && organization != nil && fact.OrganizationID != *organization {
		return p.store.CheckTeam(ctx, c.kind, fact.ID, *organization)
	}
	limited := c.kind == "team" && fact.Attribute == "organization_id" || c.kind == "user" && fact.Attribute == "team_id"
	if !limited || !c.comes {
		return nil
	}
	coming := p.walk.Arrives(fact.ID, 1)
	if fact.Count+coming <= int64(p.maximum(fact)) {
		return nil
	}
	complete := p.walk.Hear(ctx, func() bool { return false })
	maximum, staying := p.maximum(fact), fact.Count-p.leaving(c.kind, fact)+coming
	switch {
	case staying <= int64(maximum):
	case complete:
		p.walk.Arrives(fact.ID, -1)
		return fact.Full(maximum, staying-1)
	case p.walk.Refreshes():
		return doubt{fact.MayBeFull(maximum, staying-1)}
	}
	return nil
}

// leaving counts those that leave a place, and those of which it is not known whether they stay.
func (p *plans) leaving(kind string, place tenancy.Fact) (n int64) {
	for object, outcome := range p.walk.Members(place.OrganizationID) {
		here := object.Kind == kind && (kind == "team" || outcome.From == place.ID)
		if here && (!outcome.Planned || outcome.Goes || kind == "user" && outcome.Team != place.ID) {
			n++
		}
	}
	return n
}

// maxima are the limits that an organization will have.
type maxima struct{ teams, users int32 }

func (p *plans) setMaxima(organization string, plan object) {
	teams, known := plan.number("max_teams")
	users, alsoKnown := plan.number("max_users_per_team")
	if !known || !alsoKnown {
		teams, users = math.MaxInt32, math.MaxInt32
	}
	p.maxima.Store(organization, maxima{int32(teams), int32(users)}) // validators bound both
}

func (p *plans) maximum(place tenancy.Fact) int32 {
	planned, ok := p.maxima.Load(place.OrganizationID)
	m, _ := planned.(maxima)
	switch {
	case !ok:
		return place.Max
	case place.Attribute == "team_id":
		return m.users
	}
	return m.teams
}
