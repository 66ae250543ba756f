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

var (
	_ datasource.DataSourceWithConfigure        = (*userDataSource)(nil)
	_ datasource.DataSourceWithConfigValidators = (*userDataSource)(nil)
	_ datasource.DataSourceWithConfigure        = (*usersDataSource)(nil)
)

type userDataSource struct{ tf.DataSource[tenancy.Store] }

func newUserDataSource() datasource.DataSource { return &userDataSource{} }

func (d *userDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_user"
}

func (d *userDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Reads one user by its `id` or its `email`. It is an error when there is none; a user that is marked as " +
			"deleted counts as gone.",
		Attributes: tf.Readable(userAttributes(), "id", "email"),
	}
}

func (d *userDataSource) ConfigValidators(context.Context) []datasource.ConfigValidator {
	return []datasource.ConfigValidator{datasourcevalidator.ExactlyOneOf(path.MatchRoot("id"), path.MatchRoot("email"))}
}

func (d *userDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model userModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &model)...); resp.Diagnostics.HasError() {
		return
	}
	var user tenancy.User
	var err error
	if !model.ID.IsNull() {
		user, err = d.Backend.User(ctx, model.ID.ValueString())
	} else {
		user, err = d.Backend.UserByEmail(ctx, model.Email.ValueString())
	}
	if err != nil {
		tf.AddLookupError(&resp.Diagnostics, "user", err, tf.By("id", model.ID), tf.By("email", model.Email))
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, userModelFrom(user))...)
}

type usersDataSource struct{ tf.DataSource[tenancy.Store] }

func newUsersDataSource() datasource.DataSource { return &usersDataSource{} }

type usersModel struct {
	OrganizationID types.String `tfsdk:"organization_id"`
	TeamID         types.String `tfsdk:"team_id"`
	Role           types.String `tfsdk:"role"`
	IsActive       types.Bool   `tfsdk:"is_active"`
	Users          []userModel  `tfsdk:"users"`
}

func (d *usersDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_users"
}

func (d *usersDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Lists users, ordered by e-mail address, without those that are marked as deleted.",
		Attributes: map[string]schema.Attribute{
			"organization_id": filterByID("Only users of this organization. Default: of all."),
			"team_id":         filterByID("Only users of this team. Default: of all."),
			"role": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf(userRoles...)},
				MarkdownDescription: "Only users with this role: " + tf.Alternatives(userRoles) + ". Default: all.",
			},
			"is_active": schema.BoolAttribute{
				Optional: true, MarkdownDescription: "Only those that are active, or only those that are not. Default: all.",
			},
			"users": schema.ListNestedAttribute{
				Computed: true, MarkdownDescription: "The users.",
				NestedObject: schema.NestedAttributeObject{Attributes: tf.Readable(userAttributes())},
			},
		},
	}
}

func (d *usersDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model usersModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &model)...); resp.Diagnostics.HasError() {
		return
	}
	users, err := d.Backend.Users(ctx, tenancy.UserFilter{
		OrganizationID: model.OrganizationID.ValueStringPointer(), TeamID: model.TeamID.ValueStringPointer(),
		Role: model.Role.ValueStringPointer(), IsActive: model.IsActive.ValueBoolPointer(),
	})
	if err != nil {
		tf.AddError(&resp.Diagnostics, "read", "users", "", err)
		return
	}
	model.Users = tf.Each(users, userModelFrom)
	resp.Diagnostics.Append(resp.State.Set(ctx, model)...)
}
