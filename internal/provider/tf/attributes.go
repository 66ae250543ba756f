package tf

import (
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	datasourceschema "github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/document"
)

// RequiredString is an argument that must be given.
func RequiredString(description string, validators ...validator.String) schema.StringAttribute {
	attribute := OptionalString(description, validators...)
	attribute.Optional, attribute.Required = false, true
	return attribute
}

// OptionalString is an argument that may be left out.
func OptionalString(description string, validators ...validator.String) schema.StringAttribute {
	return schema.StringAttribute{Optional: true, Validators: append(slices.Clip(validators), Storable), MarkdownDescription: description}
}

// RequiredEnum is one of some values, which its description names.
func RequiredEnum(description string, values ...string) schema.StringAttribute {
	return RequiredString(description+" One of "+Alternatives(values)+".", stringvalidator.OneOf(values...))
}

// OptionalEnum is one of some values, of which one is the default.
func OptionalEnum(description, standard string, values ...string) schema.StringAttribute {
	return schema.StringAttribute{
		Optional: true, Computed: true, Default: stringdefault.StaticString(standard),
		Validators:          []validator.String{stringvalidator.OneOf(values...)},
		MarkdownDescription: description + " One of " + Alternatives(values) + ". Default: `" + standard + "`.",
	}
}

// Alternatives writes values as a description does: `a`, `b` or `c`.
func Alternatives(values []string) string {
	last := len(values) - 1
	return "`" + strings.Join(values[:last], "`, `") + "` or `" + values[last] + "`"
}

// OptionalBool is true or false, of which one is the default.
func OptionalBool(description string, standard bool) schema.BoolAttribute {
	text := "false"
	if standard {
		text = "true"
	}
	return schema.BoolAttribute{
		Optional: true, Computed: true, Default: booldefault.StaticBool(standard),
		MarkdownDescription: description + " Default: `" + text + "`.",
	}
}

// OptionalInt is a number of a PostgreSQL integer with a minimum and a default, which its description tells.
func OptionalInt(description string, standard, minimum int64) schema.Int64Attribute {
	within := AtLeast(minimum)
	return schema.Int64Attribute{
		Optional: true, Computed: true, Default: int64default.StaticInt64(standard),
		Validators:          []validator.Int64{ofIntegers{within}, numberRule{within}},
		MarkdownDescription: description,
	}
}

// OptionalJSON is a JSON document.
func OptionalJSON(description string) schema.StringAttribute {
	return optionalJSON(description, jsonContainer)
}

func optionalJSON(description string, allowed check) schema.StringAttribute {
	return schema.StringAttribute{
		Optional: true, CustomType: JSONType{}, Validators: []validator.String{wellFormed(allowed), Rule{allowed}},
		PlanModifiers:       []planmodifier.String{SameMeaning(document.SameJSON)},
		MarkdownDescription: description + " A JSON object or array as text; texts that mean the same are the same.",
	}
}

// RequiredJSON is a JSON document that must be given, if only as JSON's null.
func RequiredJSON(description string) schema.StringAttribute {
	attribute := optionalJSON(description, jsonContainerOrNull)
	attribute.Optional, attribute.Required = false, true
	return attribute
}

// OptionalSet is a set of texts.
func OptionalSet(description string) schema.SetAttribute {
	return schema.SetAttribute{
		Optional: true, ElementType: types.StringType, MarkdownDescription: description,
		Validators: []validator.Set{setvalidator.NoNullValues(), setRule{setvalidator.ValueStringsAre(Storable)}},
	}
}

// Readable turns a resource's attributes into those of a data source, all computed but for the arguments, which are
// optional and computed: what identifies the object.
func Readable(attributes map[string]schema.Attribute, arguments ...string) map[string]datasourceschema.Attribute {
	read := make(map[string]datasourceschema.Attribute, len(attributes))
	isArgument := make(map[string]bool, len(arguments))
	for _, name := range arguments {
		isArgument[name] = true
	}
	// Defaults are for writing; a data source shows what is.
	described := func(description string) string {
		before, _, _ := strings.Cut(description, " Default: ")
		return before
	}
	for name, attribute := range attributes {
		optional := isArgument[name]
		switch a := attribute.(type) {
		case schema.StringAttribute:
			converted := datasourceschema.StringAttribute{
				Optional: optional, Computed: true, CustomType: a.CustomType, MarkdownDescription: described(a.MarkdownDescription),
			}
			switch {
			case name == "id":
				converted.Validators = []validator.String{UUIDFormat}
			case optional:
				converted.Validators = a.Validators
			}
			read[name] = converted
		case schema.BoolAttribute:
			read[name] = datasourceschema.BoolAttribute{Computed: true, MarkdownDescription: described(a.MarkdownDescription)}
		case schema.Int64Attribute:
			read[name] = datasourceschema.Int64Attribute{Computed: true, MarkdownDescription: described(a.MarkdownDescription)}
		case schema.SetAttribute:
			read[name] = datasourceschema.SetAttribute{
				Computed: true, ElementType: a.ElementType, MarkdownDescription: described(a.MarkdownDescription),
			}
		case schema.Float64Attribute:
			read[name] = datasourceschema.Float64Attribute{Computed: true, MarkdownDescription: described(a.MarkdownDescription)}
		case schema.ListAttribute:
			read[name] = datasourceschema.ListAttribute{
				Computed: true, ElementType: a.ElementType, MarkdownDescription: described(a.MarkdownDescription),
			}
		case schema.SingleNestedAttribute:
			read[name] = datasourceschema.SingleNestedAttribute{
				Computed: true, Attributes: Readable(a.Attributes), MarkdownDescription: described(a.MarkdownDescription),
			}
		case schema.ListNestedAttribute:
			read[name] = ListOf(described(a.MarkdownDescription), a.NestedObject.Attributes)
		}
	}
	return read
}
