package tenancy

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// errHeldBack says that a guard in the statement let nothing through; the caller finds out which and words it.
var errHeldBack = errors.New("held back by a guard")

// DuplicateError says that another object already has a value that must be unique.
type DuplicateError struct {
	Noun      string // "team"
	Attribute string // "slug"
	Value     string
	Scope     string // where it must be unique, with its preposition (`in organization "acme"`); empty means everywhere
	ID        string // of the existing object
	Key       string // the natural key of the existing object
	DeletedAt *time.Time
}

func (e *DuplicateError) Error() string {
	scope := ""
	if e.Scope != "" {
		scope = " " + e.Scope
	}
	if e.DeletedAt != nil {
		return fmt.Sprintf("a %s that was deleted at %s (id %s) still has %s %q%s. Choose another %s, or remove that row for good",
			e.Noun, e.DeletedAt.UTC().Format(time.RFC3339), e.ID, e.Attribute, e.Value, scope, e.Attribute)
	}
	return fmt.Sprintf("another %s (id %s) already has %s %q%s", e.Noun, e.ID, e.Attribute, e.Value, scope)
}

// LimitError says that an organization's limit is reached.
type LimitError struct {
	Attribute string // the attribute of the refused object that led to the limit: "organization_id"
	Limit     string // the limit's name: "max_teams"
	Max       int32
	Count     int64
	Where     string // `organization "acme"`
	What      string // "teams"
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s has %d %s, and its limit %s is %d. Raise %s of the organization, or remove some first",
		e.Where, e.Count, e.What, e.Limit, e.Max, e.Limit)
}

// Change is an attribute whose value is not what the caller believed.
type Change struct {
	Attribute        string
	Expected, Actual string
}

// ConflictError says that somebody else changed the row since it was read. Nothing was overwritten.
type ConflictError struct {
	Changes []Change
}

func (e *ConflictError) Error() string {
	lines := make([]string, len(e.Changes))
	for i, change := range e.Changes {
		lines[i] = fmt.Sprintf("%s was %s when the change was planned and is %s now", change.Attribute, change.Expected, change.Actual)
	}
	return "somebody else changed it meanwhile: " + strings.Join(lines, "; ") + ". Nothing was overwritten; plan again to see the present values"
}

// OrganizationError says that an object and what it shall belong to are of different organizations.
type OrganizationError struct {
	Attribute string
	Problem   string
}

func (e *OrganizationError) Error() string { return e.Problem }

// MissingError says that an object that is referred to does not exist.
type MissingError struct {
	Attribute string
	Noun      string
	ID        string
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("there is no %s with id %s", e.Noun, e.ID)
}

// NotEmptyError says that deleting an object would also delete what belongs to it.
type NotEmptyError struct {
	Noun, Name string
	Usage      Usage
}

func (e *NotEmptyError) Error() string {
	return fmt.Sprintf("%s %q still has %s, which would be deleted with it. Nothing was deleted. Remove them first, or "+
		"set force_destroy = true on the organization and apply that before destroying", e.Noun, e.Name, e.Usage)
}
