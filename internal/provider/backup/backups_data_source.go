package backup

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

type backupsModel struct {
	Schedule     types.String      `tfsdk:"schedule"`
	Status       types.String      `tfsdk:"status"`
	Verified     types.Bool        `tfsdk:"verified"`
	StartedAfter timetypes.RFC3339 `tfsdk:"started_after"`
	Limit        types.Int64       `tfsdk:"limit"`
	Backups      []backupModel     `tfsdk:"backups"`
}

func (m backupsModel) filter() backup.Filter {
	f := backup.Filter{
		Schedule: m.Schedule.ValueString(), Status: backup.Status(m.Status.ValueString()), Verified: m.Verified.ValueBoolPointer(),
		Limit: int(m.Limit.ValueInt64()),
	}
	if !m.StartedAfter.IsNull() {
		after, _ := m.StartedAfter.ValueRFC3339Time() // The type has checked it.
		f.StartedAfter = &after
	}
	return f
}

type backupModel struct {
	ID                types.String      `tfsdk:"id"`
	ScheduleID        types.String      `tfsdk:"schedule_id"`
	Schedule          types.String      `tfsdk:"schedule"`
	Engine            types.String      `tfsdk:"engine"`
	Type              types.String      `tfsdk:"type"`
	DueAt             timetypes.RFC3339 `tfsdk:"due_at"`
	StartedAt         timetypes.RFC3339 `tfsdk:"started_at"`
	EndedAt           timetypes.RFC3339 `tfsdk:"ended_at"`
	Status            types.String      `tfsdk:"status"`
	SnapshotAt        timetypes.RFC3339 `tfsdk:"snapshot_at"`
	SizeBytes         types.Int64       `tfsdk:"size_bytes"`
	SHA256            types.String      `tfsdk:"sha256"`
	Locations         []string          `tfsdk:"locations"`
	Error             types.String      `tfsdk:"error"`
	Verified          types.Bool        `tfsdk:"verified"`
	VerifiedAt        timetypes.RFC3339 `tfsdk:"verified_at"`
	Verification      types.String      `tfsdk:"verification"`
	RestoreSeconds    types.Float64     `tfsdk:"restore_seconds"`
	VerificationError types.String      `tfsdk:"verification_error"`
	PrunedAt          timetypes.RFC3339 `tfsdk:"pruned_at"`
	HeldAt            timetypes.RFC3339 `tfsdk:"held_at"`
	HoldReason        types.String      `tfsdk:"hold_reason"`
}

func backupModelFrom(b backup.Backup) backupModel {
	m := backupModel{
		ID: types.StringValue(b.ID), ScheduleID: types.StringPointerValue(b.ScheduleID), Schedule: types.StringValue(b.ScheduleName),
		Engine: types.StringValue(string(b.Engine)), Type: types.StringValue(b.Type), DueAt: timePointerValue(b.DueAt),
		StartedAt: tf.TimeValue(b.StartedAt), EndedAt: timePointerValue(b.EndedAt), Status: types.StringValue(string(b.Status)),
		SnapshotAt: timePointerValue(b.SnapshotAt), SizeBytes: types.Int64PointerValue(b.SizeBytes),
		SHA256: types.StringPointerValue(b.SHA256), Locations: []string{}, Error: types.StringPointerValue(b.Error),
		Verified: types.BoolValue(false), PrunedAt: timePointerValue(b.PrunedAt),
		HeldAt: timePointerValue(b.HeldAt), HoldReason: types.StringPointerValue(b.HoldReason),
	}
	for _, copied := range b.Destinations {
		if copied.Error == "" {
			m.Locations = append(m.Locations, copied.Location)
		}
	}
	if proof := b.Verified; proof != nil {
		m.Verified, m.VerifiedAt = types.BoolValue(proof.Succeeded), tf.TimeValue(proof.EndedAt)
		m.Verification, m.VerificationError = types.StringValue(string(proof.Method)), types.StringPointerValue(proof.Error)
		m.RestoreSeconds = types.Float64PointerValue(proof.RestoreSeconds)
	}
	return m
}

