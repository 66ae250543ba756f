package tf

import (
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	resourceschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// Reader is a data source for one object, or for a list of them.
type Reader[Backend, Model any] struct {
	DataSource[Backend]
	Type        string // without the provider's name: "agent_config"
	Noun        string // of the object that is read; default: the type, with spaces
	Description string
	Attributes  map[string]schema.Attribute
	Validators  []datasource.ConfigValidator
	By          []string // the arguments that the object is looked for by, as far as they are set
	Find        func(ctx context.Context, backend *Backend, asked Model) (found Model, err error)
}

// Metadata tells the type.
func (d *Reader[Backend, Model]) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_" + d.Type
}

// Schema tells the attributes.
func (d *Reader[Backend, Model]) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{MarkdownDescription: d.Description, Attributes: d.Attributes}
}

// ConfigValidators tells which arguments go together.
func (d *Reader[Backend, Model]) ConfigValidators(context.Context) []datasource.ConfigValidator {
	return d.Validators
}

// Read reads what was asked for.
func (d *Reader[Backend, Model]) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var asked Model
	if resp.Diagnostics.Append(req.Config.Get(ctx, &asked)...); resp.Diagnostics.HasError() {
		return
	}
	found, err := d.Find(ctx, d.Backend, asked)
	if err == nil {
		resp.Diagnostics.Append(resp.State.Set(ctx, found)...)
		return
	}
	by := make([]lookup, len(d.By))
	for i, attribute := range d.By {
		var value types.String
		resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root(attribute), &value)...)
		by[i] = By(attribute, value)
	}
	noun := d.Noun
	if noun == "" {
		noun = strings.ReplaceAll(d.Type, "_", " ")
	}
	AddLookupError(&resp.Diagnostics, noun, err, by...)
}

// ListOf is a list of objects, each with the attributes that its resource has.
func ListOf(description string, attributes map[string]resourceschema.Attribute) schema.Attribute {
	return schema.ListNestedAttribute{
		Computed: true, MarkdownDescription: description,
		NestedObject: schema.NestedAttributeObject{Attributes: Readable(attributes)},
	}
}
