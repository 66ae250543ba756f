package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// ModifyPlan finds out what the apply will run.
func (r *migrationResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.Backend == nil {
		return
	}
	if req.Plan.Raw.IsNull() {
		r.planDestroy(ctx, req, resp)
		return
	}
	var plan, state migrationModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if !req.State.Raw.IsNull() {
		resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	if plan.Name.IsUnknown() && !plan.SourceDir.IsUnknown() {
		name, err := migrate.DefaultName(plan.SourceDir.ValueString())
		if err != nil {
			addError(&resp.Diagnostics, "plan", err)
			return
		}
		plan.Name = types.StringValue(name)
	}
	if plan.ID.IsUnknown() {
		plan.ID = plan.Name
	}
	plan.CurrentVersion, plan.LatestVersion, plan.Pending = plan.Version, types.Int64Unknown(), types.ListUnknown(pendingType)
	plan.Drift = types.ListUnknown(types.StringType)
	if !plan.SourceDir.IsNull() && !plan.SourceDir.IsUnknown() {
		plan.Drift = types.ListNull(types.StringType) // Nobody knows what its files make.
	}
	if plan.Version.IsNull() {
		plan.CurrentVersion = types.Int64Unknown()
	}
	// The name may come from the state, where no validation of the configuration sees it.
	if err := checkName(plan.Name, plan.SourceDir); err != nil {
		addError(&resp.Diagnostics, "plan", err)
		return
	}
	if !plan.Name.IsUnknown() && !plan.SourceDir.IsUnknown() {
		r.plan(ctx, &plan, state, refreshed(ctx, req.Private, &resp.Diagnostics), req.State.Raw.IsNull(), &resp.Diagnostics)
	}
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.Plan.Set(ctx, plan)...)
	}
}

func (r *migrationResource) plan(ctx context.Context, plan *migrationModel, state migrationModel, refreshed []migrate.Step,
	creates bool, diags *diag.Diagnostics,
) {
	engine := plan.engine(r.Backend)
	latest, err := engine.Latest()
	if err != nil {
		addError(diags, "plan", err)
		return
	}
	plan.LatestVersion = types.Int64Value(latest)
	if plan.Version.IsUnknown() || plan.MaxLockedBytes.IsUnknown() || plan.AllowDown.IsUnknown() {
		return
	}
	target := plan.target(latest)
	plan.CurrentVersion = types.Int64Value(target)
	planned, err := engine.Plan(ctx, target, plan.AllowDown.ValueBool())
	if err == nil {
		err = engine.Inspect(ctx, &planned)
	}
	var unknown *postgres.ConfigError
	switch {
	case creates && errors.As(err, &unknown):
		return // The provider's configuration becomes known during the apply, and with it what is pending.
	case creates && postgres.Unreachable(err):
		diags.AddWarning("Pending migrations are not known", "The server cannot be asked yet which migrations it has: "+
			""+err.Error()+". The apply will find out.")
		return
	case err != nil:
		addError(diags, "plan", err)
		return
	default:
		addNotices(diags, *plan, planned, creates)
	}
	if creates {
		plan.Pending, err = r.pendingOfCreate(ctx, engine, planned, target)
	} else {
		plan.Pending, err = r.pendingOfUpdate(ctx, engine, target, state, refreshed)
	}
	if err == nil {
		err = r.planDrift(ctx, engine, plan, state, planned, creates, diags)
	}
	if err != nil {
		addError(diags, "plan", err)
	}
}

// planDrift warns of what somebody else has changed in the schema, which no apply repairs. The last refresh has found it, unless there
// was none.
func (r *migrationResource) planDrift(ctx context.Context, engine *migrate.Engine, plan *migrationModel, state migrationModel,
	planned migrate.Plan, creates bool, diags *diag.Diagnostics,
) error {
	var drift []string
	switch {
	case !creates:
		diags.Append(state.Drift.ElementsAs(ctx, &drift, false)...)
		if state.CurrentVersion.ValueInt64() == plan.CurrentVersion.ValueInt64() {
			plan.Drift = state.Drift // Nothing is to run.
		}
	case planned.From > 0 && planned.Adopts == 0:
		applied, err := engine.Applied(ctx)
		if err != nil {
			return err
		}
		if drift, err = engine.Drift(ctx, applied); err != nil {
			return err
		}
	}
	if len(drift) > 0 {
		diags.AddWarning("Schema has drifted", fmt.Sprintf("History %q: somebody else has changed what its migrations made:\n  - %s\n"+
			"No apply repairs that, since a migration runs but once. Restore these objects as the schema's owner, or a backup, and "+
			"plan again. The files are in the folder migrations of the provider's sources.",
			plan.Name.ValueString(), strings.Join(drift, "\n  - ")))
	}
	return nil
}

// Terraform plans again when it applies, and refuses if anything differs then. So a plan shows only what does not change
// without reason.

// pendingOfCreate is what the apply of a new resource will run. A database that has everything already is planned as if it
// had nothing, since another apply may bring it there after the plan was made, which must make no difference. Sizes remain to be
// known, because they change all the time.
func (r *migrationResource) pendingOfCreate(ctx context.Context, engine *migrate.Engine, planned migrate.Plan,
	target int64,
) (types.List, error) {
	if planned.From < target {
		return unmeasuredPending(planned.Steps), nil
	}
	steps, err := engine.Steps(planned.Adopted, target)
	if err == nil {
		steps, err = inspected(ctx, engine, steps)
	}
	return unmeasuredPending(steps), err
}

