package provider

import (
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-jsontypes/jsontypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	datasourceschema "github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func requiredString(description string, validators ...validator.String) schema.StringAttribute {
	return schema.StringAttribute{Required: true, Validators: validators, MarkdownDescription: description}
}

func optionalString(description string, validators ...validator.String) schema.StringAttribute {
	return schema.StringAttribute{Optional: true, Validators: validators, MarkdownDescription: description}
}

// requiredEnum and optionalEnum name the allowed values in the description themselves.
func requiredEnum(description string, values ...string) schema.StringAttribute {
	return requiredString(description+" One of "+list(values)+".", stringvalidator.OneOf(values...))
}

func optionalEnum(description, standard string, values ...string) schema.StringAttribute {
	return schema.StringAttribute{
		Optional: true, Computed: true, Default: stringdefault.StaticString(standard),
		Validators:          []validator.String{stringvalidator.OneOf(values...)},
		MarkdownDescription: description + " One of " + list(values) + ". Default: `" + standard + "`.",
	}
}

func list(values []string) string {
	last := len(values) - 1
	return "`" + strings.Join(values[:last], "`, `") + "` or `" + values[last] + "`"
}

func optionalBool(description string, standard bool) schema.BoolAttribute {
	text := "false"
	if standard {
		text = "true"
	}
	return schema.BoolAttribute{
		Optional: true, Computed: true, Default: booldefault.StaticBool(standard),
		MarkdownDescription: description + " Default: `" + text + "`.",
	}
}

func optionalInt(description string, standard int64, validators []validator.Int64) schema.Int64Attribute {
	return schema.Int64Attribute{
		Optional: true, Computed: true, Default: int64default.StaticInt64(standard),
		Validators: validators, MarkdownDescription: description,
	}
}

func optionalJSON(description string) schema.StringAttribute {
	return schema.StringAttribute{
		Optional: true, CustomType: jsontypes.NormalizedType{}, Validators: []validator.String{jsonContainer},
		PlanModifiers:       []planmodifier.String{sameMeaning(sameJSON)},
		MarkdownDescription: description + " A JSON object or array as text; texts that mean the same are the same.",
	}
}

func optionalSet(description string) schema.SetAttribute {
	return schema.SetAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: description}
}

// readable turns a resource's attributes into those of a data source, all computed but for the arguments, which are
// optional and computed: what identifies the object.
func readable(attributes map[string]schema.Attribute, arguments ...string) map[string]datasourceschema.Attribute {
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
				converted.Validators = []validator.String{uuidFormat}
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
		}
	}
	return read
}
