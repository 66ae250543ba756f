package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

var (
	_ resource.ResourceWithConfigure      = (*migrationResource)(nil)
	_ resource.ResourceWithValidateConfig = (*migrationResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*migrationResource)(nil)
	_ resource.ResourceWithImportState    = (*migrationResource)(nil)
)

type migrationResource struct{ tf.Resource[backend] }

func newMigrationResource() resource.Resource { return &migrationResource{} }

type migrationModel struct {
	ID             types.String `tfsdk:"id"`
	Name           types.String `tfsdk:"name"`
	Version        types.Int64  `tfsdk:"version"`
	SourceDir      types.String `tfsdk:"source_dir"`
	AllowDown      types.Bool   `tfsdk:"allow_down"`
	OnDestroy      types.String `tfsdk:"on_destroy"`
	LockTimeout    types.String `tfsdk:"lock_timeout"`
	MaxLockedBytes types.String `tfsdk:"max_locked_bytes"`
	CurrentVersion types.Int64  `tfsdk:"current_version"`
	LatestVersion  types.Int64  `tfsdk:"latest_version"`
	Pending        types.List   `tfsdk:"pending"`
	Drift          types.List   `tfsdk:"drift"`
}

func (r *migrationResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_migration"
}

func (r *migrationResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	keep := []planmodifier.String{stringplanmodifier.UseStateForUnknown()}
	resp.Schema = schema.Schema{
		MarkdownDescription: "Brings the database's schema to a version, by running the migrations that it does not have yet: the " +
			"provider's own, which " +
			"make the platform's schema, or an application's, from `source_dir`. The plan lists them in `pending`. Everything else " +
			"needs the platform's " +
			"schema, so let it depend on this resource. A migration runs in a transaction, unless its file says otherwise, and " +
			"exactly once, " +
			"whatever is interrupted and however many applies run at once. See the guide *Migrations* for how to write them.",
		Attributes: map[string]schema.Attribute{
			"id": schema.StringAttribute{
				Computed: true, PlanModifiers: keep,
				MarkdownDescription: "The same as `name`.",
			},
			"name": schema.StringAttribute{
				Optional: true, Computed: true, PlanModifiers: append(keep, stringplanmodifier.RequiresReplaceIfConfigured()),
				Validators: []validator.String{historyName},
				MarkdownDescription: "Tells the histories of one database apart: the table `brownie.goose_db_version_NAME` records " +
					"what ran. Lower-case letters, " +
					"digits and underscores, at most 40. Default: `" + migrate.PlatformName + "` for the provider's own migrations, " +
					"whose table is " +
					"`brownie.goose_db_version`, and otherwise the name of the folder. Set it where several folders have the same " +
					"name, such as the " +
					"`migrations` of several modules.",
			},
			"version": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.AtLeast(1)},
				MarkdownDescription: "The version that the schema shall have: the number of a migration. Default: the latest, so " +
					"that a newer provider, or " +
					"a new file in `source_dir`, plans what it brings.",
			},
			"source_dir": schema.StringAttribute{
				Optional: true, Validators: []validator.String{tf.NotBlank},
				MarkdownDescription: "Folder with migrations of an application's own: files `NNNN_name.sql` in the format of goose. " +
					"In a module write it as " +
					"`\"${path.module}/migrations\"`. Default: the migrations that the provider contains.",
			},
			"allow_down": schema.BoolAttribute{
				Optional: true, Computed: true, Default: booldefault.StaticBool(false),
				MarkdownDescription: "Whether a lower `version` may undo the last migration, and a destroy with `on_destroy = " +
					"\"down\"` all of them. " +
					"What their tables and columns hold is lost. Default: `false`.",
			},
			"on_destroy": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString("keep"),
				Validators: []validator.String{stringvalidator.OneOf("keep", "down")},
				MarkdownDescription: "What a destroy does: `keep` leaves the schema and all rows as they are, `down` undoes all " +
					"migrations, which takes " +
					"`allow_down = true`. Default: `keep`.",
			},
			"lock_timeout": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString(migrate.DefaultLockTimeout.String()),
				Validators: []validator.String{tf.WholeMilliseconds},
				MarkdownDescription: "How long a statement waits for a lock, and others may have to wait behind it, as a duration " +
					"with a unit. Then the migration gives up " +
					"all locks and tries again, up to 30 times. Statements with `CONCURRENTLY`, which block nobody, wait as long as " +
					"it takes. Default: `5s`.",
			},
			"max_locked_bytes": schema.StringAttribute{
				Optional: true, Validators: []validator.String{size},
				MarkdownDescription: "Size up to which a table may be locked against writes while it is scanned or rewritten, with " +
					"its indexes. A migration that " +
					"would lock a larger one is refused in the plan, with a safe alternative. " +
					"A number of bytes, or one with a unit: `\"500kB\"`, `\"16.6 MB\"`, `\"1GB\"` (powers of 1000), `\"1GiB\"` (of " +
					"1024). " +
					"Default: none, any size.",
			},
			"current_version": schema.Int64Attribute{
				Computed:            true,
				MarkdownDescription: "The version that the schema has; in a plan, the one it will have.",
			},
			"latest_version": schema.Int64Attribute{
				Computed:            true,
				MarkdownDescription: "The latest version that the provider, or the folder, has.",
			},
			"pending": pendingAttribute("Migrations that are known, not applied and needed for `version`, in the order in which " +
				"they run. The plan lists what the " +
				"apply will run; the list remains after the apply, until the next refresh. When the resource is created, sizes are " +
				"known after the apply only, and a warning of the plan tells those of tables that are locked against writes; and of a " +
				"database that has them all already, the plan lists what brought it there, of which nothing runs again."),
			"drift": schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: describedDrift},
		},
	}
}

