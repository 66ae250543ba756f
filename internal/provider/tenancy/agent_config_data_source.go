package tenancy

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/datasourcevalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

func newAgentConfigDataSource() datasource.DataSource {
	return &tf.Reader[tenancy.Store, agentConfigModel]{
		Type:        "agent_config",
		Description: "Reads one agent config by its `id`, or by its `team_id` and `name`. It is an error when there is none.",
		Attributes:  tf.Readable(agentConfigAttributes(), "id", "team_id", "name"),
		Validators: []datasource.ConfigValidator{
			datasourcevalidator.ExactlyOneOf(path.MatchRoot("id"), path.MatchRoot("name")),
			datasourcevalidator.RequiredTogether(path.MatchRoot("team_id"), path.MatchRoot("name")),
		},
		By: []string{"id", "team_id", "name"},
		Find: func(ctx context.Context, store *tenancy.Store, asked agentConfigModel) (agentConfigModel, error) {
			if !asked.ID.IsNull() {
				found, err := store.AgentConfig(ctx, asked.ID.ValueString())
				return agentConfigModelFrom(found), err
			}
			found, err := store.AgentConfigByName(ctx, asked.TeamID.ValueString(), asked.Name.ValueString())
			return agentConfigModelFrom(found), err
		},
	}
}
