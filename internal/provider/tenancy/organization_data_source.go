package tenancy

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/datasourcevalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

var (
	_ datasource.DataSourceWithConfigure        = (*organizationDataSource)(nil)
	_ datasource.DataSourceWithConfigValidators = (*organizationDataSource)(nil)
	_ datasource.DataSourceWithConfigure        = (*organizationsDataSource)(nil)
	_ datasource.DataSourceWithConfigure        = (*organizationUsageDataSource)(nil)
)

type organizationDataSource struct{ tf.DataSource[tenancy.Store] }

func newOrganizationDataSource() datasource.DataSource { return &organizationDataSource{} }

func (d *organizationDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_organization"
}

func (d *organizationDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Reads one organization by its `id` or its `slug`. It is an error when there is none.",
		Attributes:          tf.Readable(organizationAttributes(), "id", "slug"),
	}
}

func (d *organizationDataSource) ConfigValidators(context.Context) []datasource.ConfigValidator {
	return []datasource.ConfigValidator{datasourcevalidator.ExactlyOneOf(path.MatchRoot("id"), path.MatchRoot("slug"))}
}

func (d *organizationDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model organizationModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &model)...); resp.Diagnostics.HasError() {
		return
	}
	var organization tenancy.Organization
	var err error
	if !model.ID.IsNull() {
		organization, err = d.Backend.Organization(ctx, model.ID.ValueString())
	} else {
		organization, err = d.Backend.OrganizationBySlug(ctx, model.Slug.ValueString())
	}
	if err != nil {
		tf.AddLookupError(&resp.Diagnostics, "organization", err, tf.By("id", model.ID), tf.By("slug", model.Slug))
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, organizationModelFrom(organization))...)
}

type organizationsDataSource struct{ tf.DataSource[tenancy.Store] }

func newOrganizationsDataSource() datasource.DataSource { return &organizationsDataSource{} }

type organizationsModel struct {
	IsActive      types.Bool          `tfsdk:"is_active"`
	Organizations []organizationModel `tfsdk:"organizations"`
}

func (d *organizationsDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_organizations"
}

func (d *organizationsDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Lists organizations, ordered by slug.",
		Attributes: map[string]schema.Attribute{
			"is_active": schema.BoolAttribute{
				Optional: true, MarkdownDescription: "Only those that are active, or only those that are not. Default: all.",
			},
			"organizations": schema.ListNestedAttribute{
				Computed: true, MarkdownDescription: "The organizations.",
				NestedObject: schema.NestedAttributeObject{Attributes: tf.Readable(organizationAttributes())},
			},
		},
	}
}

func (d *organizationsDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model organizationsModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &model)...); resp.Diagnostics.HasError() {
		return
	}
	organizations, err := d.Backend.Organizations(ctx, tenancy.OrganizationFilter{IsActive: model.IsActive.ValueBoolPointer()})
	if err != nil {
		tf.AddError(&resp.Diagnostics, "read", "organizations", "", err)
		return
	}
	model.Organizations = tf.Each(organizations, organizationModelFrom)
	resp.Diagnostics.Append(resp.State.Set(ctx, model)...)
}

type organizationUsageDataSource struct{ tf.DataSource[tenancy.Store] }

func newOrganizationUsageDataSource() datasource.DataSource { return &organizationUsageDataSource{} }

type organizationUsageModel struct {
	OrganizationID types.String `tfsdk:"organization_id"`
	Teams          types.Int64  `tfsdk:"teams"`
	Users          types.Int64  `tfsdk:"users"`
	Incidents      types.Int64  `tfsdk:"incidents"`
	AgentConfigs   types.Int64  `tfsdk:"agent_configs"`
	Configs        types.Int64  `tfsdk:"configs"`
	Stats          types.Int64  `tfsdk:"stats"`
	Roles          types.Int64  `tfsdk:"roles"`
}

func (d *organizationUsageDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_organization_usage"
}

func (d *organizationUsageDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	count := func(of string) schema.Int64Attribute {
		return schema.Int64Attribute{Computed: true, MarkdownDescription: "Number of " + of + "."}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "Counts what belongs to an organization.",
		Attributes: map[string]schema.Attribute{
			"organization_id": schema.StringAttribute{
				Required: true, Validators: []validator.String{tf.UUIDFormat}, MarkdownDescription: "UUID of the organization.",
			},
			"teams":         count("teams"),
			"users":         count("users, without those that are marked as deleted"),
			"incidents":     count("incidents"),
			"agent_configs": count("agent configs"),
			"configs":       count("configs"),
			"stats":         count("statistics"),
			"roles":         count("roles that are bound to the organization"),
		},
	}
}

func (d *organizationUsageDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model organizationUsageModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &model)...); resp.Diagnostics.HasError() {
		return
	}
	usage, err := d.Backend.OrganizationUsage(ctx, model.OrganizationID.ValueString())
	if err != nil {
		tf.AddLookupError(&resp.Diagnostics, "organization", err, tf.By("organization_id", model.OrganizationID))
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, organizationUsageModel{
		OrganizationID: model.OrganizationID,
		Teams:          types.Int64Value(usage.Teams), Users: types.Int64Value(usage.Users),
		Incidents: types.Int64Value(usage.Incidents), AgentConfigs: types.Int64Value(usage.AgentConfigs),
		Configs: types.Int64Value(usage.Configs), Stats: types.Int64Value(usage.Stats), Roles: types.Int64Value(usage.Roles),
	})...)
}
