package tf

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
)

// SameMeaning keeps the text in the state when the configuration's text means the same: the framework compares by
// meaning what a provider returns, but not what a person writes.
func SameMeaning(same func(before, after string) bool) planmodifier.String {
	return keepSameMeaning{same}
}

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
