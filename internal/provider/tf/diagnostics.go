package tf

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// AddError reports an error as "Cannot <verb> <noun>", with the object's name, and on the guilty attribute if there is one.
func AddError(diags *diag.Diagnostics, verb, noun, name string, err error) {
	told, attribute := subject(noun, name, err)
	diags.Append(onAttribute(diag.NewErrorDiagnostic(fmt.Sprintf("Cannot %s %s", verb, noun), told), attribute))
}

// AddWarning reports what may become an error, in the same way.
func AddWarning(diags *diag.Diagnostics, summary, noun, name string, err error) {
	told, attribute := subject(noun, name, err)
	diags.Append(onAttribute(diag.NewWarningDiagnostic(summary, told), attribute))
}

func onAttribute(d diag.Diagnostic, attribute string) diag.Diagnostic {
	if attribute == "" {
		return d
	}
	return diag.WithPath(path.Root(attribute), d)
}

// subject is an error in words about an object, and the guilty attribute if there is one.
func subject(noun, name string, err error) (detail, attribute string) {
	detail = Explain(noun, err)
	if object := fmt.Sprintf("%s %q", noun, name); name != "" && !errors.Is(err, postgres.ErrNotMigrated) && !strings.HasPrefix(detail,
		object) {
		detail = object + ": " + detail
	}
	var told problem.Error
	if errors.As(err, &told) {
		attribute = told.Attribute()
	}
	return detail, attribute
}

// Explain is an error in words, with the remedy.
func Explain(noun string, err error) string {
	if isBare := errors.Unwrap(err) == nil; isBare && errors.Is(err, problem.ErrNotFound) {
		return "it does not exist any more. Somebody else deleted it; plan again to see what is left to do."
	}
	text := strings.TrimRight(err.Error(), ".") + "."
	var told problem.Error
	if errors.As(err, &told) && told.ImportID() != "" {
		text += importInstead(noun, told.Attribute(), told.ImportID())
	}
	return text
}

func importInstead(noun, attribute, id string) string {
	return fmt.Sprintf(" Choose another %[1]s; or, if no other resource manages that %[2]s and this one shall, import it: add "+
		"this block, with this resource's own name instead of NAME, and apply again:\n\nimport {\n  to = brownie_%[3]s.NAME\n  "+
		"id = %[4]q\n}\n\nIf it has for_each, put its key instead of KEY:\n\nimport {\n  for_each = { KEY = %[4]q }\n  "+
		"to       = brownie_%[3]s.NAME[each.key]\n  id       = each.value\n}\n\n"+
		"If this workspace's state already has it under another address, or under another key of a for_each, write a moved block "+
		"instead. If the state was lost, the guide Forty tenants from one YAML file tells how all of it comes back.",
		attribute, noun, strings.ReplaceAll(noun, " ", "_"), id)
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
	if !errors.Is(err, problem.ErrNotFound) {
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
