package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
)

var _ datasource.DataSourceWithConfigure = (*tenantIsolationDataSource)(nil)

type tenantIsolationDataSource struct{ configuredDataSource }

func newTenantIsolationDataSource() datasource.DataSource { return &tenantIsolationDataSource{} }

type tenantIsolationModel struct {
	Isolated types.Bool     `tfsdk:"isolated"`
	Summary  types.String   `tfsdk:"summary"`
	Findings []findingModel `tfsdk:"findings"`
}

type findingModel struct {
	Table   types.String `tfsdk:"table"`
	Attack  types.String `tfsdk:"attack"`
	Role    types.String `tfsdk:"role"`
	Stopped types.Bool   `tfsdk:"stopped"`
	Detail  types.String `tfsdk:"detail"`
}

func findingModelFrom(f access.Finding) findingModel {
	return findingModel{
		Table: types.StringValue(f.Table), Attack: types.StringValue(f.Attack), Role: types.StringValue(f.Role),
		Stopped: types.BoolValue(f.Stopped), Detail: types.StringValue(f.Detail),
	}
}

func (d *tenantIsolationDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_tenant_isolation"
}

func (d *tenantIsolationDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Proves that tenants are kept apart, by attacking: in a transaction that is always rolled back, it makes two organizations, " +
			"assumes each kind of role and each role that is bound to an organization, and tries to reach the other organization's rows in every " +
			"table that has an `organization_id`; and it looks in the catalogs for ways around the policies. The provider's role must own the " +
			"database and have made the roles, or be a superuser.",
		Attributes: map[string]schema.Attribute{
			"isolated": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether every attack was stopped."},
			"summary": schema.StringAttribute{
				Computed: true, MarkdownDescription: "How many attacks were tried, and each that was not stopped in one line: for error messages of `check` blocks.",
			},
			"findings": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "What was tried. What was not stopped comes first.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"table": schema.StringAttribute{
						Computed: true, MarkdownDescription: "The table, view, function or other object that was attacked; `*` for all.",
					},
					"attack": schema.StringAttribute{
						Computed: true, MarkdownDescription: "What was tried, such as `read`, `insert`, `re-parent` or `set role`.",
					},
					"role": schema.StringAttribute{
						Computed: true, MarkdownDescription: "The role that was assumed; `any` for what holds for all of them. Of a role that exists only what " +
							"was not stopped is listed one by one.",
					},
					"stopped": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the attack failed for want of a right, or found nothing."},
					"detail":  schema.StringAttribute{Computed: true, MarkdownDescription: "What the server answered, or what was found."},
				}},
			},
		},
	}
}

func (d *tenantIsolationDataSource) Read(ctx context.Context, _ datasource.ReadRequest, resp *datasource.ReadResponse) {
	proof, err := d.access.ProveIsolation(ctx)
	if err != nil {
		addError(&resp.Diagnostics, "prove", "tenant isolation", "", err)
		return
	}
	lines := []string{fmt.Sprintf("%d attacks were tried; what was not stopped:", proof.Attempts)}
	for _, f := range proof.Findings {
		if !f.Stopped {
			lines = append(lines, fmt.Sprintf("- %s, %s, as %s: %s", f.Table, f.Attack, f.Role, f.Detail))
		}
	}
	if proof.Isolated {
		lines = []string{fmt.Sprintf("%d attacks were tried, and all were stopped.", proof.Attempts)}
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, tenantIsolationModel{
		Isolated: types.BoolValue(proof.Isolated), Summary: types.StringValue(strings.Join(lines, "\n")),
		Findings: each(proof.Findings, findingModelFrom),
	})...)
}
