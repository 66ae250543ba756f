package tenancy

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

var (
	_ resource.ResourceWithConfigure   = (*organizationResource)(nil)
	_ resource.ResourceWithModifyPlan  = (*organizationResource)(nil)
	_ resource.ResourceWithImportState = (*organizationResource)(nil)
)

type organizationResource struct{ planned }

func newOrganizationResource() resource.Resource {
	return &organizationResource{planned{noun: "organization", key: "slug"}}
}

// organizationModel is what an organization has in the database.
type organizationModel struct {
	rowModel
	Name            types.String `tfsdk:"name"`
	Slug            types.String `tfsdk:"slug"`
	Description     types.String `tfsdk:"description"`
	IsActive        types.Bool   `tfsdk:"is_active"`
	Settings        tf.JSON      `tfsdk:"settings"`
	MaxTeams        types.Int64  `tfsdk:"max_teams"`
	MaxUsersPerTeam types.Int64  `tfsdk:"max_users_per_team"`
	ForceDestroy    types.Bool   `tfsdk:"force_destroy"`
}

// organizationResourceModel adds what only Terraform knows.
type organizationResourceModel struct {
	organizationModel
	DeletionProtection types.Bool `tfsdk:"deletion_protection"`
}

func organizationModelFrom(o tenancy.Organization) organizationModel {
	return organizationModel{
		rowModel: rowModelFrom(o.Row), Name: types.StringValue(o.Name), Slug: types.StringValue(o.Slug),
		Description: types.StringPointerValue(o.Description), IsActive: types.BoolValue(o.IsActive),
		Settings: jsonValue(o.Settings), MaxTeams: tf.Int32Value(o.MaxTeams), MaxUsersPerTeam: tf.Int32Value(o.MaxUsersPerTeam),
		ForceDestroy: types.BoolValue(o.ForceDestroy),
	}
}

func (m organizationModel) organization() tenancy.Organization {
	return tenancy.Organization{
		Row: m.row(), Name: m.Name.ValueString(), Slug: m.Slug.ValueString(),
		Description: m.Description.ValueStringPointer(), IsActive: m.IsActive.ValueBool(),
		Settings: jsonDocument(m.Settings), MaxTeams: tf.Int32Of(m.MaxTeams), MaxUsersPerTeam: tf.Int32Of(m.MaxUsersPerTeam),
		ForceDestroy: m.ForceDestroy.ValueBool(),
	}
}

func (r *organizationResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_organization"
}

func organizationAttributes() map[string]schema.Attribute {
	return withRow("organization", map[string]schema.Attribute{
		"name": tf.RequiredString("Display name, unique, at most 255 characters.", tf.DisplayName...),
		"slug": tf.RequiredString("Short unique name for URLs and import IDs: lower-case letters, digits, hyphens and underscores, "+
			"at most 100 characters.", tf.SlugFormat, stringvalidator.UTF8LengthAtMost(100)),
		"description": tf.OptionalString("What the organization is."),
		"is_active":   tf.OptionalBool("Whether the organization may use the platform.", true),
		"settings":    tf.OptionalJSON("Settings of the platform for this organization."),
		"max_teams": tf.OptionalInt("How many teams the organization may have. It is checked when Terraform creates a team; lowering it "+
			"below what exists is no error. Default: `10`.", 10, 0),
		"max_users_per_team": tf.OptionalInt("How many users each team may have. It is checked when Terraform creates or moves a user; "+
			"lowering it below what exists is no error. Default: `50`.", 50, 0),
		"force_destroy": tf.OptionalBool("Whether destroying the organization or one of its teams also deletes what Terraform does not "+
			"manage in it (incidents, statistics, users that signed up by themselves). When `false`, the plan of such a destroy fails "+
			"and names the counts, roles and their open sessions included. What the same plan destroys does not count; let it "+
			"refer to the organization and team by their resources, not by literal IDs, so that Terraform plans it first. It must be "+
			"applied before the destroy.", false),
	})
}

func (r *organizationResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	attributes := organizationAttributes()
	attributes["deletion_protection"] = tf.ProtectionAttribute("organization", true)
	resp.Schema = schema.Schema{
		MarkdownDescription: "An organization is the tenant: it owns teams, users, incidents and configurations. Every change is made " +
			"in place; an organization is never replaced.",
		Attributes: attributes,
	}
}

// ModifyPlan refuses to plan the destruction of a protected organization, or of one that has what nothing else destroys.
func (r *organizationResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if !req.Plan.Raw.IsNull() {
		r.planChange(ctx, req, resp)
		keepUnchanged(req, resp)
		return
	}
	var state organizationResourceModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	if refuseProtected(state, &resp.Diagnostics); !resp.Diagnostics.HasError() {
		r.planDestroy(ctx, req, resp)
	}
}

func refuseProtected(state organizationResourceModel, diags *diag.Diagnostics) {
	const with = " with all its teams, users and configurations"
	tf.RefuseDestroy("organization", state.Slug.ValueString(), with, state.DeletionProtection, diags)
}

func (r *organizationResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan organizationResourceModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	organization, err := r.apply().CreateOrganization(ctx, plan.organization())
	if err != nil {
		tf.AddError(&resp.Diagnostics, "create", "organization", plan.Slug.ValueString(), err)
		return
	}
	plan.organizationModel = organizationModelFrom(organization)
	tf.Stored{
		Noun: "organization", Name: organization.Slug, Model: plan,
		Undo: func() error { return r.apply().DeleteOrganization(ctx, organization.ID) },
	}.SetState(ctx, req.Plan, &resp.State, &resp.Diagnostics)
}

func (r *organizationResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	r.sees(req.State.Raw)
	var state organizationResourceModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	organization, err := r.Backend.Organization(ctx, state.ID.ValueString())
	if tf.Gone(err) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		tf.AddError(&resp.Diagnostics, "read", "organization", state.Slug.ValueString(), err)
		return
	}
	state.organizationModel = organizationModelFrom(organization)
	state.DeletionProtection = orDefault(state.DeletionProtection, types.BoolValue(true))
	resp.Diagnostics.Append(resp.State.Set(ctx, state)...)
}

func (r *organizationResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var state, plan organizationResourceModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	organization, err := r.apply().UpdateOrganization(ctx, state.organization(), plan.organization())
	if err != nil {
		tf.AddError(&resp.Diagnostics, "update", "organization", state.Slug.ValueString(), err)
		return
	}
	plan.organizationModel = organizationModelFrom(organization)
	tf.Stored{Noun: "organization", Name: organization.Slug, Model: plan}.SetState(ctx, req.Plan, &resp.State, &resp.Diagnostics)
}

func (r *organizationResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state organizationResourceModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	// A forced replacement (-replace, taint) is planned without telling the provider that it destroys.
	if refuseProtected(state, &resp.Diagnostics); resp.Diagnostics.HasError() {
		return
	}
	if err := r.apply().DeleteOrganization(ctx, state.ID.ValueString()); err != nil {
		tf.AddError(&resp.Diagnostics, "delete", "organization", state.Slug.ValueString(), err)
	}
}

func (r *organizationResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	tf.ImportByKey(ctx, "organization", "its slug", req, resp, func(key string) (string, error) {
		organization, err := r.Backend.OrganizationBySlug(ctx, key)
		return organization.ID, err
	})
}
