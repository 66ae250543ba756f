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

func newTeamDataSource() datasource.DataSource {
	return &tf.Reader[tenancy.Store, teamModel]{
		Type:        "team",
		Description: "Reads one team by its `id`, or by its `organization_id` and `slug`. It is an error when there is none.",
		Attributes:  tf.Readable(teamAttributes(), "id", "organization_id", "slug"),
		Validators: []datasource.ConfigValidator{
			datasourcevalidator.ExactlyOneOf(path.MatchRoot("id"), path.MatchRoot("slug")),
			datasourcevalidator.RequiredTogether(path.MatchRoot("organization_id"), path.MatchRoot("slug")),
		},
		By: []string{"id", "organization_id", "slug"},
		Find: func(ctx context.Context, store *tenancy.Store, asked teamModel) (teamModel, error) {
			if !asked.ID.IsNull() {
				found, err := store.Team(ctx, asked.ID.ValueString())
				return teamModelFrom(found), err
			}
			found, err := store.TeamBySlug(ctx, asked.OrganizationID.ValueString(), asked.Slug.ValueString())
			return teamModelFrom(found), err
		},
	}
}

type teamsModel struct {
	OrganizationID types.String `tfsdk:"organization_id"`
	IsActive       types.Bool   `tfsdk:"is_active"`
	Teams          []teamModel  `tfsdk:"teams"`
}

func newTeamsDataSource() datasource.DataSource {
	return &tf.Reader[tenancy.Store, teamsModel]{
		Type:        "teams",
		Description: "Lists teams, ordered by organization and slug.",
		Attributes: map[string]schema.Attribute{
			"organization_id": filterByID("Only teams of this organization. Default: of all."),
			"is_active":       filterByActive(),
			"teams":           tf.ListOf("The teams.", teamAttributes()),
		},
		Find: func(ctx context.Context, store *tenancy.Store, asked teamsModel) (teamsModel, error) {
			found, err := store.Teams(ctx, tenancy.TeamFilter{
				OrganizationID: asked.OrganizationID.ValueStringPointer(), IsActive: asked.IsActive.ValueBoolPointer(),
			})
			asked.Teams = tf.Each(found, teamModelFrom)
			return asked, err
		},
	}
}
