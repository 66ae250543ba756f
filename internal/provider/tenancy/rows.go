package tenancy

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	datasourceschema "github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// rowModel is what every resource that is a row has.
type rowModel struct {
	ID        types.String      `tfsdk:"id"`
	CreatedAt timetypes.RFC3339 `tfsdk:"created_at"`
	UpdatedAt timetypes.RFC3339 `tfsdk:"updated_at"`
}

func rowModelFrom(r tenancy.Row) rowModel {
	return rowModel{ID: types.StringValue(r.ID), CreatedAt: tf.TimeValue(r.CreatedAt), UpdatedAt: tf.TimeValue(r.UpdatedAt)}
}

func (m rowModel) row() tenancy.Row {
	// Both are computed: unknown in a plan, and in a state always what TimeValue wrote.
	createdAt, _ := m.CreatedAt.ValueRFC3339Time()
	updatedAt, _ := m.UpdatedAt.ValueRFC3339Time()
	return tenancy.Row{ID: m.ID.ValueString(), CreatedAt: createdAt, UpdatedAt: updatedAt}
}

func jsonValue(document *tenancy.JSON) tf.JSON {
	return tf.JSONPointerValue((*string)(document))
}

func jsonDocument(value tf.JSON) *tenancy.JSON {
	return (*tenancy.JSON)(value.ValueStringPointer())
}

// withRow adds to a resource's own attributes those that every row has.
func withRow(noun string, attributes map[string]schema.Attribute) map[string]schema.Attribute {
	keep := []planmodifier.String{stringplanmodifier.UseStateForUnknown()}
	attributes["id"] = schema.StringAttribute{
		Computed: true, PlanModifiers: keep,
		MarkdownDescription: "UUID of the " + noun + ".",
	}
	attributes["created_at"] = schema.StringAttribute{
		Computed: true, PlanModifiers: keep, CustomType: timetypes.RFC3339Type{},
		MarkdownDescription: "When the " + noun + " was created (RFC 3339, UTC).",
	}
	attributes["updated_at"] = schema.StringAttribute{
		Computed: true, CustomType: timetypes.RFC3339Type{},
		MarkdownDescription: "When the " + noun + " was last changed, by whomever (RFC 3339, UTC).",
	}
	return attributes
}

func versionAttribute(noun string) schema.Int64Attribute {
	return schema.Int64Attribute{
		Computed:            true,
		MarkdownDescription: "Starts at 1 and rises by one with every change that Terraform makes to the " + noun + ".",
	}
}

// Filters of lists.

func filterByID(description string) datasourceschema.StringAttribute {
	return datasourceschema.StringAttribute{
		Optional: true, Validators: []validator.String{tf.UUIDFormat}, MarkdownDescription: description,
	}
}

func filterByActive() datasourceschema.BoolAttribute {
	return datasourceschema.BoolAttribute{
		Optional: true, MarkdownDescription: "Only those that are active, or only those that are not. Default: all.",
	}
}

// splitKey takes organization-slug/team-slug/name apart. A name may contain slashes, slugs cannot.
func splitKey(key string) (organizationSlug, teamSlug, name string) {
	organizationSlug, rest, _ := strings.Cut(key, "/")
	teamSlug, name, _ = strings.Cut(rest, "/")
	return organizationSlug, teamSlug, name
}

// member is a resource that belongs to an organization, and most of them to a team.
type member struct {
	planned
	protects bool // it has deletion_protection
}

func newMember(noun, key string) member { return member{planned: planned{noun: noun, key: key}} }

// ModifyPlan refuses what the database would refuse later. What is not known yet is left to the apply.
func (r *member) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		if r.protects {
			var protection types.Bool
			resp.Diagnostics.Append(req.State.GetAttribute(ctx, path.Root("deletion_protection"), &protection)...)
			tf.RefuseDestroy(r.noun, objectOf(req.State.Raw).get(r.key), "", protection, &resp.Diagnostics)
		}
		if !resp.Diagnostics.HasError() {
			r.planDestroy(ctx, req, resp)
		}
		return
	}
	r.planChange(ctx, req, resp)
	if !resp.Diagnostics.HasError() && !req.State.Raw.IsNull() {
		r.refuseMove(ctx, objectOf(req.State.Raw), objectOf(req.Plan.Raw), resp)
	}
	keepUnchanged(req, resp)
}

// refuseMove: an object changes neither its organization nor moves to a team of another one.
func (r *member) refuseMove(ctx context.Context, state, plan object, resp *resource.ModifyPlanResponse) {
	name, from := state.get(r.key), state.get("organization_id")
	if to := plan.text("organization_id"); to != nil {
		if err := r.Backend.RefuseOrganizationChange(ctx, r.noun, name, from, *to); err != nil {
			tf.AddError(&resp.Diagnostics, "change", r.noun, name, err)
			return
		}
	}
	if team := plan.text("team_id"); team != nil && *team != state.get("team_id") {
		var wrong *tenancy.OrganizationError
		if err := r.Backend.CheckTeam(ctx, r.noun, *team, from); errors.As(err, &wrong) {
			tf.AddError(&resp.Diagnostics, "change", r.noun, name, err)
		}
	}
}

// keepUnchanged turns a plan that changes nothing but what the database computes into no change at all. The framework
// marks such attributes as unknown before plan modifiers find that two texts mean the same.
func keepUnchanged(req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	var plan, state map[string]tftypes.Value
	if req.State.Raw.IsNull() || req.Plan.Raw.IsNull() || req.Plan.Raw.As(&plan) != nil || req.State.Raw.As(&state) != nil {
		return
	}
	config := objectOf(req.Config.Raw)
	for name, value := range plan {
		computed := name == "updated_at" || name == "version"
		// A state of an earlier version does not have what only Terraform knows; the default is no change of that.
		isNew := slices.Contains(knownToTerraform, name) && state[name].IsNull() && config[name].IsNull()
		if !computed && !isNew && !value.Equal(state[name]) {
			return
		}
	}
	resp.Plan.Raw = req.State.Raw
}

// knownToTerraform are the arguments that are in no table.
var knownToTerraform = []string{"deletion_protection", "on_destroy"}

// orDefault is for what a state of an earlier version, or an import, does not have.
func orDefault[V attr.Value](value, standard V) V {
	if value.IsNull() {
		return standard
	}
	return value
}
