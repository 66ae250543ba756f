package tf

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/pki"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// AddError reports an error as "Cannot <verb> <noun>", with the object's name, and on the guilty attribute if there is one.
func AddError(diags *diag.Diagnostics, verb, noun, name string, err error) {
	summary := fmt.Sprintf("Cannot %s %s", verb, noun)
	detail := Explain(noun, err)
	if subject := fmt.Sprintf("%s %q", noun, name); name != "" && !errors.Is(err, postgres.ErrNotMigrated) && !strings.HasPrefix(detail, subject) {
		detail = subject + ": " + detail
	}
	if attribute := guiltyAttribute(err); attribute != "" {
		diags.AddAttributeError(path.Root(attribute), summary, detail)
		return
	}
	diags.AddError(summary, detail)
}

// Explain is an error in words, with the remedy.
func Explain(noun string, err error) string {
	var vault *pki.Error
	if errors.As(err, &vault) {
		text := strings.TrimRight(err.Error(), ".") + "."
		var occupied *pki.OccupiedError
		if errors.As(err, &occupied) && occupied.Holder.Serial != "" {
			text += importInstead(noun, "store", fmt.Sprintf("%s/%s@%s:%s", occupied.Mount, occupied.Holder.Serial, occupied.Store.Mount, occupied.Store.Path))
		}
		return text
	}
	if errors.Is(err, postgres.ErrNotFound) {
		return "it does not exist any more. Somebody else deleted it; plan again to see what is left to do."
	}
	text := strings.TrimRight(err.Error(), ".") + "."
	var duplicate *tenancy.DuplicateError
	if errors.As(err, &duplicate) && duplicate.DeletedAt == nil {
		text += importInstead(noun, duplicate.Attribute, duplicate.ID)
	}
	var role *access.DuplicateError
	if errors.As(err, &role) && role.Existing == role.Name {
		text += importInstead(noun, "name", role.Name)
	}
	return text
}

func importInstead(noun, attribute, id string) string {
	return fmt.Sprintf(" Choose another %s; or, if no other resource manages that %s and this one shall, import it: add "+
		"this block, with this resource's own name instead of NAME, and apply again:\n\nimport {\n  to = brownie_%s.NAME\n  id = %q\n}",
		attribute, noun, strings.ReplaceAll(noun, " ", "_"), id)
}

func guiltyAttribute(err error) string {
	var (
		duplicate    *tenancy.DuplicateError
		limit        *tenancy.LimitError
		conflict     *tenancy.ConflictError
		organization *tenancy.OrganizationError
		missing      *tenancy.MissingError
		sameName     *access.DuplicateError
		mappedName   *access.MappedNameError
		sessions     *access.SessionsError
		blocked      *access.BlockedError
		unknown      *access.MissingError
		mismatch     *pki.MismatchError
		occupied     *pki.OccupiedError
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
	case errors.As(err, &sameName), errors.As(err, &mappedName):
		return "name"
	case errors.As(err, &sessions):
		return "organization_id"
	case errors.As(err, &blocked):
		return "reassign_owned_to"
	case errors.As(err, &unknown):
		return unknown.Attribute
	case errors.As(err, &mismatch):
		return mismatch.Attribute
	case errors.As(err, &occupied):
		return "store"
	}
	return ""
}

// lookup is an attribute and the value that a data source looks for.
type lookup struct {
	attribute string
	Value     types.String
}

// By names an attribute that a data source looks by.
func By(attribute string, value types.String) lookup { return lookup{attribute, value} }

// AddLookupError reports an error of a data source, for which an object that is missing is an error too.
func AddLookupError(diags *diag.Diagnostics, noun string, err error, by ...lookup) {
	if !errors.Is(err, postgres.ErrNotFound) {
		AddError(diags, "read", noun, "", err)
		return
	}
	var wanted []string
	guilty := ""
	for _, l := range by {
		if !l.Value.IsNull() {
			wanted = append(wanted, fmt.Sprintf("%s = %q", l.attribute, l.Value.ValueString()))
			guilty = l.attribute
		}
	}
	diags.AddAttributeError(path.Root(guilty), "Cannot read "+noun, fmt.Sprintf("There is no %s with %s. Correct that, or let this "+
		"data source depend on the resource that creates the %s.", noun, strings.Join(wanted, " and "), noun))
}
