package backup

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

var (
	_ resource.ResourceWithConfigure      = (*scheduleResource)(nil)
	_ resource.ResourceWithValidateConfig = (*scheduleResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*scheduleResource)(nil)
	_ resource.ResourceWithImportState    = (*scheduleResource)(nil)
)

type scheduleResource struct{ tf.Resource[backup.Store] }

func newScheduleResource() resource.Resource { return &scheduleResource{} }

const (
	noun             = "backup schedule"
	standardTimezone = "UTC"
	standardType     = "full"
	standardTimeout  = "1h"
)

func (r *scheduleResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_backup_schedule"
}

// withDefault is a text that may be left out.
func withDefault(description, standard string) schema.StringAttribute {
	attribute := tf.OptionalString(description + " Default: `" + standard + "`.")
	attribute.Computed, attribute.Default = true, stringdefault.StaticString(standard)
	return attribute
}

func scheduleAttributes() map[string]schema.Attribute {
	timeOf := func(what string) schema.StringAttribute {
		return schema.StringAttribute{
			Computed: true, CustomType: timetypes.RFC3339Type{},
			MarkdownDescription: what + " (RFC 3339, UTC); null when there is none.",
		}
	}
	return map[string]schema.Attribute{
		"id": schema.StringAttribute{
			Computed: true, PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
			MarkdownDescription: "UUID of the schedule.",
		},
		"name": tf.RequiredString("Name, unique in the database: at most 63 lower-case letters, digits, `-` and `_`. Backups are stored " +
			"and found by it: those that were made under another name stay, and no longer count as this schedule's."),
		"cron": tf.RequiredString("When backups are made, in five fields: minute, hour, day of month, month, day of week (0 and 7 are " +
			"Sunday). The function `cron_next` tells what an expression means."),
		"timezone": withDefault("Name of the IANA database, such as `Europe/Berlin`, whose clock `cron` and `verify_cron` are about, "+
			"and whose days, weeks, months and years `retention` counts.", standardTimezone),
		"engine": tf.OptionalEnum("What makes the backups. `pg_dump` writes the rows of one moment of one database. `pgbackrest` copies "+
			"the files of the whole cluster and archives its write-ahead log, so that every moment since can be restored; the runner is "+
			"on the server's machine, and has an identity of one of the recipients.",
			string(backup.PgDump), backup.Engines...),
		"type": tf.OptionalEnum("What a backup holds: everything, what has changed since the last full one, or since the last of any "+
			"type. Backups of `pg_dump` are `full`. `diff` and `incr` begin with a full one, and with another when that is a week old.",
			standardType, backup.Types...),
		"destinations": schema.ListNestedAttribute{
			Required: true, NestedObject: schema.NestedAttributeObject{Attributes: destinationAttributes()},
			Validators:          []validator.List{listvalidator.NoNullValues()},
			MarkdownDescription: "One to three places, each of which gets every backup. Keys to them are the runner's; none is given here.",
		},
		"retention": schema.SingleNestedAttribute{
			Required: true, Attributes: retentionAttributes(),
			MarkdownDescription: "Which backups are kept. One that any of the rules keeps stays; the last good one and the last " +
				"verified one always stay.",
		},
		"encryption": schema.SingleNestedAttribute{
			Required: true, Attributes: encryptionAttributes(),
			MarkdownDescription: "Who can read the backups, which leave the runner encrypted.",
		},
		"verify": tf.OptionalEnum("How it is proved that a backup restores. `restore` restores it into a scratch server and compares "+
			"what is there; `checksum` reads it again.", string(backup.Restore), backup.Verifications...),
		"verify_cron": tf.OptionalString("When the last backup is verified, in five fields as `cron`. Without it each one is, right " +
			"after its run."),
		"max_restore_seconds": schema.Int64Attribute{
			Optional: true, Validators: []validator.Int64{tf.AtLeast(1)},
			MarkdownDescription: "How many seconds a restore may take; a slower one fails its verification. Only with `verify` as " +
				"`restore`. Without it, a restore may take any time.",
		},
		"timeout": withDefault("How long a run may take, as a duration with a unit, such as `90m`; then it is ended, and has failed.",
			standardTimeout),
		"enabled": tf.OptionalBool("Whether runs become due.", true),
		"updated_at": schema.StringAttribute{
			Computed: true, CustomType: timetypes.RFC3339Type{},
			MarkdownDescription: "When the schedule was last changed, by whomever (RFC 3339, UTC).",
		},
		"next_runs": schema.ListAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "The next three times at which a run is due (RFC 3339, UTC), counted from the last refresh or change; " +
				"empty unless `enabled`.",
		},
		"last_success_at":  timeOf("When the last backup that succeeded was complete"),
		"last_verified_at": timeOf("When a backup was last verified, and found good"),
		"restorable_from":  timeOf("The first moment that a stored backup leads back to"),
		"restorable_until": timeOf("The last moment that a stored backup leads back to"),
		"last_restore_seconds": schema.Float64Attribute{
			Computed:            true,
			MarkdownDescription: "How many seconds the restore of the last good verification took; null when nothing was restored.",
		},
	}
}

