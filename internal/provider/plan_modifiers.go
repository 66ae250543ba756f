package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-jsontypes/jsontypes"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// keepSameMeaning keeps the text in the state when the configuration's text means the same: the framework compares by
// meaning what a provider returns, but not what a person writes.
type keepSameMeaning struct {
	same func(before, after string) bool
}

func (keepSameMeaning) Description(context.Context) string {
	return "Texts that mean the same are the same."
}

func (m keepSameMeaning) MarkdownDescription(ctx context.Context) string { return m.Description(ctx) }

func (m keepSameMeaning) PlanModifyString(_ context.Context, req planmodifier.StringRequest, resp *planmodifier.StringResponse) {
	if req.PlanValue.IsNull() || req.PlanValue.IsUnknown() || req.StateValue.IsNull() {
		return
	}
	if m.same(req.StateValue.ValueString(), req.PlanValue.ValueString()) {
		resp.PlanValue = req.StateValue
	}
}

func sameJSON(before, after string) bool {
	same, diags := jsontypes.NewNormalizedValue(before).StringSemanticEquals(context.Background(), jsontypes.NewNormalizedValue(after))
	return !diags.HasError() && same
}

// keepUnchanged turns a plan that changes nothing but what the database computes into no change at all. The framework
// marks such attributes as unknown before plan modifiers find that two texts mean the same.
func keepUnchanged(req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	var plan, state map[string]tftypes.Value
	if req.State.Raw.IsNull() || req.Plan.Raw.IsNull() || req.Plan.Raw.As(&plan) != nil || req.State.Raw.As(&state) != nil {
		return
	}
	for name, value := range plan {
		if computed := name == "updated_at" || name == "version"; !computed && !value.Equal(state[name]) {
			return
		}
	}
	resp.Plan.Raw = req.State.Raw
}
