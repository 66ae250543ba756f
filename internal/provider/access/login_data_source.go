package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

var _ datasource.DataSourceWithConfigure = (*loginDataSource)(nil)

type loginDataSource struct{ tf.DataSource[backend] }

func newLoginDataSource() datasource.DataSource { return &loginDataSource{} }

type loginModel struct {
	Role           types.String `tfsdk:"role"`
	Host           types.String `tfsdk:"host"`
	Port           types.Int64  `tfsdk:"port"`
	Database       types.String `tfsdk:"database"`
	SSLRootCert    types.String `tfsdk:"sslrootcert"`
	SSLCert        types.String `tfsdk:"sslcert"`
	SSLKey         types.String `tfsdk:"sslkey"`
	LoggedIn       types.Bool   `tfsdk:"logged_in"`
	Error          types.String `tfsdk:"error"`
	SessionUser    types.String `tfsdk:"session_user"`
	TLSVersion     types.String `tfsdk:"tls_version"`
	OrganizationID types.String `tfsdk:"organization_id"`
	Access         types.String `tfsdk:"access"`
	AllTenants     types.Bool   `tfsdk:"all_tenants"`
}

func (d *loginDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_login"
}

func (d *loginDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	like := "Default: that of the provider."
	resp.Schema = schema.Schema{
		MarkdownDescription: "Proves that a role can log in with a certificate, or that it cannot: a real TLS handshake " +
			"(`verify-full`) and login to a database or to PgBouncer, each time it is read. A login that is refused is a result, " +
			"`logged_in = false`, and no error; a `check` block or a postcondition makes one of it.",
		Attributes: map[string]schema.Attribute{
			"role": schema.StringAttribute{
				Required: true, Validators: []validator.String{tf.Identity}, MarkdownDescription: "Role to log in as.",
			},
			"host": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Host name or address of the server or of PgBouncer, which is reached over " +
					"the network of this machine even if the provider has `kubernetes`. " + like,
			},
			"port": schema.Int64Attribute{
				Optional: true, Validators: []validator.Int64{int64validator.Between(1, 65535)},
				MarkdownDescription: "TCP port, 1 to 65535. " + like,
			},
			"database": schema.StringAttribute{Optional: true, MarkdownDescription: "Database name. " + like},
			"sslrootcert": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Certificate authorities that may sign the server's certificate: PEM text, the " +
					"path of a PEM file, or `system`. " + like,
			},
			"sslcert": schema.StringAttribute{
				Required: true, MarkdownDescription: "Client certificate, with its chain: PEM text or the path of a PEM file.",
			},
			"sslkey": schema.StringAttribute{
				Required: true, Validators: []validator.String{tf.KeyFile},
				MarkdownDescription: "Path of the PEM file with the private key of `sslcert`. Only a path, because arguments are " +
					"stored in the state.",
			},
			"logged_in": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the login succeeded."},
			"error":     schema.StringAttribute{Computed: true, MarkdownDescription: "Why the login failed; null when it succeeded."},
			"session_user": schema.StringAttribute{
				Computed: true, MarkdownDescription: "Who the server says has logged in, which is what row-level policies go by.",
			},
			"tls_version": schema.StringAttribute{Computed: true, MarkdownDescription: "Version of TLS that was spoken, such as `TLS " +
				"1.3`."},
			"organization_id": schema.StringAttribute{
				Computed: true, MarkdownDescription: "The tenant that the session acts for; null when it acts for none or for all.",
			},
			"access": schema.StringAttribute{Computed: true, MarkdownDescription: "The access of the role in that database; null " +
				"when it has none."},
			"all_tenants": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the session sees the rows of all tenants."},
		},
	}
}

func (d *loginDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model loginModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &model)...); resp.Diagnostics.HasError() {
		return
	}
	config, attributes := d.loginConfig(model)
	login, err := access.ProveLogin(ctx, config)
	var wrong *postgres.ConfigError
	if errors.As(err, &wrong) && slices.Contains(attributes, wrong.Attribute) {
		resp.Diagnostics.AddAttributeError(path.Root(wrong.Attribute), "Cannot prove login",
			fmt.Sprintf("%s %s.", wrong.Attribute, wrong.Problem))
		return
	}
	if err != nil {
		tf.AddError(&resp.Diagnostics, "prove", "login", model.Role.ValueString(), err)
		return
	}
	model.LoggedIn, model.AllTenants = types.BoolValue(login.LoggedIn), types.BoolValue(login.AllTenants)
	model.Error, model.SessionUser, model.TLSVersion = tf.TextOrNull(login.Problem), tf.TextOrNull(login.SessionUser),
		tf.TextOrNull(login.TLSVersion)
	model.OrganizationID, model.Access = types.StringPointerValue(login.OrganizationID), types.StringPointerValue(login.Access)
	resp.Diagnostics.Append(resp.State.Set(ctx, model)...)
}

// loginConfig is the provider's connection with what the data source says otherwise, and the names of that. What is not
// known of the provider's stays unknown unless it is replaced.
func (d *loginDataSource) loginConfig(m loginModel) (config postgres.Config, replaced []string) {
	config = d.Backend.connection
	config.Password, config.SSLMode, config.ClientCertificate = "", "verify-full", nil
	config.Username, config.SSLCert, config.SSLKey = m.Role.ValueString(), m.SSLCert.ValueString(), m.SSLKey.ValueString()
	replaced = []string{"username", "password", "sslmode", "sslcert", "sslkey"}
	for _, text := range []struct {
		name  string
		value types.String
		field *string
	}{
		{"host", m.Host, &config.Host}, {"database", m.Database, &config.Database}, {"sslrootcert", m.SSLRootCert, &config.SSLRootCert},
	} {
		if !text.value.IsNull() {
			*text.field = text.value.ValueString()
			replaced = append(replaced, text.name)
		}
	}
	if !m.Port.IsNull() {
		config.Port = int(m.Port.ValueInt64())
		replaced = append(replaced, "port")
	}
	direct := !m.Host.IsNull()
	if direct {
		config.Way = nil
	}
	config.Unknown = slices.DeleteFunc(slices.Clone(config.Unknown), func(name string) bool {
		return slices.Contains(replaced, name) || direct && strings.HasPrefix(name, "kubernetes")
	})
	return config, replaced
}
