package provider

import (
	"time"

	"github.com/hashicorp/terraform-plugin-framework-jsontypes/jsontypes"
	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// rowModel is what every resource that is a row has.
type rowModel struct {
	ID        types.String      `tfsdk:"id"`
	CreatedAt timetypes.RFC3339 `tfsdk:"created_at"`
	UpdatedAt timetypes.RFC3339 `tfsdk:"updated_at"`
}

func rowModelFrom(r tenancy.Row) rowModel {
	return rowModel{ID: types.StringValue(r.ID), CreatedAt: timeValue(r.CreatedAt), UpdatedAt: timeValue(r.UpdatedAt)}
}

func (m rowModel) row() tenancy.Row {
	// Both are computed: unknown in a plan, and in a state always what timeValue wrote.
	createdAt, _ := m.CreatedAt.ValueRFC3339Time()
	updatedAt, _ := m.UpdatedAt.ValueRFC3339Time()
	return tenancy.Row{ID: m.ID.ValueString(), CreatedAt: createdAt, UpdatedAt: updatedAt}
}

// timeValue keeps the microseconds that PostgreSQL stores: updated_at is also how a change by others is noticed.
func timeValue(t time.Time) timetypes.RFC3339 {
	return timetypes.NewRFC3339ValueMust(t.UTC().Format(time.RFC3339Nano))
}

// timeLike is timeValue, written as known has it if that is the same moment: people write times in their own zone, and the
// database keeps microseconds.
func timeLike(t *time.Time, known timetypes.RFC3339) timetypes.RFC3339 {
	if t == nil {
		return timetypes.NewRFC3339Null()
	}
	if !known.IsNull() && !known.IsUnknown() {
		if same, diags := known.ValueRFC3339Time(); !diags.HasError() && same.Sub(*t).Abs() < time.Microsecond {
			return known
		}
	}
	return timeValue(*t)
}

func jsonValue(document *tenancy.JSON) jsontypes.Normalized {
	return jsontypes.NewNormalizedPointerValue((*string)(document))
}

func jsonDocument(value jsontypes.Normalized) *tenancy.JSON {
	return (*tenancy.JSON)(value.ValueStringPointer())
}

func int32Value(n int32) types.Int64 { return types.Int64Value(int64(n)) }

// int32Of is for attributes whose validators have checked that the number fits.
func int32Of(value types.Int64) int32 {
	return int32(value.ValueInt64()) //nolint:gosec // Every such attribute has an upper bound of math.MaxInt32.
}

// durationValue shows a duration of the database, in the way that known has it if that means the same.
func durationValue(milliseconds *int64, known types.String) types.String {
	if milliseconds == nil {
		return types.StringNull()
	}
	duration := time.Duration(*milliseconds) * time.Millisecond
	if same, err := time.ParseDuration(known.ValueString()); err == nil && same == duration {
		return known
	}
	return types.StringValue(duration.String())
}

// milliseconds is for attributes whose validator is wholeMilliseconds.
func milliseconds(value types.String) *int64 {
	duration, err := time.ParseDuration(value.ValueString())
	if err != nil {
		return nil
	}
	whole := duration.Milliseconds()
	return &whole
}

// textOrNull is for texts whose being empty means that there is none.
func textOrNull(text string) types.String {
	if text == "" {
		return types.StringNull()
	}
	return types.StringValue(text)
}

func setValue(elements []string) types.Set {
	if elements == nil {
		return types.SetNull(types.StringType)
	}
	values := make([]attr.Value, len(elements))
	for i, element := range elements {
		values[i] = types.StringValue(element)
	}
	return types.SetValueMust(types.StringType, values)
}

func stringsOf(set types.Set) []string {
	if set.IsNull() {
		return nil
	}
	elements := make([]string, 0, len(set.Elements()))
	for _, element := range set.Elements() {
		if text, ok := element.(types.String); ok {
			elements = append(elements, text.ValueString())
		}
	}
	return elements
}

func each[From, To any](items []From, convert func(From) To) []To {
	converted := make([]To, len(items)) // not nil: an empty list is known, a nil one would be null
	for i, item := range items {
		converted[i] = convert(item)
	}
	return converted
}