func (r *migrationResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var config migrationModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &config)...); !resp.Diagnostics.HasError() {
		if err := checkName(config.Name, config.SourceDir); err != nil {
			addError(&resp.Diagnostics, "plan", err)
		}
	}
}

// engine returns the engine for a configuration whose name and folder are known.
func (m migrationModel) engine(b *backend) *migrate.Engine { return m.engineThatWarns(b, nil) }

// engineThatWarns adds the warnings that migrations raise to diags.
func (m migrationModel) engineThatWarns(b *backend, diags *diag.Diagnostics) *migrate.Engine {
	var options migrate.Options
	if limit, ok := migrate.ParseSize(m.MaxLockedBytes.ValueString()); ok {
		options.MaxLockedBytes = &limit
	}
	if diags != nil {
		options.Warn = func(file, warning string) { diags.AddWarning("Migration "+file+" warns", warning) }
	}
	if timeout := tf.Duration(m.LockTimeout); timeout != nil {
		options.LockTimeout = *timeout
	}
	return b.engine(m.Name.ValueString(), m.SourceDir.ValueString(), options)
}

// target is the version to reach.
func (m migrationModel) target(latest int64) int64 {
	if m.Version.IsNull() {
		return latest
	}
	return m.Version.ValueInt64()
}

func (r *migrationResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan migrationModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	if err := r.migrate(ctx, &plan, types.Int64Null(), &resp.Diagnostics); err != nil {
		addError(&resp.Diagnostics, "create", err)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, plan)...)
}

// migrate does what was planned, or what turns out to be needed where the plan could not tell. planned is the version that
// the database had in the plan, if it was known.
func (r *migrationResource) migrate(ctx context.Context, plan *migrationModel, planned types.Int64, diags *diag.Diagnostics) error {
	if plan.Name.IsUnknown() {
		name, err := migrate.DefaultName(plan.SourceDir.ValueString())
		if err != nil {
			return err
		}
		plan.Name = types.StringValue(name)
	}
	plan.ID = plan.Name
	engine := plan.engineThatWarns(r.Backend, diags)
	latest, err := engine.Latest()
	if err != nil {
		return err
	}
	target := plan.target(latest)
	plan.LatestVersion = types.Int64Value(latest)
	now, err := engine.Plan(ctx, target, plan.AllowDown.ValueBool())
	if err == nil {
		err = engine.Inspect(ctx, &now)
	}
	if err != nil {
		return err
	}
	if plan.Pending.IsUnknown() {
		plan.Pending = types.ListValueMust(pendingType, nil)
	} else if len(now.Steps) > 0 {
		steps, _ := plannedSteps(ctx, plan.Pending)
		if err := now.Confirm(planned.ValueInt64Pointer(), steps); err != nil {
			return err
		}
	}
	plan.Pending = appliedPending(ctx, plan.Pending, now.Steps)
	current, err := engine.Run(ctx, now)
	plan.CurrentVersion = types.Int64Value(current)
	if plan.Drift.IsUnknown() {
		// What cannot be read now, the next refresh tells.
		applied, _ := engine.Applied(ctx)
		plan.Drift, _ = driftOf(ctx, engine, applied)
	}
	return err
}

