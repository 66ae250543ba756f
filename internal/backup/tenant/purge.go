package tenant

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Purge deletes all rows of organizations, given by their IDs: also those of tables whose foreign keys do not cascade, or that have none.
func Purge(ctx context.Context, tx pgx.Tx, ids []string) error {
	rows, err := tx.Query(ctx, tablesSQL)
	if err != nil {
		return err
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[table])
	if err != nil {
		return err
	}
	// Tables that refer to each other in a circle were deleted from in some order before, too: their keys cascade.
	if sorted, err := parentsFirst(all); err == nil {
		all = sorted
	}
	moves := false // A backup may be older than they are.
	if err := tx.QueryRow(ctx, `SELECT pg_catalog.to_regclass('brownie.moves') IS NOT NULL`).Scan(&moves); err != nil {
		return err
	}
	// One that has moved to another cell cannot be written by others.
	if moves {
		_, err := tx.Exec(ctx, `UPDATE brownie.moves SET step = 'dropping' WHERE organization = ANY ($1::uuid[]) AND closed`, ids)
		if err != nil {
			return err
		}
	}
	for _, t := range slices.Backward(all) {
		if _, err := tx.Exec(ctx, fmt.Sprintf(`DELETE FROM %s WHERE %s = ANY ($1::uuid[])`, t.Rows, t.Owner), ids); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	if moves {
		_, err = tx.Exec(ctx, `UPDATE brownie.moves SET step = 'dropped' WHERE organization = ANY ($1::uuid[]) AND step = 'dropping'`, ids)
	}
	return err
}
