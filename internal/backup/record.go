package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Status is what became of a run.
type Status string

// A run is Lost when its runner ended without a word.
const (
	Running   Status = "running"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Lost      Status = "lost"
)

// Statuses are all of them.
var Statuses = []string{string(Running), string(Succeeded), string(Failed), string(Lost)}

// Stored is a backup's copy in one destination.
type Stored struct {
	Destination Destination `json:"destination"`
	Location    string      `json:"location"`
	// Error is why there is none, or empty.
	Error string `json:"error,omitempty"`
}

// Backup is one run of a schedule and what became of it.
type Backup struct {
	ID           string
	ScheduleID   *string
	ScheduleName string
	Engine       Engine
	Type         string
	// DueAt is when the schedule asked for it. nil means that a person did.
	DueAt     *time.Time
	StartedAt time.Time
	EndedAt   *time.Time
	Status    Status
	// SnapshotAt is the moment that a restore leads back to.
	SnapshotAt *time.Time
	// SizeBytes is what is stored in one destination.
	SizeBytes *int64
	// SHA256 is that of the manifest, which holds those of all parts.
	SHA256       *string
	Destinations []Stored
	Error        *string
	// Retryable tells a failure that may pass by itself.
	Retryable *bool
	// Runner is the version and host of the program that ran it.
	Runner   string
	PrunedAt *time.Time
	// HeldAt is since when no rule removes it. nil means that the rules count.
	HeldAt     *time.Time
	HoldReason *string
	// Verified is the last proof that it restores. nil means that nobody has tried.
	Verified *Proof
}

// Proof is what came of verifying a backup.
type Proof struct {
	BackupID           string
	Method             Verification
	StartedAt, EndedAt time.Time
	Succeeded          bool
	// Damaged means that the backup itself is to blame, in all copies, and not what was needed to verify it.
	Damaged bool
	// RestoreSeconds is how long the restore took, without the checks. nil when nothing was restored.
	RestoreSeconds *float64
	Error          *string
	Runner         string
}

// backupRow is a backup as it is stored.
type backupRow struct {
	ID             string     `db:"id"`
	ScheduleID     *string    `db:"schedule_id"`
	ScheduleName   string     `db:"schedule_name"`
	Engine         string     `db:"engine"`
	Type           string     `db:"type"`
	DueAt          *time.Time `db:"due_at"`
	StartedAt      time.Time  `db:"started_at"`
	EndedAt        *time.Time `db:"ended_at"`
	Status         string     `db:"status"`
	SnapshotAt     *time.Time `db:"snapshot_at"`
	SizeBytes      *int64     `db:"size_bytes"`
	SHA256         *string    `db:"sha256"`
	Destinations   string     `db:"destinations"`
	Error          *string    `db:"error"`
	Retryable      *bool      `db:"retryable"`
	Runner         string     `db:"runner"`
	PrunedAt       *time.Time `db:"pruned_at"`
	HeldAt         *time.Time `db:"held_at"`
	HoldReason     *string    `db:"hold_reason"`
	Method         *string    `db:"method"`
	VerifyStarted  *time.Time `db:"verify_started_at"`
	VerifyEnded    *time.Time `db:"verify_ended_at"`
	VerifySucceed  *bool      `db:"verify_succeeded"`
	VerifyDamaged  *bool      `db:"verify_damaged"`
	RestoreSeconds *float64   `db:"restore_seconds"`
	VerifyError    *string    `db:"verify_error"`
	VerifyRunner   *string    `db:"verify_runner"`
}

func (r backupRow) backup() Backup {
	b := Backup{
		ID: r.ID, ScheduleID: r.ScheduleID, ScheduleName: r.ScheduleName, Engine: Engine(r.Engine), Type: r.Type, DueAt: r.DueAt,
		StartedAt: r.StartedAt, EndedAt: r.EndedAt, Status: Status(r.Status), SnapshotAt: r.SnapshotAt, SizeBytes: r.SizeBytes,
		SHA256: r.SHA256, Error: r.Error, Retryable: r.Retryable, Runner: r.Runner, PrunedAt: r.PrunedAt,
		HeldAt: r.HeldAt, HoldReason: r.HoldReason,
	}
	// Only runners write it; what cannot be read is where nobody looks for a copy.
	_ = json.Unmarshal([]byte(r.Destinations), &b.Destinations)
	if r.Method != nil {
		b.Verified = &Proof{
			BackupID: r.ID, Method: Verification(*r.Method), StartedAt: *r.VerifyStarted, EndedAt: *r.VerifyEnded,
			Succeeded: *r.VerifySucceed, Damaged: *r.VerifyDamaged, RestoreSeconds: r.RestoreSeconds, Error: r.VerifyError,
			Runner: *r.VerifyRunner,
		}
	}
	return b
}

// Filter selects backups; the zero value of a field means all.
type Filter struct {
	ID, Schedule string
	Status       Status
	// Verified selects those whose last verification succeeded, or all others.
	Verified *bool
	// Present selects those that are not pruned.
	Present bool
	// StartedAfter is exclusive.
	StartedAfter *time.Time
	// DueAt selects the runs that were due then.
	DueAt *time.Time
	// Limit is how many of the newest are returned; 0 means all.
	Limit int
}

