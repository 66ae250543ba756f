package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// AdoptionError says why a schema that others made is not taken over.
type AdoptionError struct {
	// Version is the one that the schema resembles most, Revision what Alembic says, if it made the schema.
	Version     int64
	Revision    string
	Differences []string
}

func (e *AdoptionError) Error() string {
	const most = 20
	text := fmt.Sprintf("the database has a schema already, but no record of migrations, and it is not that of any version. It resembles version %d", e.Version)
	if e.Revision != "" {
		text += fmt.Sprintf(" (Alembic's revision there is %s; it must be %s)", e.Revision, baselineRevision)
	}
	listed := e.Differences[:min(len(e.Differences), most)]
	text += fmt.Sprintf(", with %d differences:\n  - %s\n", len(e.Differences), strings.Join(listed, "\n  - "))
	if len(e.Differences) > most {
		text += fmt.Sprintf("  … and %d more\n", len(e.Differences)-most)
	}
	return text + "Nothing was changed. Remove the differences, or use another database"
}

// baselineRevision is Alembic's last revision before the platform's schema came to be managed here.
const baselineRevision = "d607e412e7b0"

const (
	// thereSQL looks for any of some tables and types.
	thereSQL        = `SELECT EXISTS (SELECT FROM unnest($1::text[]) name WHERE to_regclass(name) IS NOT NULL OR to_regtype(name) IS NOT NULL) AS there`
	alembicThereSQL = `SELECT to_regclass('public.alembic_version') IS NOT NULL AS there`
	revisionSQL     = `SELECT coalesce(string_agg(version_num, ', '), '') AS revision FROM public.alembic_version`
)

// adoptable returns the version that a schema without a history has: one that Alembic made, that another goose migrated,
// or of which only a part was restored. 0 means that there is no schema; anything that is no version is an [*AdoptionError].
func (e *Engine) adoptable(ctx context.Context, known []Migration) (int64, error) {
	if e.source.catalog == "" {
		return 0, nil
	}
	baseline, err := e.source.expected(known[0].Version)
	if err != nil {
		return 0, err
	}
	there, err := postgres.QueryOne[struct{ There bool }](ctx, e.db, thereSQL, slices.Sorted(maps.Keys(belongs(baseline))))
	if err != nil || !there.There {
		return 0, err
	}
	actual, err := e.objects(ctx)
	if err != nil {
		return 0, err
	}
	var closest *AdoptionError
	for i := len(known) - 1; i >= 0; i-- {
		expected, err := e.source.expected(known[i].Version)
		if err != nil {
			return 0, err
		}
		found := differences(expected, actual)
		if closest == nil || len(found) < len(closest.Differences) {
			closest = &AdoptionError{Version: known[i].Version, Differences: found}
		}
		if len(found) == 0 {
			break
		}
	}
	revision, err := e.revision(ctx)
	if err != nil {
		return 0, err
	}
	if revision != "" && revision != baselineRevision {
		closest.Revision = revision
		return 0, closest
	}
	if len(closest.Differences) > 0 {
		return 0, closest
	}
	return closest.Version, nil
}

// revision is what Alembic remembers, or empty.
func (e *Engine) revision(ctx context.Context) (string, error) {
	alembic, err := postgres.QueryOne[struct{ There bool }](ctx, e.db, alembicThereSQL)
	if err != nil || !alembic.There {
		return "", err
	}
	found, err := postgres.QueryOne[struct{ Revision string }](ctx, e.db, revisionSQL)
	if errors.Is(err, postgres.ErrNotMigrated) {
		return "", nil
	}
	return found.Revision, err
}

// adopt records versions that are there without having run.
func (s *session) adopt(ctx context.Context, tx *sql.Tx, known []Migration, version int64) error {
	var records []postgres.Statement
	for _, m := range known {
		if m.Version <= version {
			records = append(records, s.record(m, 0, true))
		}
	}
	if _, err := s.asOwner(ctx, tx, records...); err != nil {
		return err
	}
	s.engine.log(ctx, "existing schema adopted", map[string]any{"version": version})
	return nil
}
