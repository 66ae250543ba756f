package tenancy

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

var (
	_ resource.ResourceWithConfigure   = (*agentConfigResource)(nil)
	_ resource.ResourceWithModifyPlan  = (*agentConfigResource)(nil)
	_ resource.ResourceWithImportState = (*agentConfigResource)(nil)
)

type agentConfigResource struct{ member }

func newAgentConfigResource() resource.Resource {
	return &agentConfigResource{newMember("agent config", "name")}
}

type agentConfigModel struct {
	rowModel
	OrganizationID          types.String `tfsdk:"organization_id"`
	TeamID                  types.String `tfsdk:"team_id"`
	Name                    types.String `tfsdk:"name"`
	Description             types.String `tfsdk:"description"`
	AgentType               types.String `tfsdk:"agent_type"`
	Config                  tf.JSON      `tfsdk:"config"`
	Triggers                tf.JSON      `tfsdk:"triggers"`
	Conditions              tf.JSON      `tfsdk:"conditions"`
	Tags                    types.Set    `tfsdk:"tags"`
	ExecutionTimeoutSeconds types.Int64  `tfsdk:"execution_timeout_seconds"`
	MaxRetries              types.Int64  `tfsdk:"max_retries"`
	RetryDelaySeconds       types.Int64  `tfsdk:"retry_delay_seconds"`
	IsActive                types.Bool   `tfsdk:"is_active"`
	Version                 types.Int64  `tfsdk:"version"`
}

func agentConfigModelFrom(a tenancy.AgentConfig) agentConfigModel {
	return agentConfigModel{
		rowModel: rowModelFrom(a.Row), OrganizationID: types.StringValue(a.OrganizationID), TeamID: types.StringValue(a.TeamID),
		Name: types.StringValue(a.Name), Description: types.StringPointerValue(a.Description),
		AgentType: types.StringValue(a.AgentType), Config: jsonValue(&a.Config), Triggers: jsonValue(a.Triggers),
		Conditions: jsonValue(a.Conditions), Tags: tf.SetValue(a.Tags),
		ExecutionTimeoutSeconds: tf.Int32Value(a.ExecutionTimeoutSeconds), MaxRetries: tf.Int32Value(a.MaxRetries),
		RetryDelaySeconds: tf.Int32Value(a.RetryDelaySeconds), IsActive: types.BoolValue(a.IsActive), Version: tf.Int32Value(a.Version),
	}
}

func (m agentConfigModel) agentConfig() tenancy.AgentConfig {
	return tenancy.AgentConfig{
		Row: m.row(), OrganizationID: m.OrganizationID.ValueString(), TeamID: m.TeamID.ValueString(),
		Name: m.Name.ValueString(), Description: m.Description.ValueStringPointer(), AgentType: m.AgentType.ValueString(),
		Config: tenancy.JSON(m.Config.ValueString()), Triggers: jsonDocument(m.Triggers), Conditions: jsonDocument(m.Conditions),
		Tags: tf.StringsOf(m.Tags), ExecutionTimeoutSeconds: tf.Int32Of(m.ExecutionTimeoutSeconds), MaxRetries: tf.Int32Of(m.MaxRetries),
		RetryDelaySeconds: tf.Int32Of(m.RetryDelaySeconds), IsActive: m.IsActive.ValueBool(),
	}
}

func (r *agentConfigResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_agent_config"
}

func agentConfigAttributes() map[string]schema.Attribute {
	return withRow("agent config", map[string]schema.Attribute{
		"organization_id": tf.RequiredString("UUID of the organization. It cannot be changed.", tf.UUIDFormat),
		"team_id":         tf.RequiredString("UUID of a team of the same organization.", tf.UUIDFormat),
		"name":            tf.RequiredString("Name, unique in the team, at most 255 characters.", tf.DisplayName...),
		"description":     tf.OptionalString("What the agent is for."),
		"agent_type": tf.RequiredEnum("What the agent does.", "incident_response", "monitoring", "analysis", "notification",
			"custom"),
		"config":                    tf.RequiredJSON("Configuration of the agent."),
		"triggers":                  tf.OptionalJSON("The events that start the agent."),
		"conditions":                tf.OptionalJSON("The conditions under which a trigger counts."),
		"tags":                      tf.OptionalSet("Labels to find the agent config by."),
		"execution_timeout_seconds": tf.OptionalInt("After how many seconds a run is ended, at least 1. Default: `300`.", 300, 1),
		"max_retries":               tf.OptionalInt("How often a failed run is tried again. Default: `3`.", 3, 0),
		"retry_delay_seconds":       tf.OptionalInt("How many seconds lie between two tries. Default: `60`.", 60, 0),
		"is_active":                 tf.OptionalBool("Whether the agent runs.", true),
		"version":                   versionAttribute("agent config"),
	})
}

func (r *agentConfigResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "How an agent of a team works: what starts it, on what conditions, and with what limits.",
		Attributes:          agentConfigAttributes(),
	}
}

func (r *agentConfigResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan agentConfigModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	agentConfig, err := r.apply().CreateAgentConfig(ctx, plan.agentConfig())
	if err != nil {
		tf.AddError(&resp.Diagnostics, "create", "agent config", plan.Name.ValueString(), err)
		return
	}
	tf.Stored{
		Noun: "agent config", Name: agentConfig.Name, Model: agentConfigModelFrom(agentConfig),
		Undo: func() error { return r.apply().DeleteAgentConfig(ctx, agentConfig.ID) },
	}.SetState(ctx, req.Plan, &resp.State, &resp.Diagnostics)
}

func (r *agentConfigResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	r.sees(req.State.Raw)
	var state agentConfigModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	agentConfig, err := r.Backend.AgentConfig(ctx, state.ID.ValueString())
	if tf.Gone(err) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		tf.AddError(&resp.Diagnostics, "read", "agent config", state.Name.ValueString(), err)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, agentConfigModelFrom(agentConfig))...)
}

func (r *agentConfigResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var state, plan agentConfigModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	agentConfig, err := r.apply().UpdateAgentConfig(ctx, state.agentConfig(), plan.agentConfig())
	if err != nil {
		tf.AddError(&resp.Diagnostics, "update", "agent config", state.Name.ValueString(), err)
		return
	}
	tf.Stored{
		Noun: "agent config", Name: agentConfig.Name, Model: agentConfigModelFrom(agentConfig),
	}.SetState(ctx, req.Plan, &resp.State, &resp.Diagnostics)
}

func (r *agentConfigResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state agentConfigModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	if err := r.apply().DeleteAgentConfig(ctx, state.ID.ValueString()); err != nil {
		tf.AddError(&resp.Diagnostics, "delete", "agent config", state.Name.ValueString(), err)
	}
}

func (r *agentConfigResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	tf.ImportByKey(ctx, "agent config", "organization-slug/team-slug/name", req, resp, func(key string) (string, error) {
		organizationSlug, teamSlug, name := splitKey(key)
		agentConfig, err := r.Backend.AgentConfigByKey(ctx, organizationSlug, teamSlug, name)
		return agentConfig.ID, err
	})
}
