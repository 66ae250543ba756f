package devstack

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	postgresauth "github.com/longyi-brownie/terraform-provider-brownie/modules/postgres-auth"
)

// poolerName is the pooler's role on the server, and the common name of its certificate there.
const poolerName = "pgbouncer"

// configuration renders the Terraform module postgres-auth as Terraform does: devstack's servers are configured as the
// module's users' are. Types and defaults of the variables are read from the module, so that they are always the same.
// The module's validations are not run; they are for people.
type configuration map[string]cty.Value

// configure gives the module's variables these values, and the others their defaults.
func configure(given map[string]cty.Value) (configuration, error) {
	text, err := postgresauth.Files.ReadFile("variables.tf")
	if err != nil {
		return nil, err
	}
	file, problems := hclsyntax.ParseConfig(text, "variables.tf", hcl.InitialPos)
	if problems.HasErrors() {
		return nil, problems
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return nil, fmt.Errorf("variables.tf has a body of type %T", file.Body)
	}
	complete := configuration{}
	for _, block := range body.Blocks {
		name := block.Labels[0]
		if complete[name], err = variable(block.Body.Attributes, given[name]); err != nil {
			return nil, fmt.Errorf("variable %s: %w", name, err)
		}
	}
	for name := range given {
		if _, ok := complete[name]; !ok {
			return nil, fmt.Errorf("the module has no variable %s", name)
		}
	}
	return complete, nil
}

// variable is the value of a variable: the given one, or the default if there is none, completed.
func variable(declared hclsyntax.Attributes, value cty.Value) (cty.Value, error) {
	constraint, defaults, problems := typeexpr.TypeConstraintWithDefaults(declared["type"].Expr)
	if problems.HasErrors() {
		return cty.NilVal, problems
	}
	if value == cty.NilVal {
		if value, problems = declared["default"].Expr.Value(nil); problems.HasErrors() {
			return cty.NilVal, problems
		}
	}
	if defaults != nil && !value.IsNull() {
		value = defaults.Apply(value)
	}
	return convert.Convert(value, constraint)
}

// render renders one of the module's templates.
func (c configuration) render(name string) (string, error) {
	path := "templates/" + name + ".tftpl"
	text, err := postgresauth.Files.ReadFile(path)
	if err != nil {
		return "", err
	}
	template, problems := hclsyntax.ParseTemplate(text, path, hcl.InitialPos)
	if problems.HasErrors() {
		return "", problems
	}
	rendered, problems := template.Value(&hcl.EvalContext{
		Variables: c,
		Functions: map[string]function.Function{"join": stdlib.JoinFunc, "replace": stdlib.ReplaceFunc},
	})
	if problems.HasErrors() {
		return "", problems
	}
	return rendered.AsString(), nil
}

// stringsValue is a list of strings for a variable.
func stringsValue(list ...string) cty.Value {
	values := make([]cty.Value, len(list))
	for i, text := range list {
		values[i] = cty.StringVal(text)
	}
	return cty.TupleVal(values)
}
