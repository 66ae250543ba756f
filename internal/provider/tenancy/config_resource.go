package tenancy

import (
	"context"
	"math"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

var (
	_ resource.ResourceWithConfigure   = (*configResource)(nil)
	_ resource.ResourceWithModifyPlan  = (*configResource)(nil)
	_ resource.ResourceWithImportState = (*configResource)(nil)
)

type configResource struct{ member }

func newConfigResource() resource.Resource {
	return &configResource{newMember("config", "name")}
}

type configModel struct {
	rowModel
	OrganizationID  types.String `tfsdk:"organization_id"`
	TeamID          types.String `tfsdk:"team_id"`
	Name            types.String `tfsdk:"name"`
	Description     types.String `tfsdk:"description"`
	ConfigType      types.String `tfsdk:"config_type"`
	Status          types.String `tfsdk:"status"`
	Priority        types.Int64  `tfsdk:"priority"`
	NamePattern     types.String `tfsdk:"name_pattern"`
	SeverityPattern types.String `tfsdk:"severity_pattern"`
	TeamPattern     types.String `tfsdk:"team_pattern"`
	ConfigJSON      tf.JSON      `tfsdk:"config_json"`
	Tags            types.Set    `tfsdk:"tags"`
	IsGlobal        types.Bool   `tfsdk:"is_global"`
	IsActive        types.Bool   `tfsdk:"is_active"`
	Version         types.Int64  `tfsdk:"version"`
}

func configModelFrom(c tenancy.Config) configModel {
	return configModel{
		rowModel: rowModelFrom(c.Row), OrganizationID: types.StringValue(c.OrganizationID), TeamID: types.StringPointerValue(c.TeamID),
		Name: types.StringValue(c.Name), Description: types.StringPointerValue(c.Description),
		ConfigType: types.StringValue(c.ConfigType), Status: types.StringValue(c.Status), Priority: tf.Int32Value(c.Priority),
		NamePattern: types.StringPointerValue(c.NamePattern), SeverityPattern: types.StringPointerValue(c.SeverityPattern),
		TeamPattern: types.StringPointerValue(c.TeamPattern), ConfigJSON: jsonValue(c.ConfigJSON), Tags: tf.SetValue(c.Tags),
		IsGlobal: types.BoolValue(c.IsGlobal), IsActive: types.BoolValue(c.IsActive), Version: tf.Int32Value(c.Version),
	}
}

func (m configModel) config() tenancy.Config {
	return tenancy.Config{
		Row: m.row(), OrganizationID: m.OrganizationID.ValueString(), TeamID: m.TeamID.ValueStringPointer(),
		Name: m.Name.ValueString(), Description: m.Description.ValueStringPointer(), ConfigType: m.ConfigType.ValueString(),
		Status: m.Status.ValueString(), Priority: tf.Int32Of(m.Priority), NamePattern: m.NamePattern.ValueStringPointer(),
		SeverityPattern: m.SeverityPattern.ValueStringPointer(), TeamPattern: m.TeamPattern.ValueStringPointer(),
		ConfigJSON: jsonDocument(m.ConfigJSON), Tags: tf.StringsOf(m.Tags), IsGlobal: m.IsGlobal.ValueBool(),
		IsActive: m.IsActive.ValueBool(),
	}
}

func (r *configResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_config"
}

func configAttributes() map[string]schema.Attribute {
	return withRow("config", map[string]schema.Attribute{
		"organization_id": tf.RequiredString("UUID of the organization. It cannot be changed.", tf.UUIDFormat),
		"team_id": tf.OptionalString("UUID of a team of the same organization. Without it the config is the organization's.",
			tf.UUIDFormat),
		"name": tf.RequiredString("Name, unique in the team or, without one, in the organization; at most 255 characters.",
			tf.DisplayName...),
		"description": tf.OptionalString("What the config is for."),
		"config_type": tf.RequiredEnum("What the config applies to.", "organization", "team", "alert", "agent", "global"),
		"status":      tf.OptionalEnum("Where the config is in its life.", "draft", "draft", "active", "deprecated", "archived"),
		"priority":    tf.OptionalInt("Order among configs that match; the highest wins. Default: `0`.", 0, math.MinInt32),
		"name_pattern": tf.OptionalString("Regular expression for names that the config applies to, at most 500 characters.",
			tf.PatternFormat, stringvalidator.UTF8LengthAtMost(500)),
		"severity_pattern": tf.OptionalString("Regular expression for severities, at most 500 characters.", tf.PatternFormat,
			stringvalidator.UTF8LengthAtMost(500)),
		"team_pattern": tf.OptionalString("Regular expression for teams, at most 500 characters.", tf.PatternFormat,
			stringvalidator.UTF8LengthAtMost(500)),
		"config_json": tf.OptionalJSON("The configuration itself."),
		"tags":        tf.OptionalSet("Labels to find the config by."),
		"is_global":   tf.OptionalBool("Whether the config applies to all teams of the organization.", false),
		"is_active":   tf.OptionalBool("Whether the config is in use.", true),
		"version":     versionAttribute("config"),
	})
}

func (r *configResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "A configuration of an organization or of one of its teams. Of those whose patterns match, the one " +
			"with the highest priority holds.",
		Attributes: configAttributes(),
	}
}

func (r *configResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan configModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	config, err := r.apply().CreateConfig(ctx, plan.config())
	if err != nil {
		tf.AddError(&resp.Diagnostics, "create", "config", plan.Name.ValueString(), err)
		return
	}
	tf.Stored{
		Noun: "config", Name: config.Name, Model: configModelFrom(config),
		Undo: func() error { return r.apply().DeleteConfig(ctx, config.ID) },
	}.SetState(ctx, req.Plan, &resp.State, &resp.Diagnostics)
}

func (r *configResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	r.sees(req.State.Raw)
	var state configModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	config, err := r.Backend.Config(ctx, state.ID.ValueString())
	if tf.Gone(err) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		tf.AddError(&resp.Diagnostics, "read", "config", state.Name.ValueString(), err)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, configModelFrom(config))...)
}

func (r *configResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var state, plan configModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	config, err := r.apply().UpdateConfig(ctx, state.config(), plan.config())
	if err != nil {
		tf.AddError(&resp.Diagnostics, "update", "config", state.Name.ValueString(), err)
		return
	}
	tf.Stored{Noun: "config", Name: config.Name, Model: configModelFrom(config)}.SetState(ctx, req.Plan, &resp.State, &resp.Diagnostics)
}

func (r *configResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state configModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	if err := r.apply().DeleteConfig(ctx, state.ID.ValueString()); err != nil {
		tf.AddError(&resp.Diagnostics, "delete", "config", state.Name.ValueString(), err)
	}
}

func (r *configResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	tf.ImportByKey(ctx, "config", "organization-slug/team-slug/name (organization-slug//name without a team)", req, resp,
		func(key string) (string, error) {
			organizationSlug, teamSlug, name := splitKey(key)
			config, err := r.Backend.ConfigByKey(ctx, organizationSlug, teamSlug, name)
			return config.ID, err
		})
}
