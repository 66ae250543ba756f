package access

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

var (
	_ resource.ResourceWithConfigure      = (*roleResource)(nil)
	_ resource.ResourceWithValidateConfig = (*roleResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*roleResource)(nil)
	_ resource.ResourceWithImportState    = (*roleResource)(nil)
)

type roleResource struct{ tf.Resource[backend] }

func newRoleResource() resource.Resource { return &roleResource{} }

// roleModel is what a role has in the database.
type roleModel struct {
	ID               types.String      `tfsdk:"id"`
	OID              types.Int64       `tfsdk:"oid"`
	Name             types.String      `tfsdk:"name"`
	Access           types.String      `tfsdk:"access"`
	OrganizationID   types.String      `tfsdk:"organization_id"`
	Pooled           types.Bool        `tfsdk:"pooled"`
	ConnectionLimit  types.Int64       `tfsdk:"connection_limit"`
	StatementTimeout types.String      `tfsdk:"statement_timeout"`
	ValidUntil       timetypes.RFC3339 `tfsdk:"valid_until"`
	Locked           types.Bool        `tfsdk:"locked"`
	Attributes       types.Set         `tfsdk:"attributes"`
	MemberOf         types.Set         `tfsdk:"member_of"`
}

// roleResourceModel adds what only Terraform knows.
type roleResourceModel struct {
	roleModel
	ReassignOwnedTo    types.String `tfsdk:"reassign_owned_to"`
	DeletionProtection types.Bool   `tfsdk:"deletion_protection"`
}

// roleModelFrom keeps the way in which known writes the timeout, if it means the same.
func roleModelFrom(r access.Role, known roleModel) roleModel {
	m := roleModel{
		ID: types.StringValue(r.Name), OID: types.Int64Value(int64(r.OID)), Name: types.StringValue(r.Name),
		Access: tf.TextOrNull(r.Access), OrganizationID: types.StringPointerValue(r.OrganizationID),
		Pooled: types.BoolValue(r.Pooled), ConnectionLimit: tf.Int32Value(r.ConnectionLimit),
		StatementTimeout: tf.DurationValue(r.StatementTimeout, known.StatementTimeout),
		ValidUntil:       tf.TimeLike(r.ValidUntil, known.ValidUntil),
		Locked:           types.BoolValue(r.Locked),
		Attributes:       tf.SetValue(r.Attributes), MemberOf: tf.SetValue(r.MemberOf),
	}
	return m
}

func (m roleModel) role() access.Role {
	r := access.Role{
		OID:  uint32(m.OID.ValueInt64()), //nolint:gosec // It comes from the server, or is none.
		Name: m.Name.ValueString(), Access: m.Access.ValueString(), OrganizationID: m.OrganizationID.ValueStringPointer(),
		Pooled: m.Pooled.ValueBool(), ConnectionLimit: tf.Int32Of(m.ConnectionLimit), StatementTimeout: tf.Duration(m.StatementTimeout),
		Locked: m.Locked.ValueBool(), Attributes: tf.StringsOf(m.Attributes), MemberOf: tf.StringsOf(m.MemberOf),
	}
	if !m.ValidUntil.IsNull() {
		validUntil, _ := m.ValidUntil.ValueRFC3339Time() // The type has checked it.
		r.ValidUntil = &validUntil
	}
	return r
}

func (r *roleResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_role"
}

func ofTenants(l access.Level) bool  { return l.OfTenants }
func ofServices(l access.Level) bool { return !l.OfTenants }

// meanings says what the levels that pass may do.
func meanings(pass func(access.Level) bool) string {
	var all []string
	for _, name := range access.LevelNames(pass) {
		all = append(all, fmt.Sprintf("%#q %s", name, access.LevelOf(name).Meaning))
	}
	return strings.Join(all, ", ")
}

func roleAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"id": schema.StringAttribute{Computed: true, MarkdownDescription: "The role's name."},
		"oid": schema.Int64Attribute{
			Computed: true, PlanModifiers: []planmodifier.Int64{int64planmodifier.UseStateForUnknown()},
			MarkdownDescription: "The role's object identifier in the cluster. It stays the same when the role is renamed.",
		},
		"name": tf.RequiredString("Name of the role and common name of its client certificates: letters, digits, `_`, `.`, `@` and "+
			"`-`, at most 63 characters. Changing it renames the role in place. Every login of the server can read the names of all "+
			"roles (`pg_roles`), so let them not tell who your customers are, if that is a secret. Refused are keywords such as "+
			"`public`, what begins with `pg_`, the group roles, and, unless `access` is `pooler`, `"+access.PoolerName+"` and any "+
			"name from which `pg_ident.conf` maps a certificate to another role; that file is read at the apply where the "+
			"provider is a superuser.", tf.Identity),
		"access": tf.RequiredEnum("What the role may do. For one organization, or for all when `organization_id` is not set: "+
			meanings(ofTenants)+". Never for one organization: "+meanings(ofServices)+".",
			access.LevelNames(func(access.Level) bool { return true })...),
		"organization_id": tf.OptionalString("The tenant that the role acts for. Without it the role is a service role, which acts "+
			"for all. It cannot be changed while the role has sessions.", tf.UUIDFormat),
		"pooled": schema.BoolAttribute{
			Optional: true, Computed: true,
			MarkdownDescription: "Whether the role may log in through PgBouncer; `pooler` cannot. Default: `false` for access " +
				tf.Alternatives(access.LevelNames(func(l access.Level) bool { return l.Direct })) + ", else `true`.",
		},
		"connection_limit": schema.Int64Attribute{
			Optional: true, Computed: true, Validators: []validator.Int64{tf.AtLeast(-1)},
			MarkdownDescription: fmt.Sprintf("How many connections the role may have at once, `-1` for any number, which shuts out "+
				"all others when the role uses it; through PgBouncer only those of the pooler count. Default: `%d` with "+
				"`organization_id`, else `-1`.",
				access.TenantConnections),
		},
		"statement_timeout": schema.StringAttribute{
			Optional: true, Validators: []validator.String{tf.WholeMilliseconds},
			PlanModifiers: []planmodifier.String{tf.SameMeaning(tf.SameDuration)},
			MarkdownDescription: "How long a statement of the role may run, as a duration with a unit, such as `\"30s\"`. It is the " +
				"default of new sessions, which a client may change (PostgreSQL manual, section 20.11.1). Without it the server's own " +
				"holds.",
		},
		"valid_until": schema.StringAttribute{
			Optional: true, CustomType: timetypes.RFC3339Type{}, Validators: []validator.String{tf.YearOne},
			PlanModifiers: []planmodifier.String{tf.SameMeaning(tf.SameTime)},
			MarkdownDescription: "When the role's access ends (RFC 3339). From then on it sees no row, not even in a transaction that " +
				"is open, and the pooler refuses it; PostgreSQL itself checks such a time for passwords only (PostgreSQL manual, " +
				"\"CREATE ROLE\"), so that it does not stop access " +
				tf.Alternatives(access.LevelNames(func(l access.Level) bool { return l.Unexpiring })) +
				": let their certificates expire. Never, when it is not set.",
		},
		"locked": tf.OptionalBool("Whether the role is shut out, as after its certificate was compromised: it may no longer log in, "+
			"and its sessions are ended, those that a pooler holds for it included. It works within seconds, also where nobody reads "+
			"certificate revocation lists, as PgBouncer does not. A role that may not log in but still has sessions counts as not "+
			"locked.", false),
		"attributes": schema.SetAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "The attributes that the role has (PostgreSQL manual, \"CREATE ROLE\"), and `CONNECT` for that " +
				"privilege on the database. A role of Terraform's has `CONNECT`, `INHERIT` and, unless it is `locked`, `LOGIN`; any " +
				"other was given by somebody else and is taken away by the next apply: also a `PASSWORD`, which only a superuser can " +
				"see, options of a membership (`brownie_reader WITH ADMIN`), and `VALID UNTIL DIFFERS`, when the server and the " +
				"pooler would let the role in until another time than the tenant's rows are shown.",
		},
		"member_of": schema.SetAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "The group roles of the access levels that the role is a member of. They follow from `access`, " +
				"`organization_id` and `pooled`; the next apply repairs what somebody else changed. Memberships in other roles are " +
				"not Terraform's business.",
		},
	}
}

func (r *roleResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	attributes := roleAttributes()
	attributes["reassign_owned_to"] = tf.OptionalString("The role that gets what this one owns in the database, and databases that it "+
		"owns, when it is destroyed. Without it, a role that owns anything is not destroyed; the plan lists what that is. It must be "+
		"applied before the destroy.", tf.Identity)
	attributes["deletion_protection"] = tf.ProtectionAttribute("role", false)
	resp.Schema = schema.Schema{
		MarkdownDescription: "A role is a PostgreSQL login role that authenticates with a client certificate whose common name is the " +
			"role's name, and that acts for one organization or, as a service role, for all. It never has a password. Every change is " +
			"made in place. The provider's own role needs `CREATEROLE` and must own the database, or be a superuser.",
		Attributes: attributes,
	}
}

