package tenancy

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

var (
	_ resource.ResourceWithConfigure   = (*userResource)(nil)
	_ resource.ResourceWithModifyPlan  = (*userResource)(nil)
	_ resource.ResourceWithImportState = (*userResource)(nil)
)

type userResource struct{ member }

func newUserResource() resource.Resource {
	r := &userResource{newMember("user", "email")}
	r.protects = true
	return r
}

const deleteForGood, keepAsDeleted = "delete", "soft_delete" // values of on_destroy

var userRoles = []string{"admin", "member", "viewer"}

type userModel struct {
	rowModel
	OrganizationID types.String `tfsdk:"organization_id"`
	TeamID         types.String `tfsdk:"team_id"`
	Email          types.String `tfsdk:"email"`
	Username       types.String `tfsdk:"username"`
	FullName       types.String `tfsdk:"full_name"`
	Role           types.String `tfsdk:"role"`
	IsActive       types.Bool   `tfsdk:"is_active"`
	IsVerified     types.Bool   `tfsdk:"is_verified"`
	OIDCProvider   types.String `tfsdk:"oidc_provider"`
	OIDCSubject    types.String `tfsdk:"oidc_subject"`
	Preferences    tf.JSON      `tfsdk:"preferences"`
}

// userResourceModel adds what only Terraform knows.
type userResourceModel struct {
	userModel
	DeletionProtection types.Bool   `tfsdk:"deletion_protection"`
	OnDestroy          types.String `tfsdk:"on_destroy"`
}

func userModelFrom(u tenancy.User) userModel {
	return userModel{
		rowModel: rowModelFrom(u.Row), OrganizationID: types.StringValue(u.OrganizationID), TeamID: types.StringValue(u.TeamID),
		Email: types.StringValue(u.Email), Username: types.StringValue(u.Username),
		FullName: types.StringPointerValue(u.FullName), Role: types.StringValue(u.Role),
		IsActive: types.BoolValue(u.IsActive), IsVerified: types.BoolValue(u.IsVerified),
		OIDCProvider: types.StringPointerValue(u.OIDCProvider), OIDCSubject: types.StringPointerValue(u.OIDCSubject),
		Preferences: jsonValue(u.Preferences),
	}
}

func (m userModel) user() tenancy.User {
	return tenancy.User{
		Row: m.row(), OrganizationID: m.OrganizationID.ValueString(), TeamID: m.TeamID.ValueString(),
		Email: m.Email.ValueString(), Username: m.Username.ValueString(), FullName: m.FullName.ValueStringPointer(),
		Role: m.Role.ValueString(), IsActive: m.IsActive.ValueBool(), IsVerified: m.IsVerified.ValueBool(),
		OIDCProvider: m.OIDCProvider.ValueStringPointer(), OIDCSubject: m.OIDCSubject.ValueStringPointer(),
		Preferences: jsonDocument(m.Preferences),
	}
}

func (r *userResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_user"
}

func userAttributes() map[string]schema.Attribute {
	return withRow("user", map[string]schema.Attribute{
		"organization_id": tf.RequiredString("UUID of the organization. It cannot be changed.", tf.UUIDFormat),
		"team_id":         tf.RequiredString("UUID of a team of the same organization.", tf.UUIDFormat),
		"email": tf.RequiredString("E-mail address, unique among all organizations, at most 255 characters. Capitals "+
			"count: the platform looks it up as it is written.", tf.EmailFormat, stringvalidator.UTF8LengthAtMost(255)),
		"username": tf.RequiredString("Login name, unique among all organizations, at most 100 characters without white space.",
			tf.NoSpaces, tf.Rule{String: stringvalidator.UTF8LengthBetween(1, 100)}, stringvalidator.UTF8LengthAtMost(100)),
		"full_name":   tf.OptionalString("Name of the person, at most 255 characters.", stringvalidator.UTF8LengthAtMost(255)),
		"role":        tf.OptionalEnum("What the user may do in the platform.", "member", userRoles...),
		"is_active":   tf.OptionalBool("Whether the user may log in to the platform.", true),
		"is_verified": tf.OptionalBool("Whether the e-mail address is verified.", false),
		"oidc_provider": tf.OptionalString("OpenID Connect provider that the user logs in with, at most 100 characters.",
			tf.Rule{String: stringvalidator.UTF8LengthBetween(1, 100)}, stringvalidator.UTF8LengthAtMost(100)),
		"oidc_subject": tf.OptionalString("The provider's identifier (claim `sub`) of the user, unique, at most 255 characters.",
			tf.Rule{String: stringvalidator.UTF8LengthBetween(1, 255)}, stringvalidator.UTF8LengthAtMost(255)),
		"preferences": tf.OptionalJSON("Preferences of the user."),
	})
}