// Backups are made before the migration that adds the holds, too: those columns may be missing.
const backupsSQL = `
	SELECT b.id, b.schedule_id, b.schedule_name, b.engine, b.type, b.due_at, b.started_at, b.ended_at, b.status, b.snapshot_at,
		b.size_bytes, b.sha256, b.destinations::text AS destinations, b.error, b.retryable, b.runner, b.pruned_at,
		(pg_catalog.to_jsonb(b) ->> 'held_at')::timestamptz AS held_at, pg_catalog.to_jsonb(b) ->> 'hold_reason' AS hold_reason, v.method,
		v.started_at AS verify_started_at, v.ended_at AS verify_ended_at, v.succeeded AS verify_succeeded,
		v.damaged AS verify_damaged, v.restore_seconds,
		v.error AS verify_error, v.runner AS verify_runner
	FROM brownie.backups b LEFT JOIN LATERAL (
		SELECT v.* FROM brownie.backup_verifications v WHERE v.backup_id = b.id ORDER BY v.ended_at DESC, v.id DESC LIMIT 1
	) AS v ON true
	WHERE (@id::text = '' OR b.id = @id) AND (@schedule::text = '' OR b.schedule_name = @schedule)
		AND (@status::text = '' OR b.status = @status) AND (@verified::boolean IS NULL OR coalesce(v.succeeded, false) = @verified)
		AND (NOT @present::boolean OR b.pruned_at IS NULL)
		AND (@started_after::timestamptz IS NULL OR b.started_at > @started_after)
		AND (@due_at::timestamptz IS NULL OR b.due_at = @due_at)
	ORDER BY b.started_at DESC, b.id DESC LIMIT nullif(@limit::bigint, 0)`

// Backups returns the backups that pass the filter, newest first.
func (s *Store) Backups(ctx context.Context, f Filter) ([]Backup, error) {
	rows, err := postgres.Query[backupRow](ctx, s.db, backupsSQL, pgx.StrictNamedArgs{
		"id": f.ID, "schedule": f.Schedule, "status": string(f.Status), "verified": f.Verified, "present": f.Present,
		"started_after": f.StartedAfter, "due_at": f.DueAt, "limit": f.Limit,
	})
	if err != nil {
		return nil, err
	}
	backups := make([]Backup, len(rows))
	for i, row := range rows {
		backups[i] = row.backup()
	}
	return backups, nil
}

// Backup returns the backup with the ID, or [postgres.ErrNotFound].
func (s *Store) Backup(ctx context.Context, id string) (Backup, error) {
	found, err := s.Backups(ctx, Filter{ID: id, Limit: 1})
	if err == nil && (len(found) == 0 || id == "") {
		err = postgres.ErrNotFound
	}
	if err != nil {
		return Backup{}, err
	}
	return found[0], nil
}

const startBackupSQL = `
	INSERT INTO brownie.backups (id, schedule_id, schedule_name, engine, type, due_at, started_at, status, runner)
	VALUES (@id, @schedule_id::uuid, @schedule_name, @engine, @type, @due_at, @started_at, 'running', @runner) RETURNING id`

// StartBackup records that a run has begun.
func (s *Store) StartBackup(ctx context.Context, b Backup) error {
	_, err := postgres.Change[changed](ctx, s.db, postgres.Statement{SQL: startBackupSQL, Args: []any{pgx.StrictNamedArgs{
		"id": b.ID, "schedule_id": b.ScheduleID, "schedule_name": b.ScheduleName, "engine": string(b.Engine), "type": b.Type,
		"due_at": b.DueAt, "started_at": b.StartedAt, "runner": b.Runner,
	}}})
	return err
}

const endBackupSQL = `
	UPDATE brownie.backups SET ended_at = @ended_at, status = @status, snapshot_at = @snapshot_at, size_bytes = @size_bytes,
		sha256 = @sha256, destinations = @destinations::text::jsonb, error = @error, retryable = @retryable
	WHERE id = @id AND status = 'running' RETURNING id`

// EndBackup records what became of a run. Sent twice, it changes nothing the second time.
func (s *Store) EndBackup(ctx context.Context, b Backup) error {
	rows, err := postgres.Change[changed](ctx, s.db, postgres.Statement{SQL: endBackupSQL, Args: []any{pgx.StrictNamedArgs{
		"id": b.ID, "ended_at": b.EndedAt, "status": string(b.Status), "snapshot_at": b.SnapshotAt, "size_bytes": b.SizeBytes,
		"sha256": b.SHA256, "destinations": encode(b.Destinations), "error": b.Error, "retryable": b.Retryable,
	}}})
	if err != nil || len(rows) > 0 {
		return err
	}
	now, err := s.Backup(ctx, b.ID)
	switch {
	case errors.Is(err, postgres.ErrNotFound):
		return problem.New(fmt.Sprintf("the record of backup %s is gone", b.ID),
			"Somebody else has put another database in the place of this one")
	case err == nil && now.Status != b.Status:
		return problem.New(fmt.Sprintf("backup %s is %s on record by now", b.ID, now.Status), "Another runner took this one for ended")
	}
	return err
}

