-- When backups are made and where they go, which the plan declares and the runner reads; and what became of each, which the runner writes.
-- Nothing of a tenant is in them, but they belong to no tenant: only roles for backups and the owner see them.

-- brownie:locks NONE

-- +goose Up
CREATE TABLE brownie.backup_schedules (
    id uuid PRIMARY KEY,
    name text NOT NULL CONSTRAINT backup_schedules_name_key UNIQUE,
    cron text NOT NULL,
    timezone text NOT NULL,
    engine text NOT NULL CONSTRAINT backup_schedules_engine CHECK (engine IN ('pg_dump', 'pgbackrest')),
    type text NOT NULL CONSTRAINT backup_schedules_type CHECK (type IN ('full', 'diff', 'incr')),
    destinations jsonb NOT NULL,
    retention jsonb NOT NULL,
    recipients jsonb NOT NULL,
    verify text NOT NULL CONSTRAINT backup_schedules_verify CHECK (verify IN ('restore', 'checksum', 'none')),
    verify_cron text,
    max_restore_seconds integer,
    timeout text NOT NULL,
    enabled boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    timing_changed_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    CONSTRAINT backup_schedules_dump_is_full CHECK (engine <> 'pg_dump' OR type = 'full')
);
COMMENT ON TABLE brownie.backup_schedules IS 'When backups are made, of what kind, and where they go.';
COMMENT ON COLUMN brownie.backup_schedules.timing_changed_at IS 'What is asked for since then was not asked for before.';

CREATE TABLE brownie.backups (
    id text PRIMARY KEY,
    schedule_id uuid REFERENCES brownie.backup_schedules (id) ON DELETE SET NULL,
    schedule_name text NOT NULL,
    engine text NOT NULL,
    type text NOT NULL,
    due_at timestamptz,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    status text NOT NULL CONSTRAINT backups_status CHECK (status IN ('running', 'succeeded', 'failed', 'lost')),
    snapshot_at timestamptz,
    size_bytes bigint,
    sha256 text,
    destinations jsonb NOT NULL DEFAULT '[]',
    error text,
    retryable boolean,
    runner text NOT NULL,
    pruned_at timestamptz,
    CONSTRAINT backups_due_at CHECK (isfinite(due_at) AND due_at <= started_at),
    CONSTRAINT backups_succeeded CHECK (status <> 'succeeded' OR ended_at IS NOT NULL AND snapshot_at IS NOT NULL
        AND size_bytes IS NOT NULL AND sha256 IS NOT NULL)
);
CREATE INDEX backups_schedule_name_idx ON brownie.backups (schedule_name, started_at DESC);
COMMENT ON TABLE brownie.backups IS 'Each run of a schedule and what became of it. The record stays when the backup is pruned.';
COMMENT ON COLUMN brownie.backups.snapshot_at IS 'The moment that a restore leads back to.';
COMMENT ON COLUMN brownie.backups.sha256 IS 'Of the manifest, which holds those of all parts.';

CREATE TABLE brownie.backup_verifications (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    backup_id text NOT NULL REFERENCES brownie.backups (id) ON DELETE CASCADE,
    method text NOT NULL CONSTRAINT backup_verifications_method CHECK (method IN ('restore', 'checksum')),
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    succeeded boolean NOT NULL,
    damaged boolean NOT NULL DEFAULT false,
    restore_seconds double precision,
    error text,
    runner text NOT NULL
);
CREATE INDEX backup_verifications_backup_id_idx ON brownie.backup_verifications (backup_id, ended_at DESC);
COMMENT ON TABLE brownie.backup_verifications IS 'The proof that a backup restores: who tried it when, and what came of it.';
COMMENT ON COLUMN brownie.backup_verifications.damaged IS 'The backup itself is to blame, in all copies.';

GRANT SELECT ON brownie.backup_schedules, brownie.backups, brownie.backup_verifications TO brownie_backup;
GRANT INSERT, UPDATE (ended_at, status, snapshot_at, size_bytes, sha256, destinations, error, retryable, pruned_at)
    ON brownie.backups TO brownie_backup;
GRANT INSERT ON brownie.backup_verifications TO brownie_backup;
-- pg_dump reads it, too.
GRANT SELECT ON SEQUENCE brownie.backup_verifications_id_seq TO brownie_backup;

-- Whoever owns the schema owns what belongs to it.
-- +goose StatementBegin
DO $$
DECLARE
    owner name := (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'brownie');
BEGIN
    EXECUTE format('ALTER TABLE brownie.backup_schedules OWNER TO %I', owner);
    EXECUTE format('ALTER TABLE brownie.backups OWNER TO %I', owner);
    EXECUTE format('ALTER TABLE brownie.backup_verifications OWNER TO %I', owner);
END
$$;
-- +goose StatementEnd

-- +goose Down
-- brownie:locks ACCESS EXCLUSIVE brownie.backup_schedules, brownie.backups, brownie.backup_verifications
DROP TABLE brownie.backup_verifications;
DROP TABLE brownie.backups;
DROP TABLE brownie.backup_schedules;
