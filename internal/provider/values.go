package provider

import (
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// timeValue keeps the microseconds that PostgreSQL stores: updated_at is also how a change by others is noticed. RFC 3339
// has years of four digits; a time outside of them is shown as the first or last that it has.
func timeValue(t time.Time) timetypes.RFC3339 {
	t = t.UTC()
	switch {
	case t.Year() < 1:
		t = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	case t.Year() > 9999:
		t = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	}
	return timetypes.NewRFC3339ValueMust(t.Format(time.RFC3339Nano))
}

// timeLike is timeValue, written as known has it if that is the same moment: people write times in their own zone, and the
// database keeps microseconds.
func timeLike(t *time.Time, known timetypes.RFC3339) timetypes.RFC3339 {
	if t == nil {
		return timetypes.NewRFC3339Null()
	}
	if sameTime(known.ValueString(), t.Format(time.RFC3339Nano)) {
		return known
	}
	return timeValue(*t)
}

func sameTime(a, b string) bool {
	first, errFirst := time.Parse(time.RFC3339Nano, a)
	second, errSecond := time.Parse(time.RFC3339Nano, b)
	return errFirst == nil && errSecond == nil && first.Sub(second).Abs() < time.Microsecond
}

func int32Value(n int32) types.Int64 { return types.Int64Value(int64(n)) }

// int32Of is for attributes whose validators have checked that the number fits.
func int32Of(value types.Int64) int32 {
	return int32(value.ValueInt64()) //nolint:gosec // Every such attribute has an upper bound of math.MaxInt32.
}

// durationValue shows a duration of the database, in the way that known has it if that means the same.
func durationValue(d *time.Duration, known types.String) types.String {
	if d == nil {
		return types.StringNull()
	}
	if sameDuration(known.ValueString(), d.String()) {
		return known
	}
	return types.StringValue(d.String())
}

func sameDuration(a, b string) bool {
	first, errFirst := time.ParseDuration(a)
	second, errSecond := time.ParseDuration(b)
	return errFirst == nil && errSecond == nil && first == second
}

// duration is for attributes that a validator has checked.
func duration(value types.String) *time.Duration {
	d, err := time.ParseDuration(value.ValueString())
	if err != nil {
		return nil
	}
	return &d
}

// textOrNull is for texts whose being empty means that there is none.
func textOrNull(text string) types.String {
	if text == "" {
		return types.StringNull()
	}
	return types.StringValue(text)
}

func orDefault(value types.String, standard string) string {
	if value.ValueString() == "" {
		return standard
	}
	return value.ValueString()
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
