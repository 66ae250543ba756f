package tf

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"golang.org/x/text/unicode/norm"
)

// Stored is an object as the database holds it after a change.
type Stored struct {
	Noun, Name string
	// Model is what becomes the state.
	Model any
	// Undo deletes an object that was created, and is nil for others: Terraform would plan to replace an object whose creation failed.
	Undo func() error
}

// SetState makes the state what is stored. Where that is not what was planned, as somebody's trigger changed it, it is an error
// for the attribute, and an object that was created is deleted again.
func (s Stored) SetState(ctx context.Context, plan tfsdk.Plan, state *tfsdk.State, diags *diag.Diagnostics) {
	if diags.Append(state.Set(ctx, s.Model)...); diags.HasError() {
		return
	}
	changed := differences(ctx, plan, *state, diags)
	if len(changed) == 0 {
		return
	}
	became := fmt.Sprintf("The %s was changed", s.Noun)
	if s.Undo != nil {
		if err := s.Undo(); err != nil {
			became = fmt.Sprintf("The %s was created all the same, and could not be deleted again: %s", s.Noun, err)
		} else {
			became = fmt.Sprintf("The %s was not created", s.Noun)
			state.RemoveResource(ctx)
		}
	}
	for _, d := range changed {
		diags.AddAttributeError(path.Root(d.attribute), fmt.Sprintf("The database stores another %s", d.attribute), fmt.Sprintf(
			"%s %q: %s was to be %.200s, but the database made it %.200s: a trigger of somebody else changes it, or somebody "+
				"changed it at the same moment. %s. Write what is stored, or ask whoever made the trigger, and apply again.",
			s.Noun, s.Name, d.attribute, d.planned, d.stored, strings.TrimRight(became, ".")))
	}
}

type difference struct {
	attribute       string
	planned, stored attr.Value
}

// differences are the attributes of a state that are not what was planned.
func differences(ctx context.Context, plan tfsdk.Plan, state tfsdk.State, diags *diag.Diagnostics) (found []difference) {
	var planned, stored map[string]tftypes.Value
	if plan.Raw.As(&planned) != nil || state.Raw.As(&stored) != nil {
		return nil // Both are objects of the schema.
	}
	attributes := state.Schema.GetAttributes()
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if !planned[name].IsFullyKnown() || planned[name].Equal(stored[name]) || planned[name].Equal(composed(stored[name])) {
			continue // What Terraform planned is composed already.
		}
		was, err := attributes[name].GetType().ValueFromTerraform(ctx, planned[name])
		is, errIs := attributes[name].GetType().ValueFromTerraform(ctx, stored[name])
		if err != nil || errIs != nil {
			continue // What a state or plan holds is of the schema's types.
		}
		if text, ok := was.(basetypes.StringValuableWithSemanticEquals); ok {
			if other, ok := is.(basetypes.StringValuable); ok && !was.IsNull() && !is.IsNull() {
				same, told := text.StringSemanticEquals(ctx, other)
				if diags.Append(told...); same {
					continue
				}
			}
		}
		found = append(found, difference{name, was, is})
	}
	return found
}

// composed is a value as Terraform writes it: texts in Unicode's normal form C.
func composed(value tftypes.Value) tftypes.Value {
	written, err := tftypes.Transform(value, func(_ *tftypes.AttributePath, v tftypes.Value) (tftypes.Value, error) {
		var text string
		if !v.IsKnown() || v.IsNull() || !v.Type().Is(tftypes.String) {
			return v, nil
		}
		err := v.As(&text)
		return tftypes.NewValue(tftypes.String, norm.NFC.String(text)), err
	})
	if err != nil {
		return value
	}
	return written
}