func backupAttributes() map[string]schema.Attribute {
	text := func(what string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: what}
	}
	at := func(what string) schema.StringAttribute {
		return schema.StringAttribute{
			Computed: true, CustomType: timetypes.RFC3339Type{}, MarkdownDescription: what + " (RFC 3339, UTC).",
		}
	}
	return map[string]schema.Attribute{
		"id":          text("ID, by which `brownie-backup restore` finds the backup."),
		"schedule_id": text("UUID of the schedule; null when it was deleted."),
		"schedule":    text("Name that the schedule had."),
		"engine":      text("What made it: " + tf.Alternatives(backup.Engines) + "."),
		"type":        text("What it holds: " + tf.Alternatives(backup.Types) + "."),
		"due_at":      at("When the schedule asked for it; null when a person did"),
		"started_at":  at("When the run began"),
		"ended_at":    at("When the run ended; null while it goes on"),
		"status": text("What became of the run: " + tf.Alternatives(backup.Statuses) + "; `lost` when its runner ended without a " +
			"word."),
		"snapshot_at": at("The moment that a restore leads back to; null when there is none"),
		"size_bytes": schema.Int64Attribute{
			Computed: true, MarkdownDescription: "What is stored in one destination; null when nothing is.",
		},
		"sha256": text("SHA-256 of the manifest, which holds those of all parts; null when there is none."),
		"locations": schema.ListAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "URLs of the copies, without those of destinations where the run could store none.",
		},
		"error":        text("Why the run failed; null when it did not."),
		"verified":     schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the last verification found it good."},
		"verified_at":  at("When it was last verified, with whatever result; null when it never was"),
		"verification": text("How it was last verified: `restore` or `checksum`; null when it never was."),
		"restore_seconds": schema.Float64Attribute{
			Computed: true, MarkdownDescription: "How many seconds the restore of that verification took; null when nothing was restored.",
		},
		"verification_error": text("Why the last verification failed; null when it did not."),
		"pruned_at":          at("When the backup was deleted, as no rule of the retention kept it; null while it is stored"),
		"held_at":            at("Since when it stays whatever the retention says (`brownie-backup hold`); null unless it is held"),
		"hold_reason":        text("Why it is held; null when nobody said it, or it is not held."),
	}
}

func newBackupsDataSource() datasource.DataSource {
	return &tf.Reader[backup.Store, backupsModel]{
		Type: "backups",
		Description: "Lists backups, newest first, with what proves that they restore. Those that were pruned are among them: their " +
			"`pruned_at` tells it.",
		Attributes: map[string]schema.Attribute{
			"schedule": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
				MarkdownDescription: "Only those of the schedule with this name. Default: of all schedules.",
			},
			"status": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf(backup.Statuses...)},
				MarkdownDescription: "Only those with this status: " + tf.Alternatives(backup.Statuses) + ". Default: all.",
			},
			"verified": schema.BoolAttribute{
				Optional:            true,
				MarkdownDescription: "Only those whose last verification found them good, or only all others. Default: all.",
			},
			"started_after": schema.StringAttribute{
				Optional: true, CustomType: timetypes.RFC3339Type{}, Validators: []validator.String{tf.YearOne},
				MarkdownDescription: "Only those whose run began after this time (RFC 3339). Default: all.",
			},
			"limit": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.AtLeast(1)},
				MarkdownDescription: "How many of the newest are listed. Default: all.",
			},
			"backups": schema.ListNestedAttribute{
				Computed: true, NestedObject: schema.NestedAttributeObject{Attributes: backupAttributes()},
				MarkdownDescription: "The backups, newest first.",
			},
		},
		Find: func(ctx context.Context, store *backup.Store, asked backupsModel) (backupsModel, error) {
			found, err := store.Backups(ctx, asked.filter())
			asked.Backups = tf.Each(found, backupModelFrom)
			return asked, err
		},
	}
}
