package access

import (
	"context"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// It finds each name by the index; names that differ by case alone are left to the change itself, which looks at all roles.
const takenNamesSQL = `SELECT rolname::text AS name FROM pg_catalog.pg_roles WHERE rolname = ANY ($1::name[])`

// TakenNames returns those of the names that roles of the cluster have.
func (s *Store) TakenNames(ctx context.Context, names []string) (map[string]bool, error) {
	rows, err := postgres.Query[struct{ Name string }](ctx, s.db, takenNamesSQL, names)
	taken := make(map[string]bool, len(rows))
	for _, row := range rows {
		taken[row.Name] = true
	}
	return taken, err
}

// NameTaken says that a role has the name.
func NameTaken(name string) *DuplicateError { return duplicateError(name, name) }

// NameMayBeTaken says that a role has the name, of which nobody can tell whether it keeps it.
func NameMayBeTaken(name string) error { return problem.MayBeFreed("role", NameTaken(name)) }