// LoseBackup ends the run of a backup that nobody works on any more. Only who holds the schedule's lock knows that.
func (s *Store) LoseBackup(ctx context.Context, b Backup) error {
	ended, retryable, reason := time.Now().UTC(), true, "the runner ended without a word: it was killed, or lost its connection"
	b.EndedAt, b.Status, b.Retryable, b.Error = &ended, Lost, &retryable, &reason
	return s.EndBackup(ctx, b)
}

// PruneBackup records that a backup is no more.
func (s *Store) PruneBackup(ctx context.Context, id string) error {
	_, err := postgres.Change[changed](ctx, s.db, postgres.Statement{
		SQL:  `UPDATE brownie.backups SET pruned_at = statement_timestamp() WHERE id = $1 AND pruned_at IS NULL RETURNING id`,
		Args: []any{id},
	})
	return err
}

const recordProofSQL = `
	INSERT INTO brownie.backup_verifications (backup_id, method, started_at, ended_at, succeeded, damaged, restore_seconds, error, runner)
	VALUES (@backup_id, @method, @started_at, @ended_at, @succeeded, @damaged, @restore_seconds, @error, @runner) RETURNING backup_id AS id`

// RecordProof records what came of verifying a backup.
func (s *Store) RecordProof(ctx context.Context, p Proof) error {
	_, err := postgres.Change[changed](ctx, s.db, postgres.Statement{SQL: recordProofSQL, Args: []any{pgx.StrictNamedArgs{
		"backup_id": p.BackupID, "method": string(p.Method), "started_at": p.StartedAt, "ended_at": p.EndedAt, "succeeded": p.Succeeded,
		"damaged":         p.Damaged,
		"restore_seconds": p.RestoreSeconds, "error": p.Error, "runner": p.Runner,
	}}})
	return err
}

// proofRow is a proof as it is stored.
type proofRow struct {
	BackupID       string    `db:"backup_id"`
	Schedule       string    `db:"schedule_name"`
	Method         string    `db:"method"`
	StartedAt      time.Time `db:"started_at"`
	EndedAt        time.Time `db:"ended_at"`
	Succeeded      bool      `db:"succeeded"`
	RestoreSeconds *float64  `db:"restore_seconds"`
	Error          *string   `db:"error"`
	Runner         string    `db:"runner"`
}

const proofsSQL = `
	SELECT v.backup_id, b.schedule_name, v.method, v.started_at, v.ended_at, v.succeeded, v.restore_seconds, v.error, v.runner
	FROM brownie.backup_verifications v JOIN brownie.backups b ON b.id = v.backup_id
	WHERE v.started_at >= $1::timestamptz ORDER BY v.started_at, v.id`

// ScheduledProof is a proof and the schedule whose backup it is about.
type ScheduledProof struct {
	Schedule string
	Proof
}

// Proofs returns what came of all verifications that began since then, the oldest first.
func (s *Store) Proofs(ctx context.Context, since time.Time) ([]ScheduledProof, error) {
	rows, err := postgres.Query[proofRow](ctx, s.db, proofsSQL, since)
	proofs := make([]ScheduledProof, len(rows))
	for i, r := range rows {
		proofs[i] = ScheduledProof{r.Schedule, Proof{
			BackupID: r.BackupID, Method: Verification(r.Method), StartedAt: r.StartedAt, EndedAt: r.EndedAt, Succeeded: r.Succeeded,
			RestoreSeconds: r.RestoreSeconds, Error: r.Error, Runner: r.Runner,
		}}
	}
	return proofs, err
}

// LastDue is the last time at which a run was due that was begun. The zero time means that none was.
func (s *Store) LastDue(ctx context.Context, schedule string) (time.Time, error) {
	row, err := postgres.QueryOne[struct {
		Last *time.Time `db:"last"`
	}](ctx, s.db, `SELECT max(due_at) AS last FROM brownie.backups WHERE schedule_name = $1`, schedule)
	if err != nil || row.Last == nil {
		return time.Time{}, err
	}
	return *row.Last, nil
}

const recordArchiveSQL = `
	UPDATE brownie.backup_schedules SET archived_until = coalesce(@until, archived_until), archive_failed_since = @failed_since,
		archive_error = @error
	WHERE id = @id::uuid RETURNING id`

// RecordArchive records how far the archive of a schedule reaches, and since when and why it fails. A time that is nil is not known anew.
func (s *Store) RecordArchive(ctx context.Context, id string, until, failedSince *time.Time, why *string) error {
	_, err := postgres.Change[changed](ctx, s.db, postgres.Statement{SQL: recordArchiveSQL, Args: []any{pgx.StrictNamedArgs{
		"id": id, "until": until, "failed_since": failedSince, "error": why,
	}}})
	return err
}
