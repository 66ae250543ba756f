package access

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// DuplicateError says that a role of that name exists already, or one that differs by case alone.
type DuplicateError struct{ *problem.Problem }

func duplicateError(name, existing string) *DuplicateError {
	if existing != name {
		return &DuplicateError{problem.New(fmt.Sprintf("role %q exists already and differs by case alone: to PgBouncer, which "+
			"compares the names in certificates without regard to case, the two would be the same", existing), "").On("name")}
	}
	return &DuplicateError{problem.New(fmt.Sprintf("a role named %q exists already; roles belong to the whole cluster, so that it may "+
		"have been made for another database", name), "").On("name").Importable(name)}
}

// MappedNameError says that a certificate of the role's name would open other roles, too.
type MappedNameError struct{ *problem.Problem }

// SessionsError says that a role cannot be given to another organization because somebody is logged in with it.
type SessionsError struct{ *problem.Problem }

// OwnRoleError says that the role is the one that the change is made with.
type OwnRoleError struct{ *problem.Problem }

// MissingError says that what a role refers to does not exist.
type MissingError struct{ *problem.Problem }

// ReplacedError says that another role has taken the name since it was read.
type ReplacedError struct{ *problem.Problem }

// LockedOutError says that a role can no longer log in, but could not be dropped.
type LockedOutError struct {
	Name  string
	cause error
}

func (e *LockedOutError) Error() string {
	return fmt.Sprintf("%s. It can no longer log in and still exists; apply again to drop it, or to let it log in again", e.cause)
}

func (e *LockedOutError) Unwrap() error { return e.cause }

// raised are the errors behind the names of constraints that the programs in role/ raise, and of one that the database has. What
// stands behind a name, after a space, is its object.
var raised = map[string]func(before, role Role, object string, server *pgconn.PgError) error{
	"role_missing": func(Role, Role, string, *pgconn.PgError) error { return problem.ErrNotFound },
	"role_exists": func(_, role Role, existing string, _ *pgconn.PgError) error {
		return duplicateError(role.Name, existing)
	},
	"role_replaced": func(before, _ Role, _ string, _ *pgconn.PgError) error {
		return &ReplacedError{problem.New(fmt.Sprintf("role %q was dropped and another one of that name was made by somebody else",
			before.Name), "Nothing was changed; plan again")}
	},
	"role_is_own": func(before, _ Role, _ string, _ *pgconn.PgError) error {
		return &OwnRoleError{problem.New(fmt.Sprintf("role %q is the one that this connection logs in with, and the change would take "+
			"away the rights it is made with", before.Name), "Manage it with another role, or not at all")}
	},
	"role_has_sessions": func(before, _ Role, _ string, _ *pgconn.PgError) error {
		return &SessionsError{problem.New(fmt.Sprintf("role %q has open sessions, which would suddenly see another tenant's rows. "+
			"Nothing was changed", before.Name), "Stop its clients (a pooler keeps idle sessions for a while: KILL the database in "+
			"its console, or wait), and apply again").On("organization_id")}
	},
	"role_name_mapped": func(_, _ Role, _ string, server *pgconn.PgError) error {
		return &MappedNameError{problem.New(server.Message+". Nothing was changed", "Only the pooler's role may have such a name; choose "+
			"another one, or remove that line").On("name")}
	},
	"role_right": func(_, _ Role, _ string, server *pgconn.PgError) error {
		return problem.New(server.Message, server.Hint)
	},
	"role_blocked": func(Role, Role, string, *pgconn.PgError) error {
		return errors.New("objects of the role appeared while it was being dropped; plan again to see what they are")
	},
	"role_bindings_organization_id_fkey": func(_, role Role, _ string, _ *pgconn.PgError) error {
		return &MissingError{problem.New(fmt.Sprintf("there is no organization with id %s", *role.OrganizationID), "").
			On("organization_id")}
	},
}

// roleError turns what a change of a role meets into this package's errors.
func roleError(before, role Role, err error) error {
	var locked *LockedOutError
	if errors.As(err, &locked) {
		locked.cause = roleError(before, role, locked.cause)
		return locked
	}
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return err
	}
	name, object, _ := strings.Cut(server.ConstraintName, " ")
	if wording, ok := raised[name]; ok {
		return wording(before, role, object, server)
	}
	if server.Code == codeDependentObjects {
		// The detail names objects, and no rows.
		return &BlockedError{Name: role.Name, Blockers: []Blocker{{
			Object: strings.NewReplacer("\n", "\n  - ", " public.", " ").Replace(server.Detail),
			Remedy: "Whoever granted these, or a superuser, must revoke them first.",
		}}}
	}
	return err
}

// Attribute is the argument that can give away what blocks.
func (e *BlockedError) Attribute() string { return "reassign_owned_to" }

// ImportID is empty.
func (e *BlockedError) ImportID() string { return "" }

// Remedy is empty: each blocker has its own.
func (e *BlockedError) Remedy() string { return "" }

// codeDependentObjects is dependent_objects_still_exist (PostgreSQL manual, appendix A).
const codeDependentObjects = "2BP01"
