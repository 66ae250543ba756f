package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Store reads and changes schedules, and the records of what became of their runs, in one database.
type Store struct{ db *postgres.DB }

// New returns a Store. It does not connect.
func New(db *postgres.DB) *Store { return &Store{db} }

// scheduleRow is a schedule as it is stored.
type scheduleRow struct {
	ID                string     `db:"id"`
	Name              string     `db:"name"`
	Cron              string     `db:"cron"`
	Timezone          string     `db:"timezone"`
	Engine            string     `db:"engine"`
	Type              string     `db:"type"`
	Destinations      string     `db:"destinations"`
	Retention         string     `db:"retention"`
	Recipients        string     `db:"recipients"`
	Verify            string     `db:"verify"`
	VerifyCron        *string    `db:"verify_cron"`
	MaxRestoreSeconds *int32     `db:"max_restore_seconds"`
	Timeout           string     `db:"timeout"`
	Enabled           bool       `db:"enabled"`
	UpdatedAt         time.Time  `db:"updated_at"`
	TimingChangedAt   time.Time  `db:"timing_changed_at"`
	LastSuccessAt     *time.Time `db:"last_success_at"`
	LastVerifiedAt    *time.Time `db:"last_verified_at"`
	RestorableFrom    *time.Time `db:"restorable_from"`
	RestorableUntil   *time.Time `db:"restorable_until"`
	LastRestore       *float64   `db:"last_restore_seconds"`
	ArchiveFailed     *time.Time `db:"archive_failed_since"`
	ArchiveError      *string    `db:"archive_error"`
}

// What others wrote into a column of JSON may be none of ours: that is an error of this schedule alone.
func (r scheduleRow) schedule() (Schedule, error) {
	s := Schedule{
		ID: r.ID, Name: r.Name, Cron: r.Cron, Timezone: r.Timezone, Engine: Engine(r.Engine), Type: r.Type,
		Verify: Verification(r.Verify), VerifyCron: r.VerifyCron, MaxRestoreSeconds: r.MaxRestoreSeconds, Timeout: r.Timeout,
		Enabled: r.Enabled, UpdatedAt: r.UpdatedAt, TimingChangedAt: r.TimingChangedAt, Outcome: Outcome{
			LastSuccessAt: r.LastSuccessAt, LastVerifiedAt: r.LastVerifiedAt, RestorableFrom: r.RestorableFrom,
			RestorableUntil: r.RestorableUntil, LastRestoreSeconds: r.LastRestore,
			ArchiveFailedSince: r.ArchiveFailed, ArchiveError: r.ArchiveError,
		},
	}
	for _, column := range []struct {
		name, text string
		into       any
	}{
		{"destinations", r.Destinations, &s.Destinations},
		{"retention", r.Retention, &s.Retention},
		{"recipients", r.Recipients, &s.Recipients},
	} {
		if err := json.Unmarshal([]byte(column.text), column.into); err != nil {
			return s, problem.New(fmt.Sprintf("column %s of backup schedule %q holds JSON of another form", column.name, r.Name),
				"Somebody else wrote it; correct it in brownie.backup_schedules, or delete the row and apply again").Because(err)
		}
	}
	return s, nil
}

// parameters are those of INSERT and UPDATE.
func (s Schedule) parameters() pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{
		"id": s.ID, "name": s.Name, "cron": s.Cron, "timezone": s.Timezone, "engine": string(s.Engine), "type": s.Type,
		"destinations": encode(s.Destinations), "retention": encode(s.Retention), "recipients": encode(s.Recipients),
		"verify": string(s.Verify), "verify_cron": s.VerifyCron, "max_restore_seconds": s.MaxRestoreSeconds, "timeout": s.Timeout,
		"enabled": s.Enabled,
	}
}

// A backup of a run that has ended well counts until it is pruned.
const schedulesSQL = `
	SELECT s.id, s.name, s.cron, s.timezone, s.engine, s.type, s.destinations::text AS destinations, s.retention::text AS retention,
		s.recipients::text AS recipients, s.verify, s.verify_cron, s.max_restore_seconds, s.timeout, s.enabled, s.updated_at,
		s.timing_changed_at,
		b.last_success_at, b.restorable_from, CASE WHEN s.engine = 'pgbackrest' AND b.restorable_until < a.archived_until
			THEN a.archived_until ELSE b.restorable_until END AS restorable_until, v.ended_at AS last_verified_at,
		v.restore_seconds AS last_restore_seconds, a.archive_failed_since, a.archive_error
	FROM brownie.backup_schedules s
	CROSS JOIN LATERAL (
		SELECT max(b.ended_at) AS last_success_at, min(b.snapshot_at) FILTER (WHERE b.pruned_at IS NULL) AS restorable_from,
			max(b.snapshot_at) FILTER (WHERE b.pruned_at IS NULL) AS restorable_until
		FROM brownie.backups b WHERE b.schedule_name = s.name AND b.status = 'succeeded'
	) AS b
	-- A database that is about to be migrated lacks the columns.
	CROSS JOIN LATERAL pg_catalog.jsonb_to_record(pg_catalog.to_jsonb(s))
		AS a(archived_until timestamptz, archive_failed_since timestamptz, archive_error text)
	LEFT JOIN LATERAL (
		SELECT v.ended_at, v.restore_seconds FROM brownie.backups b JOIN brownie.backup_verifications v ON v.backup_id = b.id
		WHERE b.schedule_name = s.name AND v.succeeded ORDER BY v.ended_at DESC LIMIT 1
	) AS v ON true `

