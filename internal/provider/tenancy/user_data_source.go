package tenancy

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/datasourcevalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

func newUserDataSource() datasource.DataSource {
	return &tf.Reader[tenancy.Store, userModel]{
		Type: "user",
		Description: "Reads one user by its `id` or its `email`. It is an error when there is none; a user that is marked as " +
			"deleted counts as gone.",
		Attributes: tf.Readable(userAttributes(), "id", "email"),
		Validators: []datasource.ConfigValidator{datasourcevalidator.ExactlyOneOf(path.MatchRoot("id"), path.MatchRoot("email"))},
		By:         []string{"id", "email"},
		Find: func(ctx context.Context, store *tenancy.Store, asked userModel) (userModel, error) {
			if !asked.ID.IsNull() {
				found, err := store.User(ctx, asked.ID.ValueString())
				return userModelFrom(found), err
			}
			found, err := store.UserByEmail(ctx, asked.Email.ValueString())
			return userModelFrom(found), err
		},
	}
}

type usersModel struct {
	OrganizationID types.String `tfsdk:"organization_id"`
	TeamID         types.String `tfsdk:"team_id"`
	Role           types.String `tfsdk:"role"`
	IsActive       types.Bool   `tfsdk:"is_active"`
	Users          []userModel  `tfsdk:"users"`
}

func newUsersDataSource() datasource.DataSource {
	return &tf.Reader[tenancy.Store, usersModel]{
		Type:        "users",
		Description: "Lists users, ordered by e-mail address, without those that are marked as deleted.",
		Attributes: map[string]schema.Attribute{
			"organization_id": filterByID("Only users of this organization. Default: of all."),
			"team_id":         filterByID("Only users of this team. Default: of all."),
			"role": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf(userRoles...)},
				MarkdownDescription: "Only users with this role: " + tf.Alternatives(userRoles) + ". Default: all.",
			},
			"is_active": filterByActive(),
			"users":     tf.ListOf("The users.", userAttributes()),
		},
		Find: func(ctx context.Context, store *tenancy.Store, asked usersModel) (usersModel, error) {
			found, err := store.Users(ctx, tenancy.UserFilter{
				OrganizationID: asked.OrganizationID.ValueStringPointer(), TeamID: asked.TeamID.ValueStringPointer(),
				Role: asked.Role.ValueStringPointer(), IsActive: asked.IsActive.ValueBoolPointer(),
			})
			asked.Users = tf.Each(found, userModelFrom)
			return asked, err
		},
	}
}
