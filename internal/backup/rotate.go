package backup

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

const rotateBackupSQL = `
	UPDATE brownie.backups SET sha256 = @sha256, size_bytes = @size_bytes, destinations = @destinations::text::jsonb
	WHERE id = @id AND sha256 = @former AND pruned_at IS NULL RETURNING id`

// RotateBackup records the manifest that a backup has since it was encrypted again, in the place of the former one. Sent twice, it changes
// nothing the second time.
func (s *Store) RotateBackup(ctx context.Context, b Backup, formerSHA256 string) error {
	rows, err := postgres.Change[changed](ctx, s.db, postgres.Statement{SQL: rotateBackupSQL, Args: []any{pgx.StrictNamedArgs{
		"id": b.ID, "sha256": b.SHA256, "size_bytes": b.SizeBytes, "destinations": encode(b.Destinations), "former": formerSHA256,
	}}})
	if err != nil || len(rows) > 0 {
		return err
	}
	now, err := s.Backup(ctx, b.ID)
	if err == nil && (now.SHA256 == nil || *now.SHA256 != *b.SHA256) {
		return problem.New(fmt.Sprintf("the record of backup %s was changed meanwhile", b.ID), "Try again")
	}
	return err
}