// driftOf is the attribute; null where it cannot be told.
func driftOf(ctx context.Context, engine *migrate.Engine, applied []migrate.Applied) (types.List, error) {
	found, err := engine.Drift(ctx, applied)
	if err != nil || found == nil {
		return types.ListNull(types.StringType), err
	}
	return texts(found), nil
}

func (r *migrationResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state migrationModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	if state.Name.IsNull() {
		state.Name = state.ID // An older provider had no name, and an import has nothing else.
	}
	engine := state.engine(r.Backend)
	applied, err := engine.Applied(ctx)
	if err != nil {
		addError(&resp.Diagnostics, "read", err)
		return
	}
	if len(applied) == 0 {
		resp.State.RemoveResource(ctx)
		return
	}
	state.CurrentVersion = types.Int64Value(migrate.Current(applied))
	drift, err := driftOf(ctx, engine, applied)
	if err != nil {
		resp.Diagnostics.AddWarning("Drift is not known", "Whether somebody has changed the schema could not be read: "+err.Error()+".")
	}
	state.Drift = drift
	// Files that cannot be used, or differ from what was applied, are the plan's to report: a destroy must not fail because
	// of them.
	state.Pending = types.ListValueMust(pendingType, nil)
	if latest, err := engine.Latest(); err == nil {
		state.LatestVersion = types.Int64Value(latest)
		if latest > state.CurrentVersion.ValueInt64() {
			resp.Diagnostics.Append(r.keepPending(ctx, engine, latest, resp)...)
		}
	}
	state.setDefaults()
	resp.Diagnostics.Append(resp.State.Set(ctx, state)...)
}

// keepPending leaves what is pending, and what it locks, for the plan.
func (r *migrationResource) keepPending(ctx context.Context, engine *migrate.Engine, latest int64,
	resp *resource.ReadResponse,
) diag.Diagnostics {
	planned, err := engine.Plan(ctx, latest, false)
	var budget *migrate.BudgetError
	if err == nil {
		if err = engine.Inspect(ctx, &planned); errors.As(err, &budget) {
			err = nil
		}
	}
	if err != nil {
		return nil
	}
	text, err := json.Marshal(planned.Steps)
	if err != nil {
		return nil
	}
	return resp.Private.SetKey(ctx, refreshedKey, text)
}

// setDefaults fills in what an import, or a state of an older provider, lacks.
func (m *migrationModel) setDefaults() {
	if m.AllowDown.IsNull() {
		m.AllowDown = types.BoolValue(false)
	}
	if m.OnDestroy.IsNull() {
		m.OnDestroy = types.StringValue("keep")
	}
	if m.LockTimeout.IsNull() {
		m.LockTimeout = types.StringValue(migrate.DefaultLockTimeout.String())
	}
}

func (r *migrationResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state migrationModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	err := r.migrate(ctx, &plan, state.CurrentVersion, &resp.Diagnostics)
	var step *migrate.StepError
	if err == nil || errors.As(err, &step) {
		// Some migrations may have run before one failed; the state must tell.
		resp.Diagnostics.Append(resp.State.Set(ctx, plan)...)
	}
	if err != nil {
		addError(&resp.Diagnostics, "update", err)
	}
}

// Delete only forgets, unless told otherwise: no row is lost because a resource block was removed.
func (r *migrationResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state migrationModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() || state.OnDestroy.ValueString() != "down" {
		return
	}
	planned, err := r.teardown(ctx, state)
	if err == nil {
		_, err = state.engineThatWarns(r.Backend, &resp.Diagnostics).Run(ctx, planned)
	}
	if err != nil {
		addError(&resp.Diagnostics, "destroy", err)
	}
}

func (r *migrationResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	if historyName.Wrong(req.ID) != "" {
		resp.Diagnostics.AddError("Cannot import migration", fmt.Sprintf("The import ID is %q; it must be the name of a history: %q "+
			"for the provider's own migrations.", req.ID, migrate.PlatformName))
		return
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("id"), req.ID)...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("name"), req.ID)...)
}
