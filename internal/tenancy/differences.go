package tenancy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
)

// JSON is a JSON document as text. Two documents are the same when they mean the same (RFC 8259: white space and the
// order of an object's members do not matter).
type JSON string

func (j JSON) equal(other JSON) bool {
	a, errA := j.decode()
	b, errB := other.decode()
	return errA == nil && errB == nil && reflect.DeepEqual(a, b)
}

func (j JSON) decode() (value any, err error) {
	decoder := json.NewDecoder(bytes.NewBufferString(string(j)))
	decoder.UseNumber() // 12345678901234567890 must not become a float
	err = decoder.Decode(&value)
	return value, err
}

// differences lists the attributes in which two rows of one table differ, in the order of the struct's fields. What the
// database computes, which is embedded, does not count.
func differences[T any](expected, actual T) []Change {
	var changes []Change
	a, b := reflect.ValueOf(expected), reflect.ValueOf(actual)
	for i := range a.NumField() {
		field := a.Type().Field(i)
		if field.Anonymous {
			continue
		}
		want, have := a.Field(i).Interface(), b.Field(i).Interface()
		if !same(want, have) {
			changes = append(changes, Change{field.Tag.Get("db"), show(want), show(have)})
		}
	}
	return changes
}

func same(a, b any) bool {
	switch a := a.(type) {
	case *JSON:
		b, ok := b.(*JSON)
		if a == nil || b == nil {
			return ok && a == b
		}
		return *a == *b || a.equal(*b)
	case JSON:
		b, ok := b.(JSON)
		return ok && (a == b || a.equal(b))
	case []string: // a set
		b, ok := b.([]string)
		return ok && (a == nil) == (b == nil) && slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
	}
	return reflect.DeepEqual(a, b)
}

func show(value any) string {
	v := reflect.ValueOf(value)
	if (v.Kind() == reflect.Pointer || v.Kind() == reflect.Slice) && v.IsNil() {
		return "null"
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if _, isJSON := v.Interface().(JSON); v.Kind() == reflect.String && !isJSON {
		return fmt.Sprintf("%q", v.String())
	}
	if v.Kind() == reflect.Slice {
		return fmt.Sprintf("%q", v.Interface())
	}
	return fmt.Sprint(v.Interface())
}