// ValidateConfig refuses combinations that mean nothing.
func (r *roleResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var config roleResourceModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &config)...); resp.Diagnostics.HasError() {
		return
	}
	level := access.LevelOf(config.Access.ValueString())
	if level.Name != "" && !config.OrganizationID.IsNull() && !level.OfTenants {
		resp.Diagnostics.AddAttributeError(path.Root("access"), "Invalid access", fmt.Sprintf("access is %q, which is never for one "+
			"organization: it must be %s when organization_id is set.", level.Name, tf.Alternatives(access.LevelNames(ofTenants))))
	}
	if level.Name != "" && !level.Pooler && access.IsPooler(config.Name.ValueString()) {
		resp.Diagnostics.AddAttributeError(path.Root("name"), "Invalid name", fmt.Sprintf("name is %q, the name of the pooler, whose "+
			"certificate opens the roles that may use it: choose another name, unless access is \"pooler\".", config.Name.ValueString()))
	}
	if level.Pooler && config.Pooled.ValueBool() {
		resp.Diagnostics.AddAttributeError(path.Root("pooled"), "Invalid pooled", "pooled is true: the pooler's own role cannot log "+
			"in through the pooler.")
	}
	if level.Unexpiring && !config.ValidUntil.IsNull() {
		resp.Diagnostics.AddAttributeWarning(path.Root("valid_until"), "valid_until does not stop a "+level.Name, fmt.Sprintf("A %s "+
			"does not need tenants' rows, which are all that such a role no longer sees after valid_until, and PostgreSQL itself "+
			"checks that time for passwords only: without the pooler the role goes on to log in. Let its certificate expire by then, "+
			"or destroy the role.", level.Name))
	}
	if !config.Name.IsUnknown() && config.Name.Equal(config.ReassignOwnedTo) {
		resp.Diagnostics.AddAttributeError(path.Root("reassign_owned_to"), "Invalid reassign_owned_to", "reassign_owned_to is the "+
			"role itself: it must be another one.")
	}
}

// ModifyPlan plans what follows from the arguments, so that drift shows, and says what a destroy will meet.
func (r *roleResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	var state roleResourceModel // null for a new one
	if !req.State.Raw.IsNull() {
		if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
			return
		}
	}
	if req.Plan.Raw.IsNull() {
		r.planDestroy(ctx, state, resp)
		return
	}
	var plan roleResourceModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	var config roleResourceModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &config)...); resp.Diagnostics.HasError() {
		return
	}
	plan.planDefaults(config.roleModel)
	plan.ID = plan.Name
	plan.Attributes = types.SetUnknown(types.StringType)
	if !plan.Locked.IsUnknown() {
		plan.Attributes = tf.SetValue(access.Role{Locked: plan.Locked.ValueBool()}.WantedAttributes())
	}
	plan.MemberOf = types.SetUnknown(types.StringType)
	if !plan.Access.IsUnknown() && !plan.OrganizationID.IsUnknown() && !plan.Pooled.IsUnknown() {
		plan.MemberOf = tf.SetValue(plan.role().Groups())
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, plan)...)
	if !resp.Plan.Raw.Equal(req.State.Raw) {
		changed := state.Name.ValueString()
		if changed == "" {
			changed = tf.Replaced(ctx, "", req, resp)
		}
		r.refuseWithoutRights(ctx, plan, state, changed, &resp.Diagnostics)
	}
	r.planName(ctx, plan, state, req, resp)
	r.warnOfSessions(ctx, plan, state, &resp.Diagnostics)
}

// refuseWithoutRights refuses to plan what the provider's own role may not do. changed is the role that is changed or replaced, if
// any. What cannot be found out yet, the apply will.
func (r *roleResource) refuseWithoutRights(ctx context.Context, plan, state roleResourceModel, changed string, diags *diag.Diagnostics) {
	if r.Backend == nil {
		return
	}
	err := r.Backend.CheckManager(plan.role(), state.role())
	if err == nil && changed != "" && !r.Backend.walk.IsApply() { // which finds out by itself
		err = r.Backend.CheckChange(ctx, changed)
	}
	if lacking := (*access.ManagerError)(nil); errors.As(err, &lacking) {
		tf.AddError(diags, "manage", "role", plan.Name.ValueString(), lacking)
	}
}

// planDefaults plans what depends on other arguments. An organization_id that is not known yet may turn out to be null.
func (m *roleModel) planDefaults(config roleModel) {
	if config.Pooled.IsNull() {
		m.Pooled = types.BoolUnknown()
		if !m.Access.IsUnknown() {
			m.Pooled = types.BoolValue(!access.LevelOf(m.Access.ValueString()).Direct)
		}
	}
	if config.ConnectionLimit.IsNull() {
		m.ConnectionLimit = types.Int64Unknown()
		if !m.OrganizationID.IsUnknown() {
			m.ConnectionLimit = tf.Int32Value(access.DefaultConnectionLimit(!m.OrganizationID.IsNull()))
		}
	}
}

