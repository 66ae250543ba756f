package provider

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// addError reports an error as "Cannot <verb> <noun>", with the object's name, and on the guilty attribute if there is one.
func addError(diags *diag.Diagnostics, verb, noun, name string, err error) {
	summary := fmt.Sprintf("Cannot %s %s", verb, noun)
	detail := explain(noun, err)
	if name != "" && !errors.Is(err, postgres.ErrNotMigrated) {
		detail = fmt.Sprintf("%s %q: %s", noun, name, detail)
	}
	if attribute := guiltyAttribute(err); attribute != "" {
		diags.AddAttributeError(path.Root(attribute), summary, detail)
		return
	}
	diags.AddError(summary, detail)
}

func explain(noun string, err error) string {
	if errors.Is(err, postgres.ErrNotFound) {
		return "it does not exist any more. Somebody else deleted it; plan again to see what is left to do."
	}
	text := err.Error() + "."
	var duplicate *tenancy.DuplicateError
	if errors.As(err, &duplicate) && duplicate.DeletedAt == nil {
		text += " If it shall be managed by this resource, add this block, with this resource's own address after \"to\", " +
			"and apply again:\n\n" + importBlock(noun, duplicate)
	}
	return text
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// importBlock is a block that makes the existing object the resource's. A provider does not learn the address of the
// resource it works for, so the name in "to" is made from the object's key.
func importBlock(noun string, d *tenancy.DuplicateError) string {
	label := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(d.Key), "_"), "_")
	return fmt.Sprintf("import {\n  to = brownie_%s._%s\n  id = %q\n}", strings.ReplaceAll(noun, " ", "_"), label, d.ID)
}

func guiltyAttribute(err error) string {
	var (
		duplicate    *tenancy.DuplicateError
		limit        *tenancy.LimitError
		conflict     *tenancy.ConflictError
		organization *tenancy.OrganizationError
		missing      *tenancy.MissingError
	)
	switch {
	case errors.As(err, &duplicate):
		return duplicate.Attribute
	case errors.As(err, &limit):
		return limit.Attribute
	case errors.As(err, &conflict):
		return conflict.Changes[0].Attribute
	case errors.As(err, &organization):
		return organization.Attribute
	case errors.As(err, &missing):
		return missing.Attribute
	}
	return ""
}

// addReadError reports an error of a data source, for which an object that is missing is an error too.
func addReadError(diags *diag.Diagnostics, noun, name string, err error) {
	if errors.Is(err, postgres.ErrNotFound) {
		diags.AddError("Cannot read "+noun, fmt.Sprintf("There is no %s %q.", noun, name))
		return
	}
	addError(diags, "read", noun, name, err)
}
