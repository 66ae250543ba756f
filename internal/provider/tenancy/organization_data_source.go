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

func newOrganizationDataSource() datasource.DataSource {
	return &tf.Reader[tenancy.Store, organizationModel]{
		Type:        "organization",
		Description: "Reads one organization by its `id` or its `slug`. It is an error when there is none.",
		Attributes:  tf.Readable(organizationAttributes(), "id", "slug"),
		Validators:  []datasource.ConfigValidator{datasourcevalidator.ExactlyOneOf(path.MatchRoot("id"), path.MatchRoot("slug"))},
		By:          []string{"id", "slug"},
		Find: func(ctx context.Context, store *tenancy.Store, asked organizationModel) (organizationModel, error) {
			if !asked.ID.IsNull() {
				found, err := store.Organization(ctx, asked.ID.ValueString())
				return organizationModelFrom(found), err
			}
			found, err := store.OrganizationBySlug(ctx, asked.Slug.ValueString())
			return organizationModelFrom(found), err
		},
	}
}

type organizationsModel struct {
	IsActive      types.Bool          `tfsdk:"is_active"`
	Organizations []organizationModel `tfsdk:"organizations"`
}

func newOrganizationsDataSource() datasource.DataSource {
	return &tf.Reader[tenancy.Store, organizationsModel]{
		Type:        "organizations",
		Description: "Lists organizations, ordered by slug.",
		Attributes: map[string]schema.Attribute{
			"is_active":     filterByActive(),
			"organizations": tf.ListOf("The organizations.", organizationAttributes()),
		},
		Find: func(ctx context.Context, store *tenancy.Store, asked organizationsModel) (organizationsModel, error) {
			found, err := store.Organizations(ctx, tenancy.OrganizationFilter{IsActive: asked.IsActive.ValueBoolPointer()})
			asked.Organizations = tf.Each(found, organizationModelFrom)
			return asked, err
		},
	}
}

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

func newOrganizationUsageDataSource() datasource.DataSource {
	count := func(of string) schema.Int64Attribute {
		return schema.Int64Attribute{Computed: true, MarkdownDescription: "Number of " + of + "."}
	}
	return &tf.Reader[tenancy.Store, organizationUsageModel]{
		Type: "organization_usage", Noun: "organization",
		Description: "Counts what belongs to an organization.",
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
		By: []string{"organization_id"},
		Find: func(ctx context.Context, store *tenancy.Store, asked organizationUsageModel) (organizationUsageModel, error) {
			usage, err := store.OrganizationUsage(ctx, asked.OrganizationID.ValueString())
			return organizationUsageModel{
				OrganizationID: asked.OrganizationID,
				Teams:          types.Int64Value(usage.Teams), Users: types.Int64Value(usage.Users),
				Incidents: types.Int64Value(usage.Incidents), AgentConfigs: types.Int64Value(usage.AgentConfigs),
				Configs: types.Int64Value(usage.Configs), Stats: types.Int64Value(usage.Stats), Roles: types.Int64Value(usage.Roles),
			}, err
		},
	}
}
