package access

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

var _ datasource.DataSourceWithConfigure = (*roleDataSource)(nil)

type roleDataSource struct{ tf.DataSource[backend] }

func newRoleDataSource() datasource.DataSource { return &roleDataSource{} }

func (d *roleDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_role"
}

func (d *roleDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	attributes := tf.Readable(roleAttributes())
	attributes["name"] = schema.StringAttribute{
		Required: true, MarkdownDescription: "Name of the role.",
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "Reads one role by its `name`. It is an error when there is none. A role that Terraform does not manage " +
			"has no `access` unless it is bound in this database.",
		Attributes: attributes,
	}
}

func (d *roleDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model roleModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &model)...); resp.Diagnostics.HasError() {
		return
	}
	role, err := d.Backend.Role(ctx, model.Name.ValueString())
	if err != nil {
		tf.AddLookupError(&resp.Diagnostics, "role", err, tf.By("name", model.Name))
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, roleModelFrom(role, model))...)
}
