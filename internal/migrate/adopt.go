package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// AdoptionError says why a schema that others made is not taken over.
type AdoptionError struct{ *problem.Problem }

// adoptionError lists how a schema differs from the version that it resembles most. revision is what Alembic says, if that is why.
func adoptionError(version int64, revision string, differences []string) *AdoptionError {
	const most = 20
	text := fmt.Sprintf("the database has a schema already, but no record of migrations, and it is not that of any version. "+
		"It resembles version %d", version)
	if revision != "" {
		text += fmt.Sprintf(" (Alembic's revision there is %s; it must be %s)", revision, baselineRevision)
	}
	listed := differences[:min(len(differences), most)]
	if len(differences) == 0 { // It is Alembic's revision alone.
		return &AdoptionError{problem.New(text+". Nothing was changed",
			"Bring the database to that revision with Alembic, or correct public.alembic_version if the schema is that of the revision")}
	}
	text += fmt.Sprintf(", with %d differences:\n  - %s\n", len(differences), strings.Join(listed, "\n  - "))
	if len(differences) > most {
		text += fmt.Sprintf("  … and %d more\n", len(differences)-most)
	}
	return &AdoptionError{problem.New(text+"Nothing was changed", "Remove the differences, or use another database")}
}

// baselineRevision is Alembic's last revision before the platform's schema came to be managed here.
const baselineRevision = "d607e412e7b0"

const (
	// thereSQL looks for any of some tables and types.
	thereSQL = `
SELECT EXISTS (SELECT FROM unnest($1::text[]) name WHERE to_regclass(name) IS NOT NULL OR to_regtype(name) IS NOT NULL) AS there`
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
	there, err := postgres.QueryOne[struct{ There bool }](ctx, e.db, thereSQL, names(baseline))
	if err != nil || !there.There {
		return 0, err
	}
	actual, err := e.objects(ctx)
	if err != nil {
		return 0, err
	}
	version, differences, err := e.source.closest(known, actual)
	if err != nil {
		return 0, err
	}
	revision, err := e.revision(ctx)
	switch {
	case err != nil:
		return 0, err
	case revision != "" && revision != baselineRevision:
		return 0, adoptionError(version, revision, differences)
	case len(differences) > 0:
		return 0, adoptionError(version, "", differences)
	}
	return version, nil
}

// closest is the version that a schema resembles most, and how it differs from that.
func (s Source) closest(known []Migration, actual []object) (version int64, differs []string, err error) {
	for _, m := range slices.Backward(known) {
		expected, err := s.expected(m.Version)
		if err != nil {
			return 0, nil, err
		}
		found := differences(expected, actual)
		if version == 0 || len(found) < len(differs) {
			version, differs = m.Version, found
		}
		if len(found) == 0 {
			break
		}
	}
	return version, differs, nil
}

// names lists the tables, types and so on that objects belong to.
func names(objects []recorded) []string {
	var all []string
	for _, o := range objects {
		all = append(all, o.Of)
	}
	slices.Sort(all)
	return slices.Compact(all)
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
