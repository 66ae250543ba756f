package provider

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
)

var (
	_ resource.ResourceWithConfigure   = (*migrationResource)(nil)
	_ resource.ResourceWithModifyPlan  = (*migrationResource)(nil)
	_ resource.ResourceWithImportState = (*migrationResource)(nil)
)

// migrationID is the ID of the one history of embedded migrations that a database has.
const migrationID = "brownie"

type migrationResource struct{ configured }

func newMigrationResource() resource.Resource { return &migrationResource{} }

type migrationModel struct {
	ID             types.String `tfsdk:"id"`
	Version        types.Int64  `tfsdk:"version"`
	CurrentVersion types.Int64  `tfsdk:"current_version"`
	LatestVersion  types.Int64  `tfsdk:"latest_version"`
}

func (r *migrationResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_migration"
}

func (r *migrationResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Brings the database's schema to a version, by running the migrations that the provider contains and the " +
			"database does not have yet, each in a transaction. Everything else needs the schema, so let it depend on this " +
			"resource. Destroying it leaves the schema and all rows as they are.",
		Attributes: map[string]schema.Attribute{
			"id": schema.StringAttribute{
				Computed: true, PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
				MarkdownDescription: "Always `" + migrationID + "`: a database has one history of the provider's migrations.",
			},
			"version": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.AtLeast(1)},
				MarkdownDescription: "The version that the schema shall have. Default: the latest that the provider knows, so that a newer " +
					"provider plans the migrations it brings. Going down is refused.",
			},
			"current_version": schema.Int64Attribute{
				Computed:            true,
				MarkdownDescription: "The version that the schema has; in a plan, the one it will have.",
			},
			"latest_version": schema.Int64Attribute{
				Computed:            true,
				MarkdownDescription: "The latest version that the provider knows.",
			},
		},
	}
}

// ModifyPlan shows the version that the apply leads to, without asking the database.
func (r *migrationResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() || r.backend == nil {
		return
	}
	var plan migrationModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	latest, err := r.migrations.Latest()
	if err != nil {
		addError(&resp.Diagnostics, "plan", "migration", "", err)
		return
	}
	plan.LatestVersion = types.Int64Value(latest)
	plan.CurrentVersion = plan.Version
	if plan.Version.IsNull() {
		plan.CurrentVersion = plan.LatestVersion
	}
	if !plan.Version.IsUnknown() && plan.CurrentVersion.ValueInt64() > latest {
		resp.Diagnostics.AddAttributeError(path.Root("version"), "Cannot plan migration",
			fmt.Sprintf("version is %d, but the latest migration that this provider knows is %d. Use that, or a newer provider.",
				plan.Version.ValueInt64(), latest))
		return
	}
	if !req.State.Raw.IsNull() {
		var state migrationModel
		if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
			return
		}
		current := state.CurrentVersion.ValueInt64()
		switch {
		case current > latest:
			addError(&resp.Diagnostics, "plan", "migration", "", &migrate.AheadError{Current: current, Latest: latest})
			return
		case !plan.Version.IsUnknown() && current > plan.CurrentVersion.ValueInt64():
			err := &migrate.DownError{Current: current, Wanted: plan.CurrentVersion.ValueInt64()}
			resp.Diagnostics.AddAttributeError(path.Root("version"), "Cannot plan migration", err.Error()+".")
			return
		}
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, plan)...)
}

func (r *migrationResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan migrationModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	plan.ID = types.StringValue(migrationID)
	if err := r.up(ctx, &plan); err != nil {
		addError(&resp.Diagnostics, "create", "migration", "", err)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, plan)...)
}

// up runs the migrations to the planned version.
func (r *migrationResource) up(ctx context.Context, plan *migrationModel) error {
	current, err := r.migrations.Up(ctx, plan.CurrentVersion.ValueInt64())
	plan.CurrentVersion = types.Int64Value(current)
	return err
}

func (r *migrationResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state migrationModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	current, err := r.migrations.Current(ctx)
	if err != nil {
		addError(&resp.Diagnostics, "read", "migration", "", err)
		return
	}
	if current == 0 {
		resp.State.RemoveResource(ctx)
		return
	}
	latest, err := r.migrations.Latest()
	if err != nil {
		addError(&resp.Diagnostics, "read", "migration", "", err)
		return
	}
	state.CurrentVersion, state.LatestVersion = types.Int64Value(current), types.Int64Value(latest)
	resp.Diagnostics.Append(resp.State.Set(ctx, state)...)
}

func (r *migrationResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan migrationModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	err := r.up(ctx, &plan)
	var step *migrate.StepError
	if err == nil || errors.As(err, &step) {
		// Some migrations may have run before one failed; the state must tell.
		resp.Diagnostics.Append(resp.State.Set(ctx, plan)...)
	}
	if err != nil {
		addError(&resp.Diagnostics, "update", "migration", "", err)
	}
}

// Delete only forgets: no row is ever lost because a resource block was removed.
func (r *migrationResource) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {
}

func (r *migrationResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	if req.ID != migrationID {
		resp.Diagnostics.AddError("Cannot import migration", fmt.Sprintf("The import ID is %q; it must be %q.", req.ID, migrationID))
		return
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("id"), req.ID)...)
}
