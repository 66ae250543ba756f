package migrate

import (
	"context"
	"fmt"
	"time"
)

const mayMarkSQL = `
	SELECT pg_catalog.has_function_privilege('pg_catalog.pg_create_restore_point(text)', 'EXECUTE')
		AND pg_catalog.current_setting('archive_mode') <> 'off'`

// setRestorePoint marks the write-ahead log, where that is archived and the role may, so that a restore leads back to before this run
// (PostgreSQL manual, section 26.3.5). Whatever becomes of it, the run goes on.
func (r *run) setRestorePoint(ctx context.Context, to int64) {
	var may bool
	if err := r.conn.QueryRow(ctx, mayMarkSQL).Scan(&may); err != nil || !may {
		return
	}
	name := fmt.Sprintf("before-brownie-migration-%d-%s", to, time.Now().UTC().Format("20060102T150405Z"))
	if _, err := r.conn.Exec(ctx, `SELECT pg_catalog.pg_create_restore_point($1)`, name); err != nil {
		r.log(ctx, "no restore point was set", map[string]any{"restore_point": name, "error": err.Error()})
		return
	}
	r.log(ctx, "restore point set", map[string]any{"restore_point": name})
}