func destinationAttributes() map[string]schema.Attribute {
	optional := func(description string) schema.StringAttribute {
		return tf.OptionalString(description, stringvalidator.LengthAtLeast(1))
	}
	return map[string]schema.Attribute{
		"type": tf.RequiredEnum("Kind of the place: a folder of the runner, or an object store.", backup.DestinationTypes...),
		"bucket": optional("Name of the bucket, or of Azure's container, which must exist. Required unless `type` is `file`, which " +
			"has none."),
		"path":     optional("For `file`, the absolute path of a folder; otherwise what keys begin with, without a slash at either end."),
		"region":   optional("Region of an `s3` bucket. Default: what the runner's environment says (`AWS_REGION`)."),
		"endpoint": optional("URL of an object store that is not its vendor's own, such as `https://s3.example`. Default: the vendor's."),
		"path_style": tf.OptionalBool("Whether an `s3` bucket is in the path of URLs instead of their host's name, as some other "+
			"object stores want it.", false),
	}
}

func retentionAttributes() map[string]schema.Attribute {
	count := func(description string) schema.Int64Attribute {
		return schema.Int64Attribute{
			Optional: true, Computed: true, Default: int64default.StaticInt64(0),
			// Too small a number is the schedule's own problem, which blames the whole rule.
			Validators:          []validator.Int64{int64validator.AtMost(math.MaxInt32)},
			MarkdownDescription: description + " Default: `0`.",
		}
	}
	return map[string]schema.Attribute{
		"keep_last":    count("How many of the last good backups are kept."),
		"keep_daily":   count("Of how many days that have one the last good backup is kept."),
		"keep_weekly":  count("Of how many weeks (ISO 8601, from Monday) that have one the last good backup is kept."),
		"keep_monthly": count("Of how many months that have one the last good backup is kept."),
		"keep_yearly":  count("Of how many years that have one the last good backup is kept."),
		"keep_days":    count("For how many days every backup is kept."),
	}
}

func encryptionAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"recipients": schema.ListAttribute{
			Required: true, ElementType: types.StringType,
			Validators: []validator.List{listvalidator.NoNullValues()},
			MarkdownDescription: "Public keys of [age](https://age-encryption.org), which begin with `age1`. Who holds the identity of " +
				"one of them can read the backups, and nobody else: two people at least, so that none is lost with one of them. " +
				"`verify` as `restore` needs one whose identity the runner has.",
		},
	}
}

func (r *scheduleResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "When backups of the database are made, where they go, how long they are kept, and how it is proved that " +
			"they restore. The program `brownie-backup` carries it out. Deleting a schedule leaves its backups, and the records of them.",
		Attributes: scheduleAttributes(),
	}
}

// ValidateConfig refuses what no runner could carry out, as far as it is known.
func (r *scheduleResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	config, unknown := knownOf(req.Config)
	var model scheduleModel
	if resp.Diagnostics.Append(config.Get(ctx, &model)...); resp.Diagnostics.HasError() {
		return
	}
	model = model.orStandards()
	schedule := model.schedule()
	for _, wrong := range schedule.Problems(unknown) {
		addInvalid(&resp.Diagnostics, model.Name.ValueString(), wrong)
	}
	if !unknown["encryption"] && len(schedule.Recipients) == 1 {
		resp.Diagnostics.AddAttributeWarning(path.Root("encryption").AtName("recipients"), "One recipient is all that can read the backups",
			"If the identity of that one is lost, so are all backups. Add the public key of somebody else, or of one that is kept offline.")
	}
}

// addInvalid names the attribute in the summary, as validators of single attributes do. A wrong recipient may be a secret: Terraform
// shows the line of an argument, but of what is inside of one only that of the resource.
func addInvalid(diags *diag.Diagnostics, name string, err error) {
	told, _ := errors.AsType[problem.Error](err)
	at := path.Root(told.Attribute())
	if told.Attribute() == "encryption" {
		at = at.AtName("recipients")
	}
	diags.AddAttributeError(at, "Invalid "+at.String(), noun+" \""+name+"\": "+err.Error()+".")
}

