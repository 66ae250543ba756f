package tenancy

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// errHeldBack says that a statement changed nothing. A caller with guards in it finds out which of them that was; people read this
// when it was none.
var errHeldBack error = problem.New("PostgreSQL changed nothing, and reported no error",
	"Apply again; if it stays so, somebody has made a trigger, rule or policy that holds changes of the table back: "+
		"look for it with \\d in psql")

// orHeldBack makes an error of a removal after which the row is still there, although no guard was in its way.
func orHeldBack(removed bool, err error) error {
	if err == nil && !removed {
		return errHeldBack
	}
	return err
}

// errPassed says that what held a change back is gone already.
var errPassed = errors.New("what was in the way is gone already; apply again")

// passed is errPassed for a lookup of what was in the way that finds nothing.
func passed(err error) error {
	if errors.Is(err, postgres.ErrNotFound) {
		return errPassed
	}
	return err
}

// Existing is the object that has a value already.
type Existing struct {
	ID, Key      string // Key is the natural key.
	DeletedAt    *time.Time
	Organization string // the slug of the organization that it belongs to, where the message does not tell it otherwise
}

// DuplicateError says that another object already has a value that must be unique.
type DuplicateError struct {
	*problem.Problem
	Existing
	what string // the attribute with its value
}

// duplicateError is about the attribute of an object, a noun such as "team". scope is where its value must be unique, with its
// preposition (`in organization "acme"`); empty means everywhere.
func duplicateError(noun, attribute, value, scope string, e Existing) *DuplicateError {
	what := fmt.Sprintf("%s %q", attribute, value)
	if scope != "" {
		what += " " + scope
	}
	if e.DeletedAt != nil {
		return &DuplicateError{problem.New(
			fmt.Sprintf("a %s of organization %q that was deleted at %s (id %s) still has %s",
				noun, e.Organization, e.DeletedAt.UTC().Format(time.RFC3339), e.ID, what),
			fmt.Sprintf("Choose another %s; or, to revive it, create it in that organization with the e-mail address that it had; or "+
				"remove that row for good (DELETE FROM public.users WHERE id = '%s')", attribute, e.ID)).On(attribute), e, what}
	}
	text := fmt.Sprintf("another %s (id %s) already has %s", noun, e.ID, what)
	if e.Organization != "" && scope == "" && noun != "organization" {
		text = fmt.Sprintf("another %s (id %s), of organization %q, already has %s", noun, e.ID, e.Organization, what)
	}
	return &DuplicateError{problem.New(text, "").On(attribute).Importable(e.ID), e, what}
}

// LimitError says that an organization's limit is reached.
type LimitError struct {
	*problem.Problem
	Limit string // its name: "max_teams"
	Max   int32
	Count int64
}

// limitError is about the attribute of the refused object that led to the limit: where (`organization "acme"`) is full of what
// ("teams").
func limitError(attribute, where, what, limit string, maximum int32, count int64) *LimitError {
	return &LimitError{problem.New(
		fmt.Sprintf("%s has %d %s, and its limit %s is %d", where, count, what, limit, maximum),
		fmt.Sprintf("Raise %s of the organization, or remove some first", limit)).On(attribute), limit, maximum, count}
}

// Change is an attribute whose value is not what the caller believed.
type Change struct {
	Attribute        string
	Expected, Actual string
}

// ConflictError says that somebody else changed the row since it was read. Nothing was overwritten.
type ConflictError struct {
	*problem.Problem
	Changes []Change
}

func conflictError(changes []Change) *ConflictError {
	lines := make([]string, len(changes))
	for i, change := range changes {
		lines[i] = fmt.Sprintf("%s was %s when the change was planned and is %s now", change.Attribute, change.Expected, change.Actual)
	}
	return &ConflictError{problem.New("somebody else changed it meanwhile: "+strings.Join(lines, "; "),
		"Nothing was overwritten; plan again to see the present values").On(changes[0].Attribute), changes}
}

// OrganizationError says that an object and what it shall belong to are of different organizations.
type OrganizationError struct{ *problem.Problem }

// missingError says that an object that is referred to does not exist.
func missingError(attribute, noun, id string) error {
	return problem.New(fmt.Sprintf("there is no %s with id %s", noun, id), "").On(attribute)
}

// NotEmptyError says that deleting an object would also delete what belongs to it.
type NotEmptyError struct {
	*problem.Problem
	Usage Usage
}

func notEmptyError(noun, name string, usage Usage) *NotEmptyError {
	return &NotEmptyError{problem.New(
		fmt.Sprintf("%s %q still has %s, which would be deleted with it. Nothing was deleted", noun, name, usage),
		"Remove them first, or set force_destroy = true on the organization and apply that before destroying"), usage}
}
