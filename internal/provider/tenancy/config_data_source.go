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
	_ datasource.DataSourceWithConfigure        = (*configDataSource)(nil)
	_ datasource.DataSourceWithConfigValidators = (*configDataSource)(nil)
)

type configDataSource struct{ tf.DataSource[tenancy.Store] }

func newConfigDataSource() datasource.DataSource { return &configDataSource{} }

func (d *configDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_config"
}

func (d *configDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Reads one config by its `id`, or by its `organization_id`, `name` and, if it is a team's, `team_id`. It is an " +
			"error when there is none.",
		Attributes: tf.Readable(configAttributes(), "id", "organization_id", "team_id", "name"),
	}
}

func (d *configDataSource) ConfigValidators(context.Context) []datasource.ConfigValidator {
	return []datasource.ConfigValidator{
		datasourcevalidator.ExactlyOneOf(path.MatchRoot("id"), path.MatchRoot("name")),
		datasourcevalidator.RequiredTogether(path.MatchRoot("organization_id"), path.MatchRoot("name")),
		datasourcevalidator.Conflicting(path.MatchRoot("id"), path.MatchRoot("team_id")),
	}
}

func (d *configDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model configModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &model)...); resp.Diagnostics.HasError() {
		return
	}
	var config tenancy.Config
	var err error
	if !model.ID.IsNull() {
		config, err = d.Backend.Config(ctx, model.ID.ValueString())
	} else {
		config, err = d.Backend.ConfigByName(ctx, model.OrganizationID.ValueString(), model.TeamID.ValueStringPointer(), model.Name.ValueString())
	}
	if err != nil {
		tf.AddLookupError(&resp.Diagnostics, "config", err, tf.By("id", model.ID), tf.By("organization_id", model.OrganizationID), tf.By("team_id", model.TeamID), tf.By("name", model.Name))
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, configModelFrom(config))...)
}
