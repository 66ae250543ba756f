package tenancy

import (
	"context"
	"errors"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
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
	tf.Resource[tenancy.Store]
	noun, key string // key is the attribute that messages call the object by
}

// ModifyPlan refuses what the database would refuse later: an object changes neither its organization nor moves to a team of another
// one. What is not known yet is left to the apply.
func (r *member) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.State.Raw.IsNull() || req.Plan.Raw.IsNull() {
		return
	}
	var name, from, to, fromTeam, toTeam types.String
	resp.Diagnostics.Append(req.State.GetAttribute(ctx, path.Root(r.key), &name)...)
	resp.Diagnostics.Append(req.State.GetAttribute(ctx, path.Root("organization_id"), &from)...)
	resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, path.Root("organization_id"), &to)...)
	if _, ofTeam := req.Plan.Schema.GetAttributes()["team_id"]; ofTeam {
		resp.Diagnostics.Append(req.State.GetAttribute(ctx, path.Root("team_id"), &fromTeam)...)
		resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, path.Root("team_id"), &toTeam)...)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	if !to.IsUnknown() {
		if err := r.Backend.RefuseOrganizationChange(ctx, r.noun, name.ValueString(), from.ValueString(), to.ValueString()); err != nil {
			tf.AddError(&resp.Diagnostics, "change", r.noun, name.ValueString(), err)
		}
	}
	if !resp.Diagnostics.HasError() && !toTeam.IsUnknown() && !toTeam.IsNull() && !toTeam.Equal(fromTeam) {
		var wrong *tenancy.OrganizationError
		if err := r.Backend.CheckTeam(ctx, r.noun, toTeam.ValueString(), from.ValueString()); errors.As(err, &wrong) {
			tf.AddError(&resp.Diagnostics, "change", r.noun, name.ValueString(), err)
		}
	}
	keepUnchanged(req, resp)
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
