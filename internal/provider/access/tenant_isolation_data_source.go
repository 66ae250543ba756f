package access

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

var _ datasource.DataSourceWithConfigure = (*tenantIsolationDataSource)(nil)

type tenantIsolationDataSource struct{ tf.DataSource[backend] }

func newTenantIsolationDataSource() datasource.DataSource { return &tenantIsolationDataSource{} }

type tenantIsolationModel struct {
	Isolated types.Bool     `tfsdk:"isolated"`
	Summary  types.String   `tfsdk:"summary"`
	Findings []findingModel `tfsdk:"findings"`
	// KnownChannels stand apart, since nothing can be done about them.
	KnownChannels []knownChannelModel `tfsdk:"known_channels"`
}

type knownChannelModel struct {
	Table   types.String `tfsdk:"table"`
	Channel types.String `tfsdk:"channel"`
	Detail  types.String `tfsdk:"detail"`
}

func knownChannelModelFrom(f access.Finding) knownChannelModel {
	return knownChannelModel{Table: types.StringValue(f.Table), Channel: types.StringValue(f.Attack), Detail: types.StringValue(f.Detail)}
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
		MarkdownDescription: "Proves that tenants are kept apart, by attacking: in a transaction that is always rolled back, it makes " +
			"two organizations, assumes each kind of role and one of each class of roles that are bound to an organization and alike " +
			"(the same attributes, memberships, settings and grants), and tries to reach the other organization's rows in every table " +
			"that has an `organization_id`; it looks in the catalogs for ways around the policies; and it tries that each kind of " +
			"role can do what it is for, since a database in which tenants can do nothing is not isolated but broken. The provider's " +
			"role must own the database and have made the roles, or be a superuser.",
		Attributes: map[string]schema.Attribute{
			"isolated": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether every attack was stopped, and every kind " +
				"of role can do what it is for."},
			"summary": schema.StringAttribute{
				Computed: true, MarkdownDescription: "How many attacks were tried and what was not stopped, table by table, causes " +
					"with their remedies before what follows from them: for error messages of `check` blocks.",
			},
			"findings": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "What was tried. What was not stopped comes first, and of that the causes.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"table": schema.StringAttribute{
						Computed: true, MarkdownDescription: "The table, view, function or other object that was attacked; `*` for all.",
					},
					"attack": schema.StringAttribute{
						Computed: true, MarkdownDescription: "What was tried, such as `read`, `insert`, `re-parent` or `set role`.",
					},
					"role": schema.StringAttribute{
						Computed: true, MarkdownDescription: "The role that was assumed; `any` for what holds for all of them. Of a " +
							"role that exists only what was not stopped is listed one by one.",
					},
					"stopped": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the attack failed for want of a " +
						"right, or found nothing."},
					"detail": schema.StringAttribute{Computed: true, MarkdownDescription: "What the server answered, or what was " +
						"found, with the statement that mends it."},
				}},
			},
			"known_channels": schema.ListNestedAttribute{
				Computed: true,
				MarkdownDescription: "What a tenant can find out although every attack was stopped, because PostgreSQL or the " +
					"platform's schema makes it unavoidable, such as whether anybody signs in by an e-mail address. They do not count " +
					"against `isolated`.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"table": schema.StringAttribute{Computed: true, MarkdownDescription: "The table, or `*` for all."},
					"channel": schema.StringAttribute{Computed: true, MarkdownDescription: "By what a tenant finds out, such as `key " +
						"users_email_key`."},
					"detail": schema.StringAttribute{Computed: true, MarkdownDescription: "What a tenant can find out."},
				}},
			},
		},
	}
}

func (d *tenantIsolationDataSource) Read(ctx context.Context, _ datasource.ReadRequest, resp *datasource.ReadResponse) {
	proof, err := d.Backend.writable.ProveIsolation(ctx)
	if err != nil {
		tf.AddError(&resp.Diagnostics, "prove", "tenant isolation", "", err)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, tenantIsolationModel{
		Isolated: types.BoolValue(proof.Isolated), Summary: types.StringValue(proof.Summary()),
		Findings: tf.Each(proof.Findings, findingModelFrom), KnownChannels: tf.Each(proof.KnownChannels, knownChannelModelFrom),
	})...)
}
