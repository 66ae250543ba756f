package tenancy

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/datasourcevalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

var (
	_ datasource.DataSourceWithConfigure        = (*agentConfigDataSource)(nil)
	_ datasource.DataSourceWithConfigValidators = (*agentConfigDataSource)(nil)
)

type agentConfigDataSource struct{ tf.DataSource[tenancy.Store] }

func newAgentConfigDataSource() datasource.DataSource { return &agentConfigDataSource{} }

func (d *agentConfigDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_agent_config"
}

func (d *agentConfigDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Reads one agent config by its `id`, or by its `team_id` and `name`. It is an error when there is none.",
		Attributes:          tf.Readable(agentConfigAttributes(), "id", "team_id", "name"),
	}
}

func (d *agentConfigDataSource) ConfigValidators(context.Context) []datasource.ConfigValidator {
	return []datasource.ConfigValidator{
		datasourcevalidator.ExactlyOneOf(path.MatchRoot("id"), path.MatchRoot("name")),
		datasourcevalidator.RequiredTogether(path.MatchRoot("team_id"), path.MatchRoot("name")),
	}
}

func (d *agentConfigDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model agentConfigModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &model)...); resp.Diagnostics.HasError() {
		return
	}
	var agentConfig tenancy.AgentConfig
	var err error
	if !model.ID.IsNull() {
		agentConfig, err = d.Backend.AgentConfig(ctx, model.ID.ValueString())
	} else {
		agentConfig, err = d.Backend.AgentConfigByName(ctx, model.TeamID.ValueString(), model.Name.ValueString())
	}
	if err != nil {
		tf.AddLookupError(&resp.Diagnostics, "agent config", err, tf.By("id", model.ID), tf.By("team_id", model.TeamID), tf.By("name", model.Name))
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, agentConfigModelFrom(agentConfig))...)
}