// knownOf makes arguments null that are not known yet, and names them. A list with null in it is no list of objects, which its own
// validator tells.
func knownOf(config tfsdk.Config) (known tfsdk.Config, unknown map[string]bool) {
	var values map[string]tftypes.Value
	if config.Raw.As(&values) != nil {
		return config, nil // It is an object of the schema.
	}
	values, unknown = maps.Clone(values), map[string]bool{} // The configuration itself stays as it is.
	for name, value := range values {
		if name == "encryption" && !value.IsFullyKnown() {
			value, unknown["recipients"] = emptyUnknownTexts(value), true
			values[name] = value
		}
		var elements []tftypes.Value
		hasNull := value.IsKnown() && value.As(&elements) == nil && slices.ContainsFunc(elements, tftypes.Value.IsNull)
		if hasNull || !value.IsFullyKnown() {
			values[name], unknown[name] = tftypes.NewValue(value.Type(), nil), true
		}
	}
	return tfsdk.Config{Raw: tftypes.NewValue(config.Raw.Type(), values), Schema: config.Schema}, unknown
}

// emptyUnknownTexts leaves those that are known: a plan shows them although their neighbours are not.
func emptyUnknownTexts(value tftypes.Value) tftypes.Value {
	changed, err := tftypes.Transform(value, func(_ *tftypes.AttributePath, v tftypes.Value) (tftypes.Value, error) {
		if v.Type().Is(tftypes.String) && !v.IsKnown() {
			v = tftypes.NewValue(tftypes.String, "")
		}
		return v, nil
	})
	if err != nil {
		return value // Nothing in it fails.
	}
	return changed
}

// ModifyPlan keeps what a change has no part in.
func (r *scheduleResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	var state, plan map[string]tftypes.Value
	if req.State.Raw.IsNull() || req.Plan.Raw.IsNull() || req.State.Raw.As(&state) != nil || req.Plan.Raw.As(&plan) != nil {
		return
	}
	plan = maps.Clone(plan)
	changes := func(arguments ...string) bool {
		for _, name := range arguments {
			if !plan[name].Equal(state[name]) {
				return true
			}
		}
		return false
	}
	if !changes("cron", "timezone", "enabled") {
		plan["next_runs"] = state["next_runs"]
	}
	// Backups are found by the schedule's name.
	if !changes("name") {
		for _, name := range []string{
			"last_success_at", "last_verified_at", "restorable_from", "restorable_until", "last_restore_seconds",
		} {
			plan[name] = state[name]
		}
	}
	resp.Plan.Raw = tftypes.NewValue(req.Plan.Raw.Type(), plan)
}

func (r *scheduleResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan scheduleModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	schedule, err := r.Backend.CreateSchedule(ctx, plan.schedule())
	if err != nil {
		tf.AddError(&resp.Diagnostics, "create", noun, plan.Name.ValueString(), err)
		return
	}
	tf.Stored{
		Noun: noun, Name: schedule.Name, Model: scheduleModelFrom(schedule, time.Now()),
		Undo: func() error { return r.Backend.DeleteSchedule(ctx, schedule.ID) },
	}.SetState(ctx, req.Plan, &resp.State, &resp.Diagnostics)
}

func (r *scheduleResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state scheduleModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	schedule, err := r.Backend.Schedule(ctx, state.ID.ValueString())
	if tf.Gone(err) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		tf.AddError(&resp.Diagnostics, "read", noun, state.Name.ValueString(), err)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, scheduleModelFrom(schedule, time.Now()))...)
}

func (r *scheduleResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var state, plan scheduleModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	schedule, err := r.Backend.UpdateSchedule(ctx, state.schedule(), plan.schedule())
	if err != nil {
		tf.AddError(&resp.Diagnostics, "update", noun, state.Name.ValueString(), err)
		return
	}
	model := scheduleModelFrom(schedule, time.Now())
	// Time passes between the plan and the apply; what was planned is what Terraform wants to see.
	if !plan.NextRuns.IsUnknown() {
		model.NextRuns = plan.NextRuns
	}
	if !plan.LastSuccessAt.IsUnknown() {
		model.outcomeModel = plan.outcomeModel
	}
	tf.Stored{Noun: noun, Name: schedule.Name, Model: model}.SetState(ctx, req.Plan, &resp.State, &resp.Diagnostics)
}

func (r *scheduleResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state scheduleModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	if err := r.Backend.DeleteSchedule(ctx, state.ID.ValueString()); err != nil {
		tf.AddError(&resp.Diagnostics, "delete", noun, state.Name.ValueString(), err)
	}
}

func (r *scheduleResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	tf.ImportByKey(ctx, noun, "its name", req, resp, func(key string) (string, error) {
		schedule, err := r.Backend.ScheduleByName(ctx, key)
		return schedule.ID, err
	})
}
