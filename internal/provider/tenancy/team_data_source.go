package tenancy

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/datasourcevalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

var (
	_ datasource.DataSourceWithConfigure        = (*teamDataSource)(nil)
	_ datasource.DataSourceWithConfigValidators = (*teamDataSource)(nil)
	_ datasource.DataSourceWithConfigure        = (*teamsDataSource)(nil)
)

type teamDataSource struct{ tf.DataSource[tenancy.Store] }

func newTeamDataSource() datasource.DataSource { return &teamDataSource{} }

func (d *teamDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_team"
}

func (d *teamDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Reads one team by its `id`, or by its `organization_id` and `slug`. It is an error when there is none.",
		Attributes:          tf.Readable(teamAttributes(), "id", "organization_id", "slug"),
	}
}

func (d *teamDataSource) ConfigValidators(context.Context) []datasource.ConfigValidator {
	return []datasource.ConfigValidator{
		datasourcevalidator.ExactlyOneOf(path.MatchRoot("id"), path.MatchRoot("slug")),
		datasourcevalidator.RequiredTogether(path.MatchRoot("organization_id"), path.MatchRoot("slug")),
	}
}

func (d *teamDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model teamModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &model)...); resp.Diagnostics.HasError() {
		return
	}
	var team tenancy.Team
	var err error
	if !model.ID.IsNull() {
		team, err = d.Backend.Team(ctx, model.ID.ValueString())
	} else {
		team, err = d.Backend.TeamBySlug(ctx, model.OrganizationID.ValueString(), model.Slug.ValueString())
	}
	if err != nil {
		tf.AddLookupError(&resp.Diagnostics, "team", err, tf.By("id", model.ID), tf.By("organization_id", model.OrganizationID), tf.By("slug", model.Slug))
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, teamModelFrom(team))...)
}

type teamsDataSource struct{ tf.DataSource[tenancy.Store] }

func newTeamsDataSource() datasource.DataSource { return &teamsDataSource{} }

type teamsModel struct {
	OrganizationID types.String `tfsdk:"organization_id"`
	IsActive       types.Bool   `tfsdk:"is_active"`
	Teams          []teamModel  `tfsdk:"teams"`
}

func (d *teamsDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_teams"
}

func (d *teamsDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Lists teams, ordered by organization and slug.",
		Attributes: map[string]schema.Attribute{
			"organization_id": filterByID("Only teams of this organization. Default: of all."),
			"is_active": schema.BoolAttribute{
				Optional: true, MarkdownDescription: "Only those that are active, or only those that are not. Default: all.",
			},
			"teams": schema.ListNestedAttribute{
				Computed: true, MarkdownDescription: "The teams.",
				NestedObject: schema.NestedAttributeObject{Attributes: tf.Readable(teamAttributes())},
			},
		},
	}
}

func (d *teamsDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model teamsModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &model)...); resp.Diagnostics.HasError() {
		return
	}
	teams, err := d.Backend.Teams(ctx, tenancy.TeamFilter{
		OrganizationID: model.OrganizationID.ValueStringPointer(), IsActive: model.IsActive.ValueBoolPointer(),
	})
	if err != nil {
		tf.AddError(&resp.Diagnostics, "read", "teams", "", err)
		return
	}
	model.Teams = tf.Each(teams, teamModelFrom)
	resp.Diagnostics.Append(resp.State.Set(ctx, model)...)
}
