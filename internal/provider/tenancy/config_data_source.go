package tenancy

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/datasourcevalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

func newConfigDataSource() datasource.DataSource {
	return &tf.Reader[tenancy.Store, configModel]{
		Type: "config",
		Description: "Reads one config by its `id`, or by its `organization_id`, `name` and, if it is a team's, `team_id`. It is an " +
			"error when there is none.",
		Attributes: tf.Readable(configAttributes(), "id", "organization_id", "team_id", "name"),
		Validators: []datasource.ConfigValidator{
			datasourcevalidator.ExactlyOneOf(path.MatchRoot("id"), path.MatchRoot("name")),
			datasourcevalidator.RequiredTogether(path.MatchRoot("organization_id"), path.MatchRoot("name")),
			datasourcevalidator.Conflicting(path.MatchRoot("id"), path.MatchRoot("team_id")),
		},
		By: []string{"id", "organization_id", "team_id", "name"},
		Find: func(ctx context.Context, store *tenancy.Store, asked configModel) (configModel, error) {
			if !asked.ID.IsNull() {
				found, err := store.Config(ctx, asked.ID.ValueString())
				return configModelFrom(found), err
			}
			found, err := store.ConfigByName(ctx, asked.OrganizationID.ValueString(), asked.TeamID.ValueStringPointer(),
				asked.Name.ValueString())
			return configModelFrom(found), err
		},
	}
}
