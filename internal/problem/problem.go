// Package problem holds what every domain says of an error to a person: what is wrong, which argument is to blame, what
// could be imported instead, and the remedy. It is below all domains and knows none of them.
package problem

import (
	"errors"
	"fmt"
)

// ErrNotFound says that the object does not exist.
var ErrNotFound = errors.New("not found")

// Error is an error in words for people. Its text ends with the remedy, and without a full stop.
type Error interface {
	error
	// Attribute is the argument that is to blame, or empty.
	Attribute() string
	// ImportID is what the object in the way can be imported by, or empty.
	ImportID() string
	// Remedy is what to do about it, or empty.
	Remedy() string
}

// Problem is an Error that no code tells apart from others. Errors that are told apart embed it.
type Problem struct { //nolint:errname // problem.Problem says it already
	text, remedy, attribute, importID string
	cause                             error
}

// New returns a problem and its remedy, which may be empty. Both are sentences without a full stop.
func New(text, remedy string) *Problem { return &Problem{text: text, remedy: remedy} }

// On blames an argument.
func (p *Problem) On(attribute string) *Problem {
	p.attribute = attribute
	return p
}

// Importable tells what the object in the way can be imported by.
func (p *Problem) Importable(id string) *Problem {
	p.importID = id
	return p
}

// Because keeps the cause for errors.Is and errors.As. Its text is not shown.
func (p *Problem) Because(cause error) *Problem {
	p.cause = cause
	return p
}

// Error returns the text and the remedy.
func (p *Problem) Error() string {
	if p.remedy == "" {
		return p.text
	}
	return p.text + ". " + p.remedy
}

// Text is what is wrong, without the remedy.
func (p *Problem) Text() string { return p.text }

// Attribute is the argument that is to blame, or empty.
func (p *Problem) Attribute() string { return p.attribute }

// ImportID is what the object in the way can be imported by, or empty.
func (p *Problem) ImportID() string { return p.importID }

// Remedy is what to do about it, or empty.
func (p *Problem) Remedy() string { return p.remedy }

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.cause }

// MayBeFreed is for a plan that refers to a value which another object has: nobody can tell yet whether that keeps it.
func MayBeFreed(noun string, taken Error) error {
	return New(taken.Error()+", and Terraform has not told yet whether this plan frees it",
		fmt.Sprintf("If the plan destroys or renames that %s, the apply waits for it, or, if everything that Terraform works on at once "+
			"would wait (-parallelism), has to be repeated; if not, the apply fails. If both are the same %s under another address or key "+
			"of a for_each, write a moved block instead", noun, noun)).On(taken.Attribute())
}

// CouldNotWait says of an error that may pass by itself why nobody waited for that.
func CouldNotWait(err error) error {
	told := New(err.Error(), "It could not wait for this apply to change that, because all that Terraform works on at once was waiting "+
		"(-parallelism): if the plan frees what is in the way, apply again").Because(err)
	var about Error
	if errors.As(err, &about) {
		told = told.On(about.Attribute()).Importable(about.ImportID())
	}
	return told
}
