package tenancy

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

var (
	_ resource.ResourceWithConfigure   = (*teamResource)(nil)
	_ resource.ResourceWithModifyPlan  = (*teamResource)(nil)
	_ resource.ResourceWithImportState = (*teamResource)(nil)
)

type teamResource struct{ member }

func newTeamResource() resource.Resource {
	r := &teamResource{newMember("team", "slug")}
	r.protects = true
	return r
}

type teamModel struct {
	rowModel
	OrganizationID types.String `tfsdk:"organization_id"`
	Name           types.String `tfsdk:"name"`
	Slug           types.String `tfsdk:"slug"`
	Description    types.String `tfsdk:"description"`
	IsActive       types.Bool   `tfsdk:"is_active"`
	Permissions    tf.JSON      `tfsdk:"permissions"`
	Settings       tf.JSON      `tfsdk:"settings"`
}

// teamResourceModel adds what only Terraform knows.
type teamResourceModel struct {
	teamModel
	DeletionProtection types.Bool `tfsdk:"deletion_protection"`
}

func teamModelFrom(t tenancy.Team) teamModel {
	return teamModel{
		rowModel: rowModelFrom(t.Row), OrganizationID: types.StringValue(t.OrganizationID),
		Name: types.StringValue(t.Name), Slug: types.StringValue(t.Slug), Description: types.StringPointerValue(t.Description),
		IsActive: types.BoolValue(t.IsActive), Permissions: jsonValue(t.Permissions), Settings: jsonValue(t.Settings),
	}
}

func (m teamModel) team() tenancy.Team {
	return tenancy.Team{
		Row: m.row(), OrganizationID: m.OrganizationID.ValueString(), Name: m.Name.ValueString(), Slug: m.Slug.ValueString(),
		Description: m.Description.ValueStringPointer(), IsActive: m.IsActive.ValueBool(),
		Permissions: jsonDocument(m.Permissions), Settings: jsonDocument(m.Settings),
	}
}

func (r *teamResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_team"
}

func teamAttributes() map[string]schema.Attribute {
	return withRow("team", map[string]schema.Attribute{
		"organization_id": tf.RequiredString("UUID of the organization. It cannot be changed.", tf.UUIDFormat),
		"name":            tf.RequiredString("Display name, at most 255 characters.", tf.DisplayName...),
		"slug": tf.RequiredString("Short name, unique in the organization: lower-case letters, digits, hyphens and underscores, at "+
			"most 100 characters.", tf.SlugFormat, stringvalidator.UTF8LengthAtMost(100)),
		"description": tf.OptionalString("What the team does."),
		"is_active":   tf.OptionalBool("Whether the team is in use.", true),
		"permissions": tf.OptionalJSON("What the team's members may do."),
		"settings":    tf.OptionalJSON("Settings of the platform for this team."),
	})
}

func (r *teamResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	attributes := teamAttributes()
	attributes["deletion_protection"] = tf.ProtectionAttribute("team", false)
	resp.Schema = schema.Schema{
		MarkdownDescription: "A team of an organization. The organization's `max_teams` limits how many there can be. A team that " +
			"still has " +
			"users, incidents or configurations is not deleted, unless the organization has `force_destroy`.",
		Attributes: attributes,
	}
}

func (r *teamResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan teamResourceModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	team, err := r.apply().CreateTeam(ctx, plan.team())
	if err != nil {
		tf.AddError(&resp.Diagnostics, "create", "team", plan.Slug.ValueString(), err)
		return
	}
	plan.teamModel = teamModelFrom(team)
	tf.Stored{
		Noun: "team", Name: team.Slug, Model: plan, Undo: func() error { return r.apply().DeleteTeam(ctx, team.ID) },
	}.SetState(ctx, req.Plan, &resp.State, &resp.Diagnostics)
}

func (r *teamResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	r.sees(req.State.Raw)
	var state teamResourceModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	team, err := r.Backend.Team(ctx, state.ID.ValueString())
	if tf.Gone(err) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		tf.AddError(&resp.Diagnostics, "read", "team", state.Slug.ValueString(), err)
		return
	}
	state.teamModel = teamModelFrom(team)
	state.DeletionProtection = orDefault(state.DeletionProtection, types.BoolValue(false))
	resp.Diagnostics.Append(resp.State.Set(ctx, state)...)
}

func (r *teamResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var state, plan teamResourceModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	team, err := r.apply().UpdateTeam(ctx, state.team(), plan.team())
	if err != nil {
		tf.AddError(&resp.Diagnostics, "update", "team", state.Slug.ValueString(), err)
		return
	}
	plan.teamModel = teamModelFrom(team)
	tf.Stored{Noun: "team", Name: team.Slug, Model: plan}.SetState(ctx, req.Plan, &resp.State, &resp.Diagnostics)
}

func (r *teamResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state teamResourceModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	// A forced replacement (-replace, taint) is planned without telling the provider that it destroys.
	tf.RefuseDestroy("team", state.Slug.ValueString(), "", state.DeletionProtection, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	if err := r.apply().DeleteTeam(ctx, state.ID.ValueString()); err != nil {
		tf.AddError(&resp.Diagnostics, "delete", "team", state.Slug.ValueString(), err)
	}
}

func (r *teamResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	tf.ImportByKey(ctx, "team", "organization-slug/team-slug", req, resp, func(key string) (string, error) {
		organizationSlug, slug, _ := strings.Cut(key, "/")
		team, err := r.Backend.TeamByKey(ctx, organizationSlug, slug)
		return team.ID, err
	})
}