// warnOfSessions says in the plan what would make the apply fail. They may have ended by then.
func (r *roleResource) warnOfSessions(ctx context.Context, plan, state roleResourceModel, diags *diag.Diagnostics) {
	if r.Backend == nil || state.Access.IsNull() || plan.OrganizationID.IsUnknown() || plan.OrganizationID.Equal(state.OrganizationID) {
		return
	}
	if sessions, err := r.Backend.Sessions(ctx, state.Name.ValueString()); err == nil && sessions > 0 {
		diags.AddAttributeWarning(path.Root("organization_id"), "Sessions block the change of organization_id", fmt.Sprintf(
			"role %q has %d open sessions. The apply will refuse to give it to another organization unless they have ended by then: stop "+
				"its clients; a pooler keeps idle sessions for a while.", state.Name.ValueString(), sessions))
	}
}

func (r *roleResource) planDestroy(ctx context.Context, state roleResourceModel, resp *resource.ModifyPlanResponse) {
	tf.RefuseDestroy("role", state.Name.ValueString(), "", state.DeletionProtection, &resp.Diagnostics)
	if resp.Diagnostics.HasError() || r.Backend == nil {
		return
	}
	r.Backend.walk.Plans("role", state.Name.ValueString(), tf.Outcome{Goes: true, Organization: state.OrganizationID.ValueString()})
	var lacking *access.ManagerError
	blockers, err := r.Backend.CheckDrop(ctx, state.Name.ValueString(), state.ReassignOwnedTo.ValueString())
	if errors.As(err, &lacking) {
		tf.AddError(&resp.Diagnostics, "delete", "role", state.Name.ValueString(), lacking)
	}
	// What blocks now may be destroyed by the same plan, so that this only warns; the destroy itself refuses.
	if len(blockers) > 0 {
		blocked := &access.BlockedError{Name: state.Name.ValueString(), Blockers: blockers}
		resp.Diagnostics.AddAttributeWarning(path.Root("reassign_owned_to"), "Objects block the destruction of role", blocked.Error())
	}
}

func (r *roleResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan roleResourceModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	role, err := r.Backend.apply().CreateRole(ctx, plan.role())
	if err != nil {
		tf.AddError(&resp.Diagnostics, "create", "role", plan.Name.ValueString(), err)
		return
	}
	plan.roleModel = roleModelFrom(role, plan.roleModel)
	resp.Diagnostics.Append(resp.State.Set(ctx, plan)...)
}

func (r *roleResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state roleResourceModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	r.Backend.walk.Read("role", state.ID.ValueString(), tf.Outcome{Organization: state.OrganizationID.ValueString()})
	role, err := r.Backend.Role(ctx, state.ID.ValueString())
	if tf.Gone(err) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		tf.AddError(&resp.Diagnostics, "read", "role", state.ID.ValueString(), err)
		return
	}
	state.roleModel = roleModelFrom(role, state.roleModel)
	if state.DeletionProtection.IsNull() { // just imported
		state.DeletionProtection = types.BoolValue(false)
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, state)...)
}

func (r *roleResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var state, plan roleResourceModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	role, err := r.Backend.apply().UpdateRole(ctx, state.role(), plan.role())
	if err != nil {
		tf.AddError(&resp.Diagnostics, "update", "role", state.Name.ValueString(), err)
		return
	}
	plan.roleModel = roleModelFrom(role, plan.roleModel)
	resp.Diagnostics.Append(resp.State.Set(ctx, plan)...)
}

func (r *roleResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state roleResourceModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	if tf.RefuseDestroy("role", state.Name.ValueString(), "", state.DeletionProtection, &resp.Diagnostics); resp.Diagnostics.HasError() {
		return
	}
	if err := r.Backend.apply().DropRole(ctx, state.role(), state.ReassignOwnedTo.ValueString()); err != nil {
		tf.AddError(&resp.Diagnostics, "delete", "role", state.Name.ValueString(), err)
	}
}

func (r *roleResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	if _, err := r.Backend.Role(ctx, req.ID); tf.Gone(err) {
		resp.Diagnostics.AddError("Cannot import role", fmt.Sprintf("There is no role named %q. The import ID must be its name.", req.ID))
		return
	}
	resource.ImportStatePassthroughID(ctx, path.Root("id"), req, resp)
}