// inspected is steps with what they lock, whatever the budget: what is to run was held against it already.
func inspected(ctx context.Context, engine *migrate.Engine, steps []migrate.Step) ([]migrate.Step, error) {
	plan := migrate.Plan{Steps: steps}
	err := engine.Inspect(ctx, &plan)
	if budget := new(migrate.BudgetError); errors.As(err, &budget) {
		err = nil
	}
	return plan.Steps, err
}

// pendingOfUpdate is what the apply will run, with what was found about it by the last refresh.
func (r *migrationResource) pendingOfUpdate(ctx context.Context, engine *migrate.Engine, target int64, state migrationModel,
	refreshed []migrate.Step,
) (types.List, error) {
	from := state.CurrentVersion.ValueInt64()
	if from == target {
		return state.Pending, nil // Nothing is to run, and that the last apply ran something is no change.
	}
	steps, err := engine.Steps(from, target)
	if err == nil && target < from {
		steps, err = inspected(ctx, engine, steps)
	}
	return refreshedPending(steps, refreshed), err
}

// refreshedKey is where a refresh leaves what is pending and what it locks: not in the attribute, because Terraform hides
// in a plan what is in the state already.
const refreshedKey = "pending"

// refreshed is what the last refresh found.
func refreshed(ctx context.Context, private interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
}, diags *diag.Diagnostics,
) []migrate.Step {
	text, found := private.GetKey(ctx, refreshedKey)
	diags.Append(found...)
	var steps []migrate.Step
	if len(text) > 0 && json.Unmarshal(text, &steps) != nil {
		return nil // Another version of the provider wrote it; then sizes and locks remain to be known.
	}
	return steps
}

// addNotices tells what a plan's attributes cannot show well.
func addNotices(diags *diag.Diagnostics, m migrationModel, planned migrate.Plan, creates bool) {
	name := m.Name.ValueString()
	if planned.Adopts > 0 {
		diags.AddWarning("Existing schema is adopted", fmt.Sprintf("History %q: the database has the schema of version %d, though "+
			"no migration is recorded. "+
			"The apply will record versions 1 to %d without running them, and go on from there.", name, planned.Adopts, planned.Adopts))
	}
	if creates && planned.From > 0 && len(planned.Steps) > 0 && planned.Adopts == 0 {
		diags.AddWarning("History exists", fmt.Sprintf("History %q: the database is at version %d already, and the apply takes it "+
			"to %d. If Terraform calls the final "+
			"plan inconsistent, somebody migrated the database after the plan was made: plan again.", name, planned.From, planned.To))
	}
	var unknown []string
	for _, step := range planned.Steps {
		if step.Down {
			diags.AddAttributeWarning(path.Root("version"), "Migration is undone",
				fmt.Sprintf("The apply will run the down step of %s, which takes the "+
					"database from version %d to %d. What its tables and columns hold is lost.", step.Name, planned.From, planned.To))
		}
		unknown = append(unknown, step.Unknown...)
	}
	if len(unknown) > 0 {
		diags.AddWarning("Locks are not known", strings.Join(unknown, ".\n")+".")
	}
	down := len(planned.Steps) > 0 && planned.Steps[0].Down
	if locks := writesWait(planned.Steps); (creates || down) && len(locks) > 0 {
		diags.AddWarning("Migrations lock existing tables", fmt.Sprintf("History %q: writes to these tables wait meanwhile. Apply when "+
			"that disturbs nobody, or set max_locked_bytes, so that none is locked for long:\n%s", name, strings.Join(locks, "\n")))
	}
}

// writesWait lists the locks of steps that keep others from writing.
func writesWait(steps []migrate.Step) (locks []string) {
	for _, step := range steps {
		for _, lock := range step.Locks {
			if lock.Mode.BlocksWrites() {
				locks = append(locks, fmt.Sprintf("%s: %s %s, %s", step.Name, lock.Table, lock.Mode, migrate.Size(lock.Bytes)))
			}
		}
	}
	return locks
}

func (r *migrationResource) planDestroy(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	var state migrationModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() || state.OnDestroy.ValueString() != "down" {
		return
	}
	planned, err := r.teardown(ctx, state)
	if err != nil {
		addError(&resp.Diagnostics, "destroy", err)
		return
	}
	if len(planned.Steps) > 0 {
		text := fmt.Sprintf("The destroy will run the down steps of %s. What their tables hold is lost.", names(planned.Steps))
		steps, err := inspected(ctx, state.engine(r.Backend), planned.Steps)
		if err != nil {
			addError(&resp.Diagnostics, "destroy", err)
			return
		}
		if locks := writesWait(steps); len(locks) > 0 {
			text += " Writes to these tables wait meanwhile:\n" + strings.Join(locks, "\n")
		}
		resp.Diagnostics.AddWarning("Migrations are undone", text)
	}
}

func (r *migrationResource) teardown(ctx context.Context, state migrationModel) (migrate.Plan, error) {
	return state.engine(r.Backend).PlanTeardown(ctx, state.AllowDown.ValueBool())
}
