package pki

import "fmt"

// Attribute is the argument that names the place.
func (e *OccupiedError) Attribute() string { return "store" }

// ImportID is what the certificate there can be imported by, if it is one.
func (e *OccupiedError) ImportID() string {
	if e.Holder.Serial == "" {
		return ""
	}
	return fmt.Sprintf("%s/%s@%s:%s", e.Mount, e.Holder.Serial, e.Store.Mount, e.Store.Path)
}

// Remedy is in the text.
func (e *OccupiedError) Remedy() string { return "" }

// Attribute is the argument that the role, or the request, does not agree with.
func (e *MismatchError) Attribute() string { return e.argument }

// ImportID is empty.
func (e *MismatchError) ImportID() string { return "" }

// Remedy is in the text.
func (e *MismatchError) Remedy() string { return "" }