// schedules returns those that can be read, and one error for each that cannot.
func (s *Store) schedules(ctx context.Context, condition string, args ...any) ([]Schedule, error) {
	rows, err := postgres.Query[scheduleRow](ctx, s.db, schedulesSQL+condition, args...)
	if err != nil {
		return nil, err
	}
	found := make([]Schedule, 0, len(rows))
	var unreadable []error
	for _, row := range rows {
		schedule, err := row.schedule()
		if err != nil {
			unreadable = append(unreadable, err)
			continue
		}
		found = append(found, schedule)
	}
	return found, errors.Join(unreadable...)
}

func one(found []Schedule, err error) (Schedule, error) {
	if err != nil {
		return Schedule{}, err
	}
	if len(found) == 0 {
		return Schedule{}, postgres.ErrNotFound
	}
	return found[0], nil
}

// Schedules returns all schedules, by name. One that cannot be read is an error, with which the others are returned all the same.
func (s *Store) Schedules(ctx context.Context) ([]Schedule, error) {
	return s.schedules(ctx, `ORDER BY s.name`)
}

// Schedule returns the schedule with the ID, or [postgres.ErrNotFound].
func (s *Store) Schedule(ctx context.Context, id string) (Schedule, error) {
	return one(s.schedules(ctx, `WHERE s.id = $1`, id))
}

// ScheduleByName returns the schedule with the name, or [postgres.ErrNotFound].
func (s *Store) ScheduleByName(ctx context.Context, name string) (Schedule, error) {
	return one(s.schedules(ctx, `WHERE s.name = $1`, name))
}

const createScheduleSQL = `
	INSERT INTO brownie.backup_schedules (id, name, cron, timezone, engine, type, destinations, retention, recipients, verify, verify_cron,
		max_restore_seconds, timeout, enabled)
	VALUES (@id::uuid, @name, @cron, @timezone, @engine, @type, @destinations::text::jsonb, @retention::text::jsonb,
		@recipients::text::jsonb, @verify, @verify_cron, @max_restore_seconds, @timeout, @enabled) RETURNING id`

type changed struct {
	ID string `db:"id"`
}

// CreateSchedule inserts a schedule. A taken name is a problem that tells what can be imported.
func (s *Store) CreateSchedule(ctx context.Context, schedule Schedule) (Schedule, error) {
	if err := schedule.Validate(); err != nil {
		return Schedule{}, err
	}
	// The client makes the ID, so that a row whose COMMIT was interrupted can be found again.
	schedule.ID = uuid.NewString()
	_, err := postgres.Change[changed](ctx, s.db, postgres.Statement{SQL: createScheduleSQL, Args: []any{schedule.parameters()}})
	return s.written(ctx, schedule, err)
}

// written reads what a change made, also where it is not known whether it was committed.
func (s *Store) written(ctx context.Context, schedule Schedule, err error) (Schedule, error) {
	if err != nil && !postgres.Interrupted(err) {
		return Schedule{}, s.scheduleError(ctx, schedule, err)
	}
	found, readErr := postgres.AwaitRead(ctx, func(ctx context.Context) (Schedule, error) { return s.Schedule(ctx, schedule.ID) })
	if err != nil && (readErr != nil || encode(found.parameters()) != encode(schedule.parameters())) {
		return Schedule{}, err
	}
	return found, readErr
}

func (s *Store) scheduleError(ctx context.Context, schedule Schedule, err error) error {
	if constraint, _ := postgres.Constraint(err); constraint != "backup_schedules_name_key" {
		return err
	}
	existing, readErr := s.ScheduleByName(ctx, schedule.Name)
	if readErr != nil {
		return err
	}
	return problem.New(fmt.Sprintf("the name %q is taken by another backup schedule", schedule.Name), "").On("name").
		Importable(existing.ID).Because(err)
}

const updateScheduleSQL = `
	UPDATE brownie.backup_schedules SET name = @name, cron = @cron, timezone = @timezone, engine = @engine, type = @type,
		destinations = @destinations::text::jsonb, retention = @retention::text::jsonb, recipients = @recipients::text::jsonb,
		verify = @verify, verify_cron = @verify_cron, max_restore_seconds = @max_restore_seconds, timeout = @timeout, enabled = @enabled,
		updated_at = statement_timestamp(), timing_changed_at = CASE
			WHEN (cron, timezone, enabled) IS DISTINCT FROM (@cron::text, @timezone::text, @enabled::boolean) THEN statement_timestamp()
			ELSE timing_changed_at END
	WHERE id = @id::uuid AND updated_at = @updated_at RETURNING id`

// UpdateSchedule changes a schedule from what before says. One that somebody else has changed meanwhile is a problem, and stays as it is.
func (s *Store) UpdateSchedule(ctx context.Context, before, after Schedule) (Schedule, error) {
	if err := after.Validate(); err != nil {
		return Schedule{}, err
	}
	after.ID = before.ID
	parameters := after.parameters()
	parameters["updated_at"] = before.UpdatedAt
	rows, err := postgres.Change[changed](ctx, s.db, postgres.Statement{SQL: updateScheduleSQL, Args: []any{parameters}})
	if err == nil && len(rows) == 0 {
		if _, err := s.Schedule(ctx, before.ID); err != nil {
			return Schedule{}, err
		}
		return Schedule{}, problem.New("somebody else has changed it since this was planned", "Plan again to see what that would undo")
	}
	return s.written(ctx, after, err)
}

// DeleteSchedule deletes a schedule, whose backups stay, and so do their records. Deleting what is gone already is no error.
func (s *Store) DeleteSchedule(ctx context.Context, id string) error {
	_, err := postgres.Change[changed](ctx, s.db,
		postgres.Statement{SQL: `DELETE FROM brownie.backup_schedules WHERE id = $1 RETURNING id`, Args: []any{id}})
	return err
}
