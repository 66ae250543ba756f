package backup

import (
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

type scheduleModel struct {
	ID                types.String       `tfsdk:"id"`
	Name              types.String       `tfsdk:"name"`
	Cron              types.String       `tfsdk:"cron"`
	Timezone          types.String       `tfsdk:"timezone"`
	Engine            types.String       `tfsdk:"engine"`
	Type              types.String       `tfsdk:"type"`
	Destinations      []destinationModel `tfsdk:"destinations"`
	Retention         *retentionModel    `tfsdk:"retention"`
	Encryption        *encryptionModel   `tfsdk:"encryption"`
	Verify            types.String       `tfsdk:"verify"`
	VerifyCron        types.String       `tfsdk:"verify_cron"`
	MaxRestoreSeconds types.Int64        `tfsdk:"max_restore_seconds"`
	Timeout           types.String       `tfsdk:"timeout"`
	Enabled           types.Bool         `tfsdk:"enabled"`
	UpdatedAt         timetypes.RFC3339  `tfsdk:"updated_at"`
	NextRuns          types.List         `tfsdk:"next_runs"`
	outcomeModel
}

// outcomeModel is what became of the runs.
type outcomeModel struct {
	LastSuccessAt      timetypes.RFC3339 `tfsdk:"last_success_at"`
	LastVerifiedAt     timetypes.RFC3339 `tfsdk:"last_verified_at"`
	RestorableFrom     timetypes.RFC3339 `tfsdk:"restorable_from"`
	RestorableUntil    timetypes.RFC3339 `tfsdk:"restorable_until"`
	LastRestoreSeconds types.Float64     `tfsdk:"last_restore_seconds"`
}

type destinationModel struct {
	Type      types.String `tfsdk:"type"`
	Bucket    types.String `tfsdk:"bucket"`
	Path      types.String `tfsdk:"path"`
	Region    types.String `tfsdk:"region"`
	Endpoint  types.String `tfsdk:"endpoint"`
	PathStyle types.Bool   `tfsdk:"path_style"`
}

type retentionModel struct {
	KeepLast    types.Int64 `tfsdk:"keep_last"`
	KeepDaily   types.Int64 `tfsdk:"keep_daily"`
	KeepWeekly  types.Int64 `tfsdk:"keep_weekly"`
	KeepMonthly types.Int64 `tfsdk:"keep_monthly"`
	KeepYearly  types.Int64 `tfsdk:"keep_yearly"`
	KeepDays    types.Int64 `tfsdk:"keep_days"`
}

type encryptionModel struct {
	Recipients []types.String `tfsdk:"recipients"`
}

// shownRuns is how many of the next runs are shown.
const shownRuns = 3

func scheduleModelFrom(s backup.Schedule, now time.Time) scheduleModel {
	return scheduleModel{
		ID: types.StringValue(s.ID), Name: types.StringValue(s.Name), Cron: types.StringValue(s.Cron),
		Timezone: types.StringValue(s.Timezone), Engine: types.StringValue(string(s.Engine)), Type: types.StringValue(s.Type),
		Destinations: tf.Each(s.Destinations, destinationModelFrom), Retention: retentionModelFrom(s.Retention),
		Encryption: &encryptionModel{tf.Each(s.Recipients, types.StringValue)}, Verify: types.StringValue(string(s.Verify)),
		VerifyCron: types.StringPointerValue(s.VerifyCron), MaxRestoreSeconds: int32PointerValue(s.MaxRestoreSeconds),
		Timeout: types.StringValue(s.Timeout), Enabled: types.BoolValue(s.Enabled), UpdatedAt: tf.TimeValue(s.UpdatedAt),
		NextRuns: types.ListValueMust(types.StringType, tf.Each(s.NextRuns(now, shownRuns), func(t time.Time) attr.Value {
			return types.StringValue(t.Format(time.RFC3339))
		})),
		outcomeModel: outcomeModel{
			LastSuccessAt: timePointerValue(s.LastSuccessAt), LastVerifiedAt: timePointerValue(s.LastVerifiedAt),
			RestorableFrom: timePointerValue(s.RestorableFrom), RestorableUntil: timePointerValue(s.RestorableUntil),
			LastRestoreSeconds: types.Float64PointerValue(s.LastRestoreSeconds),
		},
	}
}

func (m scheduleModel) schedule() backup.Schedule {
	updatedAt, _ := m.UpdatedAt.ValueRFC3339Time() // It is computed: unknown in a plan, and in a state what TimeValue wrote.
	s := backup.Schedule{
		ID: m.ID.ValueString(), Name: m.Name.ValueString(), Cron: m.Cron.ValueString(), Timezone: m.Timezone.ValueString(),
		Engine: backup.Engine(m.Engine.ValueString()), Type: m.Type.ValueString(), Verify: backup.Verification(m.Verify.ValueString()),
		VerifyCron: m.VerifyCron.ValueStringPointer(), Timeout: m.Timeout.ValueString(), Enabled: m.Enabled.ValueBool(),
		UpdatedAt: updatedAt, Destinations: tf.Each(m.Destinations, destinationModel.destination),
	}
	if !m.MaxRestoreSeconds.IsNull() {
		seconds := tf.Int32Of(m.MaxRestoreSeconds)
		s.MaxRestoreSeconds = &seconds
	}
	if m.Retention != nil {
		s.Retention = m.Retention.retention()
	}
	if m.Encryption != nil {
		s.Recipients = tf.Each(m.Encryption.Recipients, types.String.ValueString)
	}
	return s
}

func destinationModelFrom(d backup.Destination) destinationModel {
	return destinationModel{
		Type: types.StringValue(d.Type), Bucket: tf.TextOrNull(d.Bucket), Path: tf.TextOrNull(d.Path), Region: tf.TextOrNull(d.Region),
		Endpoint: tf.TextOrNull(d.Endpoint), PathStyle: types.BoolValue(d.PathStyle),
	}
}

func (m destinationModel) destination() backup.Destination {
	return backup.Destination{
		Type: m.Type.ValueString(), Bucket: m.Bucket.ValueString(), Path: m.Path.ValueString(), Region: m.Region.ValueString(),
		Endpoint: m.Endpoint.ValueString(), PathStyle: m.PathStyle.ValueBool(),
	}
}

func retentionModelFrom(r backup.Retention) *retentionModel {
	count := func(n int) types.Int64 { return types.Int64Value(int64(n)) }
	return &retentionModel{
		KeepLast: count(r.KeepLast), KeepDaily: count(r.KeepDaily), KeepWeekly: count(r.KeepWeekly), KeepMonthly: count(r.KeepMonthly),
		KeepYearly: count(r.KeepYearly), KeepDays: count(r.KeepDays),
	}
}

func (m retentionModel) retention() backup.Retention {
	count := func(n types.Int64) int { return int(n.ValueInt64()) }
	return backup.Retention{
		KeepLast: count(m.KeepLast), KeepDaily: count(m.KeepDaily), KeepWeekly: count(m.KeepWeekly), KeepMonthly: count(m.KeepMonthly),
		KeepYearly: count(m.KeepYearly), KeepDays: count(m.KeepDays),
	}
}

func timePointerValue(t *time.Time) timetypes.RFC3339 {
	return tf.TimeLike(t, timetypes.NewRFC3339Null())
}

func int32PointerValue(n *int32) types.Int64 {
	if n == nil {
		return types.Int64Null()
	}
	return tf.Int32Value(*n)
}

// orStandards puts defaults in place of what a configuration leaves out.
func (m scheduleModel) orStandards() scheduleModel {
	for value, standard := range map[*types.String]string{
		&m.Timezone: standardTimezone, &m.Engine: string(backup.PgDump), &m.Type: standardType, &m.Verify: string(backup.Restore),
		&m.Timeout: standardTimeout,
	} {
		if value.IsNull() {
			*value = types.StringValue(standard)
		}
	}
	return m
}