func (r *userResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	attributes := userAttributes()
	attributes["deletion_protection"] = tf.ProtectionAttribute("user", false)
	attributes["on_destroy"] = tf.OptionalEnum("What destroying does: `delete` deletes the row for good, `soft_delete` keeps it as the "+
		"platform keeps deleted users, with `deleted_at` and without `is_active`. E-mail address, username and OIDC subject stay "+
		"taken then: the same e-mail address in the same organization revives the user, and nobody else can have them. The row goes "+
		"for good with its team or organization. It must be applied before the destroy. Known to Terraform only, not to the database.",
		deleteForGood, deleteForGood, keepAsDeleted)
	resp.Schema = schema.Schema{
		MarkdownDescription: "A person of a team. The organization's `max_users_per_team` limits how many a team can have. A user " +
			"that is " +
			"marked as deleted counts as gone; creating it again in the same organization revives it. Destroying deletes the " +
			"user for good, unless `on_destroy` says otherwise: incidents assigned to it stay, without an assignee.",
		Attributes: attributes,
	}
}

func (r *userResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan userResourceModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	user, err := r.apply().CreateUser(ctx, plan.user())
	if err != nil {
		tf.AddError(&resp.Diagnostics, "create", "user", plan.Email.ValueString(), err)
		return
	}
	plan.userModel = userModelFrom(user)
	tf.Stored{
		Noun: "user", Name: user.Email, Model: plan, Undo: func() error { return r.apply().DeleteUser(ctx, user.ID) },
	}.SetState(ctx, req.Plan, &resp.State, &resp.Diagnostics)
}

func (r *userResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	r.sees(req.State.Raw)
	var state userResourceModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	user, err := r.Backend.User(ctx, state.ID.ValueString())
	if tf.Gone(err) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		tf.AddError(&resp.Diagnostics, "read", "user", state.Email.ValueString(), err)
		return
	}
	state.userModel = userModelFrom(user)
	state.DeletionProtection = orDefault(state.DeletionProtection, types.BoolValue(false))
	state.OnDestroy = orDefault(state.OnDestroy, types.StringValue(deleteForGood))
	resp.Diagnostics.Append(resp.State.Set(ctx, state)...)
}

func (r *userResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var state, plan userResourceModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	user, err := r.apply().UpdateUser(ctx, state.user(), plan.user())
	if err != nil {
		tf.AddError(&resp.Diagnostics, "update", "user", state.Email.ValueString(), err)
		return
	}
	plan.userModel = userModelFrom(user)
	tf.Stored{Noun: "user", Name: user.Email, Model: plan}.SetState(ctx, req.Plan, &resp.State, &resp.Diagnostics)
}

func (r *userResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state userResourceModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	// A forced replacement (-replace, taint) is planned without telling the provider that it destroys.
	tf.RefuseDestroy("user", state.Email.ValueString(), "", state.DeletionProtection, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	remove := r.apply().DeleteUser
	if state.OnDestroy.ValueString() == keepAsDeleted {
		remove = r.Backend.SoftDeleteUser
	}
	if err := remove(ctx, state.ID.ValueString()); err != nil {
		tf.AddError(&resp.Diagnostics, "delete", "user", state.Email.ValueString(), err)
	}
}

func (r *userResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	tf.ImportByKey(ctx, "user", "its e-mail address", req, resp, func(key string) (string, error) {
		user, err := r.Backend.UserByEmail(ctx, key)
		return user.ID, err
	})
}
