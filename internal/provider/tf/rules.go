package tf

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/document"
)

// Rule is what a configuration may hold of all that the database accepts. Others may have stored something else, which can be
// imported, kept and destroyed all the same: so it is no validator, which knows no state, but is asked by [RefuseNew].
type Rule struct{ validator.String }

// ValidateString refuses nothing.
func (Rule) ValidateString(context.Context, validator.StringRequest, *validator.StringResponse) {}

func (r Rule) ask(ctx context.Context, at path.Path, value attr.Value) diag.Diagnostics {
	var answer validator.StringResponse
	if valuable, ok := value.(basetypes.StringValuable); ok {
		var text basetypes.StringValue
		text, answer.Diagnostics = valuable.ToStringValue(ctx)
		r.String.ValidateString(ctx, validator.StringRequest{Path: at, PathExpression: at.Expression(), ConfigValue: text}, &answer)
	}
	return answer.Diagnostics
}

type numberRule struct{ validator.Int64 }

func (numberRule) ValidateInt64(context.Context, validator.Int64Request, *validator.Int64Response) {}

func (r numberRule) ask(ctx context.Context, at path.Path, value attr.Value) diag.Diagnostics {
	var answer validator.Int64Response
	if number, ok := value.(basetypes.Int64Value); ok {
		r.Int64.ValidateInt64(ctx, validator.Int64Request{Path: at, PathExpression: at.Expression(), ConfigValue: number}, &answer)
	}
	return answer.Diagnostics
}

type setRule struct{ validator.Set }

func (setRule) ValidateSet(context.Context, validator.SetRequest, *validator.SetResponse) {}

func (r setRule) ask(ctx context.Context, at path.Path, value attr.Value) diag.Diagnostics {
	var answer validator.SetResponse
	if set, ok := value.(basetypes.SetValue); ok {
		r.Set.ValidateSet(ctx, validator.SetRequest{Path: at, PathExpression: at.Expression(), ConfigValue: set}, &answer)
	}
	return answer.Diagnostics
}

// rule is a [Rule] of any type.
type rule interface {
	ask(ctx context.Context, at path.Path, value attr.Value) diag.Diagnostics
}

// rulesOf finds the rules of an attribute among its validators.
func rulesOf(attribute any) []rule {
	switch a := attribute.(type) {
	case schema.StringAttribute:
		return rulesAmong(a.Validators)
	case schema.Int64Attribute:
		return rulesAmong(a.Validators)
	case schema.SetAttribute:
		return rulesAmong(a.Validators)
	}
	return nil
}

func rulesAmong[V any](validators []V) (rules []rule) {
	for _, v := range validators {
		if r, ok := any(v).(rule); ok {
			rules = append(rules, r)
		}
	}
	return rules
}

// RefuseNew asks the rules of a resource's attributes about the values of a plan that are not in the state already.
func RefuseNew(ctx context.Context, req resource.ModifyPlanRequest, diags *diag.Diagnostics) {
	var config, plan, state map[string]tftypes.Value
	if req.Config.Raw.As(&config) != nil || req.Plan.Raw.As(&plan) != nil || req.State.Raw.As(&state) != nil {
		return // They are objects of the schema, or null.
	}
	attributes := req.Plan.Schema.GetAttributes()
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if before, was := state[name]; was && before.Equal(plan[name]) {
			continue
		}
		for _, rule := range rulesOf(attributes[name]) {
			value, err := attributes[name].GetType().ValueFromTerraform(ctx, config[name])
			if err == nil { // A configuration holds values of the schema's types.
				diags.Append(rule.ask(ctx, path.Root(name), value)...)
			}
		}
	}
}

// ofIntegers asks a validator only about what no PostgreSQL integer can be.
type ofIntegers struct{ validator.Int64 }

func (v ofIntegers) ValidateInt64(ctx context.Context, req validator.Int64Request, resp *validator.Int64Response) {
	if n := req.ConfigValue.ValueInt64(); n < math.MinInt32 || n > math.MaxInt32 {
		v.Int64.ValidateInt64(ctx, req, resp)
	}
}

// wellFormed asks a check only about what no column of type json can hold. Rows from before there were checks have all else.
func wellFormed(c check) check {
	return Check(c.allowed, func(value string) string {
		if json.Valid([]byte(value)) {
			return ""
		}
		return document.Wrong(value)
	})
}
