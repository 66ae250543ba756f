package access

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

func newRoleDataSource() datasource.DataSource {
	attributes := tf.Readable(roleAttributes())
	attributes["name"] = schema.StringAttribute{Required: true, MarkdownDescription: "Name of the role."}
	return &tf.Reader[backend, roleModel]{
		Type: "role",
		Description: "Reads one role by its `name`. It is an error when there is none. A role that Terraform does not manage " +
			"has no `access` unless it is bound in this database.",
		Attributes: attributes,
		By:         []string{"name"},
		Find: func(ctx context.Context, store *backend, asked roleModel) (roleModel, error) {
			found, err := store.Role(ctx, asked.Name.ValueString())
			return roleModelFrom(found, asked), err
		},
	}
}
