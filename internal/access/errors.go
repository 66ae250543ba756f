package access

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// DuplicateError says that a role of that name exists already, or one that differs by case alone.
type DuplicateError struct{ Name, Existing string }

func (e *DuplicateError) Error() string {
	if e.Existing != e.Name {
		return fmt.Sprintf("role %q exists already and differs by case alone: to PgBouncer, which compares the names in certificates "+
			"without regard to case, the two would be the same", e.Existing)
	}
	return fmt.Sprintf("a role named %q exists already; roles belong to the whole cluster, so that it may have been made "+
		"for another database", e.Name)
}

// SessionsError says that a role cannot be given to another organization because somebody is logged in with it.
type SessionsError struct{ Name string }

func (e *SessionsError) Error() string {
	return fmt.Sprintf("role %q has open sessions, which would suddenly see another tenant's rows. Nothing was changed. "+
		"Stop its clients (a pooler keeps idle sessions for a while: KILL the database in its console, or wait), and apply again", e.Name)
}

// OwnRoleError says that the role is the one that the change is made with.
type OwnRoleError struct{ Name string }

func (e *OwnRoleError) Error() string {
	return fmt.Sprintf("role %q is the one that this connection logs in with, and the change would take away the rights "+
		"it is made with. Manage it with another role, or not at all", e.Name)
}

// MissingError says that what a role refers to does not exist.
type MissingError struct {
	Attribute string
	Problem   string
}

func (e *MissingError) Error() string { return e.Problem }

// ReplacedError says that another role has taken the name since it was read.
type ReplacedError struct{ Name string }

func (e *ReplacedError) Error() string {
	return fmt.Sprintf("role %q was dropped and another one of that name was made by somebody else. Nothing was changed; plan again", e.Name)
}

// RightError says that the connection's role lacks a right, and who can give it.
type RightError struct{ Problem, Remedy string }

func (e *RightError) Error() string { return e.Problem + ". " + e.Remedy }

// LockedOutError says that a role can no longer log in, but could not be dropped.
type LockedOutError struct {
	Name  string
	cause error
}

func (e *LockedOutError) Error() string {
	return fmt.Sprintf("%s. It can no longer log in and still exists; apply again to drop it, or to let it log in again", e.cause)
}

func (e *LockedOutError) Unwrap() error { return e.cause }

// roleError turns what the statements of this package raise, by the name of a constraint, into this package's errors.
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
	if existing, ok := strings.CutPrefix(server.ConstraintName, "role_exists "); ok {
		return &DuplicateError{Name: role.Name, Existing: existing}
	}
	switch server.ConstraintName {
	case "role_missing":
		return postgres.ErrNotFound
	case "role_replaced":
		return &ReplacedError{Name: before.Name}
	case "role_is_own":
		return &OwnRoleError{Name: before.Name}
	case "role_has_sessions":
		return &SessionsError{Name: before.Name}
	case "role_name_mapped":
		return &MappedNameError{Mapping: server.Message}
	case "role_right":
		return &RightError{Problem: server.Message, Remedy: server.Hint}
	case "role_bindings_organization_id_fkey":
		return &MissingError{
			Attribute: "organization_id", Problem: fmt.Sprintf("there is no organization with id %s", *role.OrganizationID),
		}
	case "role_blocked":
		return errors.New("objects of the role appeared while it was being dropped; plan again to see what they are")
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

// codeDependentObjects is dependent_objects_still_exist (PostgreSQL manual, appendix A).
const codeDependentObjects = "2BP01"
