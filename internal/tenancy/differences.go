package tenancy

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/document"
)

// JSON is a JSON document as text. Two documents are the same when they mean the same, see [document.SameJSON].
type JSON string

// Tags are a set of texts, which is stored as a JSON array.
type Tags []string

// UnmarshalJSON reads the document that is stored. Others may have stored any: see [document.Strings].
func (t *Tags) UnmarshalJSON(stored []byte) error {
	var text *string
	if err := json.Unmarshal(stored, &text); err != nil || text == nil {
		return err
	}
	*t = document.Strings(*text)
	return nil
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
		return ok && (a == b || a != nil && b != nil && document.SameJSON(string(*a), string(*b)))
	case JSON:
		b, ok := b.(JSON)
		return ok && document.SameJSON(string(a), string(b))
	case *string:
		b, ok := b.(*string)
		return ok && (a == b || a != nil && b != nil && document.SameText(*a, *b))
	case string:
		b, ok := b.(string)
		return ok && document.SameText(a, b)
	case Tags:
		b, ok := b.(Tags)
		return ok && (a == nil) == (b == nil) && document.SameSet(a, b)
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
