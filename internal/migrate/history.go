package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Applied is what the database remembers of a migration that ran. Older versions of the provider remembered its version
// and time only; then the rest is empty.
type Applied struct {
	Version int64  `db:"version"`
	Name    string `db:"name"`   // the file's name
	SHA256  string `db:"sha256"` // see [Migration.SHA256]
	// At is when it was recorded, Duration how long it ran.
	At       time.Time     `db:"applied_at"`
	Duration time.Duration `db:"duration"`
	// Role ran it, with that version of the provider, in that run of HCP Terraform if there was one.
	Role            string `db:"role"`
	ProviderVersion string `db:"provider_version"`
	RunID           string `db:"run_id"`
	// Adopted is true for what did not run, because others had made the schema.
	Adopted bool `db:"adopted"`
}

// historyTable is the SQL identifier of the table that remembers what ran. Its first columns are goose's, so that
// goose's own program can read it.
func (s Source) historyTable() string {
	return pgx.Identifier{"brownie", s.table()}.Sanitize()
}

// A column that an older version of the provider did not make counts as empty.
const appliedSQL = `
SELECT h.version_id AS version, coalesce(j->>'name', '') AS name, coalesce(j->>'sha256', '') AS sha256,
	coalesce((j->>'applied_at')::timestamptz, h.tstamp AT TIME ZONE current_setting('TimeZone')) AS applied_at,
	coalesce((j->>'duration_ms')::bigint, 0) * 1000000 AS duration, coalesce(j->>'role_name', '') AS role,
	coalesce(j->>'provider_version', '') AS provider_version, coalesce(j->>'run_id', '') AS run_id,
	coalesce((j->>'adopted')::boolean, false) AS adopted
FROM %s h, to_jsonb(h) j
WHERE h.is_applied AND h.version_id > 0
ORDER BY h.version_id`

// Applied reads the history, in ascending order of versions. A database that was never migrated has an empty one.
func (e *Engine) Applied(ctx context.Context) ([]Applied, error) {
	table := e.source.historyTable()
	applied, err := postgres.Query[Applied](ctx, e.db.AsOwnerOf(table), fmt.Sprintf(appliedSQL, table))
	if errors.Is(err, postgres.ErrNotMigrated) {
		return nil, nil
	}
	return applied, err
}

// Current is the version that a history leads to; 0 means that no migration ever ran.
func Current(applied []Applied) int64 {
	if len(applied) == 0 {
		return 0
	}
	return applied[len(applied)-1].Version
}

// verify compares the history with the files, and returns an [*AheadError], a [*HistoryError] or nothing.
func verify(known []Migration, applied []Applied) error {
	current, latest := Current(applied), known[len(known)-1].Version
	if current > latest {
		return &AheadError{current, latest}
	}
	var problems []string
	for _, a := range applied {
		i := slices.IndexFunc(known, func(m Migration) bool { return m.Version == a.Version })
		switch {
		case i < 0:
			problems = append(problems, fmt.Sprintf("version %d was applied%s, and its file is missing. Restore the file", a.Version, from(a)))
		case a.SHA256 != "" && a.SHA256 != known[i].SHA256:
			problems = append(problems, fmt.Sprintf("%s is not the file that was applied as version %d%s: its SHA-256 was %s and is %s. "+
				"Restore the file as it was, and put the change into a new migration; or, if this history is another folder's, set name", known[i].Name, a.Version, from(a), a.SHA256, known[i].SHA256))
		}
	}
	for _, m := range known {
		if m.Version < current && !slices.ContainsFunc(applied, func(a Applied) bool { return a.Version == m.Version }) {
			problems = append(problems, fmt.Sprintf("%s was never applied, and version %d already is. Give the file a number above %d",
				m.Name, current, current))
		}
	}
	if len(problems) > 0 {
		return &HistoryError{problems}
	}
	return nil
}

// from tells when a migration was applied, and from which file.
func from(a Applied) string {
	at := " on " + a.At.UTC().Format(time.RFC3339)
	if a.Name != "" {
		return " from " + a.Name + at
	}
	return at
}
