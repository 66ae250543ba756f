package tf

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/document"
)

var (
	_ basetypes.StringTypable                    = JSONType{}
	_ basetypes.StringValuableWithSemanticEquals = JSON{}
)

// JSONType is the type of attributes that hold a JSON document. It refuses nothing, so that whatever is stored can be read; what a
// configuration may hold is up to validators.
type JSONType struct{ basetypes.StringType }

// Equal compares types.
func (t JSONType) Equal(other attr.Type) bool {
	_, ok := other.(JSONType)
	return ok
}

func (JSONType) String() string { return "JSON" }

// ValueType tells which values are of the type.
func (JSONType) ValueType(context.Context) attr.Value { return JSON{} }

// ValueFromString makes a value.
func (JSONType) ValueFromString(_ context.Context, text basetypes.StringValue) (basetypes.StringValuable, diag.Diagnostics) {
	return JSON{text}, nil
}

// ValueFromTerraform makes a value of what Terraform sends.
func (t JSONType) ValueFromTerraform(ctx context.Context, sent tftypes.Value) (attr.Value, error) {
	value, err := t.StringType.ValueFromTerraform(ctx, sent)
	text, ok := value.(basetypes.StringValue)
	if err != nil || !ok {
		return nil, err
	}
	return JSON{text}, nil
}

// JSON is a JSON document as text. Texts that mean the same are the same.
type JSON struct{ basetypes.StringValue }

// JSONPointerValue is null for nil.
func JSONPointerValue(text *string) JSON { return JSON{basetypes.NewStringPointerValue(text)} }

// Type tells the type.
func (JSON) Type(context.Context) attr.Type { return JSONType{} }

// Equal compares letter by letter.
func (j JSON) Equal(other attr.Value) bool {
	o, ok := other.(JSON)
	return ok && j.StringValue.Equal(o.StringValue)
}

// StringSemanticEquals compares by meaning what the provider returns with what Terraform knows.
func (j JSON) StringSemanticEquals(_ context.Context, other basetypes.StringValuable) (bool, diag.Diagnostics) {
	o, ok := other.(JSON)
	return ok && document.SameJSON(j.ValueString(), o.ValueString()), nil
}

func wrongJSON(value, begin string) string {
	if wrong := document.Wrong(value); wrong != "" {
		return wrong
	}
	if !strings.ContainsAny(strings.TrimLeft(value, " \t\r\n")[:1], begin) {
		return "holds something else"
	}
	return ""
}
