package access

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

func nameClaim(name string) tf.Claim { return tf.ClaimOf("role", "name", "", name) }

// planName tells the walk what name and organization the role will have, and refuses a name that another role has and keeps. What is
// not certain is left to the apply.
func (r *roleResource) planName(ctx context.Context, plan, state roleResourceModel, req resource.ModifyPlanRequest,
	resp *resource.ModifyPlanResponse,
) {
	if r.Backend == nil || plan.Name.IsUnknown() {
		return
	}
	walk, id, wanted := r.Backend.walk, state.Name.ValueString(), plan.Name.ValueString()
	claim := nameClaim(wanted)
	replaced := tf.Replaced(ctx, id, req, resp)
	if id != "" {
		walk.Plans("role", id, tf.Outcome{
			Organization: state.OrganizationID.ValueString(), Leaves: !plan.OrganizationID.Equal(state.OrganizationID),
			Keeps: []tf.Claim{claim},
		})
	}
	if id == wanted && walk.Doubted(claim) {
		refuseName(state.Name, plan.Name, sharedName(wanted), &resp.Diagnostics)
	}
	if id == wanted || replaced == wanted || walk.IsApply() {
		return
	}
	if id == "" {
		id = uuid.NewString()
	}
	if walk.Claims(claim, id) != "" {
		refuseName(state.Name, plan.Name, sharedName(wanted), &resp.Diagnostics)
		return
	}
	if taken, err := r.Backend.taken.Get(ctx, wanted); err != nil || !taken {
		return
	}
	switch fate := walk.Fate(ctx, "role", wanted, claim); {
	case fate == tf.Kept:
		refuseName(state.Name, plan.Name, access.NameTaken(wanted), &resp.Diagnostics)
	case fate == tf.Unclear && walk.Refreshes(): // an apply, which does not refresh, says it itself
		tf.AddWarning(&resp.Diagnostics, "Read before you apply the role", "role", wanted, access.NameMayBeTaken(wanted))
	}
}

func sharedName(name string) error {
	return problem.New(fmt.Sprintf("another block is to have name %q, too", name), "Give one of them another name").On("name")
}

func refuseName(before, name types.String, err error, diags *diag.Diagnostics) {
	if before.IsNull() {
		tf.AddError(diags, "create", "role", name.ValueString(), err)
		return
	}
	tf.AddError(diags, "update", "role", before.ValueString(), err)
}
