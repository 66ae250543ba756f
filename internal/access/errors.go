package access

import (
	"errors"
	"fmt"
	"strings"

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

// BlockedError says what keeps a role from being dropped.
type BlockedError struct {
	Name     string
	Blockers []Blocker
}

func (e *BlockedError) Error() string {
	lines := make([]string, len(e.Blockers))
	here := false
	for i, blocker := range e.Blockers {
		lines[i] = "  - " + blocker.String()
		here = here || !blocker.Elsewhere
	}
	remedies := []string{}
	if here {
		remedies = append(remedies, "To give what it owns here to another role, set reassign_owned_to to that role's name, apply, and destroy then.")
	}
	for _, blocker := range e.Blockers {
		if blocker.Elsewhere {
			remedies = append(remedies, fmt.Sprintf("In database %q, as a superuser: REASSIGN OWNED BY %[2]s TO another_role; DROP OWNED BY %[2]s.",
				blocker.Database, quoted(e.Name)))
		}
	}
	return fmt.Sprintf("role %q cannot be dropped while these objects depend on it:\n%s\n%s", e.Name,
		strings.Join(lines, "\n"), strings.Join(remedies, "\n"))
}

// roleError turns what the statements of this package raise, by the name of a constraint, into this package's errors.
func roleError(before string, role Role, err error) error {
	constraint, _ := postgres.Constraint(err)
	if existing, ok := strings.CutPrefix(constraint, "role_exists "); ok {
		return &DuplicateError{Name: role.Name, Existing: existing}
	}
	switch constraint {
	case "role_missing":
		return postgres.ErrNotFound
	case "role_is_own":
		return &OwnRoleError{Name: before}
	case "role_has_sessions":
		return &SessionsError{Name: before}
	case "role_bindings_organization_id_fkey":
		return &MissingError{
			Attribute: "organization_id",
			Problem:   fmt.Sprintf("there is no organization with id %s", *role.OrganizationID),
		}
	case "role_reassign_missing":
		return &MissingError{Attribute: "reassign_owned_to", Problem: "there is no role of the name in reassign_owned_to; " +
			"nothing was changed. Correct it, apply, and destroy then"}
	case "role_blocked":
		return errBlockedMeanwhile
	}
	return err
}

// errBlockedMeanwhile says that objects appeared between the check and the drop.
var errBlockedMeanwhile = errors.New("objects of the role appeared while it was being dropped. It can no longer log in; " +
	"apply again to see what they are")
