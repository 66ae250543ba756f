-- A backup under hold stays, whatever the retention says: for a lawsuit, or an inquiry.

-- +goose Up
ALTER TABLE brownie.backups ADD COLUMN held_at timestamptz, ADD COLUMN hold_reason text,
    ADD CONSTRAINT backups_hold_reason CHECK (held_at IS NOT NULL OR hold_reason IS NULL);
COMMENT ON COLUMN brownie.backups.held_at IS 'Since when no rule removes the backup.';
GRANT UPDATE (held_at, hold_reason) ON brownie.backups TO brownie_backup;

-- +goose Down
ALTER TABLE brownie.backups DROP CONSTRAINT backups_hold_reason, DROP COLUMN held_at, DROP COLUMN hold_reason;
