-- How far the archive of the write-ahead log reaches of schedules of engine pgbackrest, and what is wrong with it: the runner writes it.

-- brownie:locks ACCESS EXCLUSIVE brownie.backup_schedules

-- +goose Up
ALTER TABLE brownie.backup_schedules ADD COLUMN archived_until timestamptz, ADD COLUMN archive_failed_since timestamptz,
    ADD COLUMN archive_error text;
COMMENT ON COLUMN brownie.backup_schedules.archived_until IS 'What was committed until then is in the archive.';
COMMENT ON COLUMN brownie.backup_schedules.archive_failed_since IS 'When the archive was found not to keep up. Null while it does.';
GRANT UPDATE (archived_until, archive_failed_since, archive_error) ON brownie.backup_schedules TO brownie_backup;
CREATE POLICY archive ON brownie.backup_schedules FOR UPDATE TO brownie_backup USING ((SELECT brownie.backs_up()));

-- +goose Down
-- brownie:locks ACCESS EXCLUSIVE brownie.backup_schedules
DROP POLICY archive ON brownie.backup_schedules;
ALTER TABLE brownie.backup_schedules DROP COLUMN archived_until, DROP COLUMN archive_failed_since, DROP COLUMN archive_error;
