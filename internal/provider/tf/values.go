package tf

import (
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/document"
)

// TimeValue keeps the microseconds that PostgreSQL stores: updated_at is also how a change by others is noticed. RFC 3339
// has years of four digits; a time outside of them is shown as the first or last that it has.
func TimeValue(t time.Time) timetypes.RFC3339 {
	t = t.UTC()
	switch {
	case t.Year() < 1:
		t = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	case t.Year() > 9999:
		t = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	}
	return timetypes.NewRFC3339ValueMust(t.Format(time.RFC3339Nano))
}

// TimeLike is TimeValue, written as known has it if that is the same moment: people write times in their own zone, and the
// database keeps microseconds.
func TimeLike(t *time.Time, known timetypes.RFC3339) timetypes.RFC3339 {
	if t == nil {
		return timetypes.NewRFC3339Null()
	}
	if SameTime(known.ValueString(), t.Format(time.RFC3339Nano)) {
		return known
	}
	return TimeValue(*t)
}

// SameTime tells whether two texts mean the same moment, as far as the database keeps it.
func SameTime(a, b string) bool {
	first, errFirst := time.Parse(time.RFC3339Nano, a)
	second, errSecond := time.Parse(time.RFC3339Nano, b)
	return errFirst == nil && errSecond == nil && first.Sub(second).Abs() < time.Microsecond
}

// Int32Value shows a number of the database.
func Int32Value(n int32) types.Int64 { return types.Int64Value(int64(n)) }

// Int32Of is for attributes whose validators have checked that the number fits.
func Int32Of(value types.Int64) int32 {
	return int32(value.ValueInt64()) //nolint:gosec // Every such attribute has an upper bound of math.MaxInt32.
}

// DurationValue shows a duration of the database, in the way that known has it if that means the same.
func DurationValue(d *time.Duration, known types.String) types.String {
	if d == nil {
		return types.StringNull()
	}
	if SameDuration(known.ValueString(), d.String()) {
		return known
	}
	return types.StringValue(d.String())
}

// SameDuration tells whether two texts mean the same duration.
func SameDuration(a, b string) bool {
	first, errFirst := time.ParseDuration(a)
	second, errSecond := time.ParseDuration(b)
	return errFirst == nil && errSecond == nil && first == second
}

// Duration is for attributes that a validator has checked.
func Duration(value types.String) *time.Duration {
	d, err := time.ParseDuration(value.ValueString())
	if err != nil {
		return nil
	}
	return &d
}

// TextOrNull is for texts whose being empty means that there is none.
func TextOrNull(text string) types.String {
	if text == "" {
		return types.StringNull()
	}
	return types.StringValue(text)
}

// OrDefault is the text, or else the standard.
func OrDefault(value types.String, standard string) string {
	if value.ValueString() == "" {
		return standard
	}
	return value.ValueString()
}

// SetValue is null for nil. The framework fails on an element that comes twice.
func SetValue(elements []string) types.Set {
	if elements == nil {
		return types.SetNull(types.StringType)
	}
	elements = document.Set(elements)
	values := make([]attr.Value, len(elements))
	for i, element := range elements {
		values[i] = types.StringValue(element)
	}
	return types.SetValueMust(types.StringType, values)
}

// StringsOf is nil for null.
func StringsOf(set types.Set) []string {
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

// Each converts a list.
func Each[From, To any](items []From, convert func(From) To) []To {
	converted := make([]To, len(items)) // not nil: an empty list is known, a nil one would be null
	for i, item := range items {
		converted[i] = convert(item)
	}
	return converted
}
