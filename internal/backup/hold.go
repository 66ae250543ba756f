package backup

import (
	"context"
	"fmt"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

const holdBackupSQL = `
	UPDATE brownie.backups SET held_at = coalesce(held_at, statement_timestamp()), hold_reason = coalesce(nullif($2::text, ''), hold_reason)
	WHERE id = $1 AND status = 'succeeded' AND pruned_at IS NULL RETURNING id`

// HoldBackup records that no rule removes a backup. Without a reason, the one that it has stays.
func (s *Store) HoldBackup(ctx context.Context, id, reason string) error {
	rows, err := postgres.Change[changed](ctx, s.db, postgres.Statement{SQL: holdBackupSQL, Args: []any{id, reason}})
	if err == nil && len(rows) == 0 {
		err = problem.New(fmt.Sprintf("backup %s is there no more", id),
			"Hold another one: `brownie-backup list --status succeeded --present`")
	}
	return err
}

// ReleaseBackup records that the rules count again for a backup.
func (s *Store) ReleaseBackup(ctx context.Context, id string) error {
	_, err := postgres.Change[changed](ctx, s.db, postgres.Statement{
		SQL:  `UPDATE brownie.backups SET held_at = NULL, hold_reason = NULL WHERE id = $1 AND held_at IS NOT NULL RETURNING id`,
		Args: []any{id},
	})
	return err
}
