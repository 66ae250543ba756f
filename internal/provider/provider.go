// Package provider translates between Terraform and the domain packages. It is the only package that knows
// terraform-plugin-framework; the work is done elsewhere.
package provider

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/portforward"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/cluster"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/pki"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tenancy"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

var (
	_ provider.ProviderWithEphemeralResources = (*brownieProvider)(nil)
	_ provider.ProviderWithFunctions          = (*brownieProvider)(nil)
)

type brownieProvider struct{ version string }

// New returns a function that makes the provider; version is shown to the database server.
func New(version string) func() provider.Provider {
	return func() provider.Provider { return &brownieProvider{version: version} }
}

type providerModel struct {
	Host           types.String `tfsdk:"host"`
	Port           types.Int64  `tfsdk:"port"`
	Database       types.String `tfsdk:"database"`
	Username       types.String `tfsdk:"username"`
	Password       types.String `tfsdk:"password"`
	SSLMode        types.String `tfsdk:"sslmode"`
	SSLRootCert    types.String `tfsdk:"sslrootcert"`
	SSLCert        types.String `tfsdk:"sslcert"`
	SSLKey         types.String `tfsdk:"sslkey"`
	ConnectTimeout types.String `tfsdk:"connect_timeout"`
	MaxConnections types.Int64  `tfsdk:"max_connections"`
	TargetSession  types.String `tfsdk:"target_session_attrs"`
	Kubernetes     types.Object `tfsdk:"kubernetes"`
	Vault          types.Object `tfsdk:"vault"`
}

func (p *brownieProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "brownie"
	resp.Version = p.version
}

func (p *brownieProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Manages the metadata database of the Brownie incident assistant on PostgreSQL 16 or newer: " +
			"its schema, and organizations as tenants with their teams, users and configurations.",
		Attributes: map[string]schema.Attribute{
			"host": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Host name or address of the server, or the absolute path of a unix socket's folder. Of several, " +
					"separated by commas, the one that accepts writes is used. Default: environment variable `PGHOST`; with " +
					"`kubernetes`, `<service>.<namespace>.svc`. There is no fallback to localhost.",
			},
			"port": schema.Int64Attribute{
				Optional:            true,
				Validators:          []validator.Int64{int64validator.Between(1, 65535)},
				MarkdownDescription: "TCP port, 1 to 65535, of all hosts. Default: `PGPORT`, else `5432`.",
			},
			"database": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Database name. Default: `PGDATABASE`, else `" + postgres.DefaultDatabase + "`.",
			},
			"username": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Login role; with a client certificate, its common name. Default: `PGUSER`, else " +
					"`" + postgres.DefaultUsername + "`.",
			},
			"password": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "Password, for bootstrapping only: log in with a client certificate otherwise. Default: " +
					"`PGPASSWORD`, else that of a password file (`PGPASSFILE` or `~/.pgpass`), if nobody else may read it.",
			},
			"sslmode": schema.StringAttribute{
				Optional:   true,
				Validators: []validator.String{stringvalidator.OneOf(postgres.SSLModes...)},
				MarkdownDescription: "TLS mode with libpq's meaning (PostgreSQL manual, section 32.19): `disable`, `allow`, `prefer`, " +
					"`require`, `verify-ca` or `verify-full`. Default: `PGSSLMODE`, else `verify-full`, except on a unix socket, " +
					"which has no TLS.",
			},
			"sslrootcert": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Certificate authorities that may sign the server's certificate: PEM text, the path of a PEM " +
					"file, or `system`. " +
					"Default: `PGSSLROOTCERT`, else those of the operating system.",
			},
			"sslcert": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Client certificate, with its chain: PEM text or the path of a PEM file. Needs `sslkey`. " +
					"Default: `PGSSLCERT`.",
			},
			"sslkey": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "Unencrypted private key of `sslcert`: PEM text or the path of a PEM file. Default: `PGSSLKEY`.",
			},
			"connect_timeout": schema.StringAttribute{
				Optional: true, Validators: []validator.String{tf.PositiveDuration},
				MarkdownDescription: "How long to try to connect to one host, as a duration with a unit, such as `\"10s\"`. " +
					"Default: `PGCONNECT_TIMEOUT` in whole seconds, else `10s`.",
			},
			"max_connections": schema.Int64Attribute{
				Optional:            true,
				Validators:          []validator.Int64{int64validator.Between(1, 1000)},
				MarkdownDescription: "Upper bound on the connections that one provider process opens, 1 to 1000. Default: `4`.",
			},
			"target_session_attrs": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf(postgres.TargetSessionAttrs...)},
				MarkdownDescription: "Which server data sources read from, with libpq's meaning (PostgreSQL manual, section 34.1.2): " +
					"`read-write`, the one that accepts writes; `any`, the first host that answers; `prefer-standby`, a standby if there " +
					"is one. What a standby says may be some moments old. Resources, and `brownie_tenant_isolation`, always use the " +
					"server that accepts writes. A role that could become the owner of schema `brownie` without being it, such as a " +
					"superuser, does not read from standbys. Needs `max_connections` of 2 or more. Default: `read-write`.",
			},
			"kubernetes": kubernetesAttribute(),
			"vault":      pki.VaultAttribute(),
		},
	}
}

func (p *brownieProvider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var model providerModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &model)...); resp.Diagnostics.HasError() {
		return
	}
	vault, login := pki.Configure(ctx, model.Vault, &resp.Diagnostics)
	config := p.config(ctx, model, &resp.Diagnostics)
	if login != nil {
		config.ClientCertificate = login.Get
		if model.Username.IsNull() && os.Getenv("PGUSER") == "" {
			config.Username = login.CommonName()
		}
		if !model.SSLCert.IsNull() || !model.SSLKey.IsNull() {
			resp.Diagnostics.AddAttributeError(path.Root("sslcert"), "Cannot configure the provider",
				"sslcert and sslkey cannot be combined with vault.client_certificate, which takes their place: remove one of them.")
		}
	}
	if resp.Diagnostics.HasError() {
		return
	}
	if len(config.Unknown) > 0 && req.ClientCapabilities.DeferralAllowed {
		resp.Deferred = &provider.Deferred{Reason: provider.DeferredReasonProviderConfigUnknown}
		return
	}
	db := postgres.New(config) //nolint:contextcheck // It connects later, for requests with contexts of their own.
	walk := &tf.Walk{}
	vaultBackend := pki.Backend(vault, access.CanLogIn(db, config, walk))
	backends := func(readable *postgres.DB) tf.Backends {
		tenants := tenancy.Backend(readable, walk)
		return tf.Backends{
			tenants, tenancy.Plans(tenants, walk), access.Backend(db, readable, config, walk), vaultBackend,
			migrate.Backend(readable, p.version), cluster.Backend(db), backup.Backend(readable),
		}
	}
	resp.ResourceData = backends(db)
	resp.DataSourceData, resp.EphemeralResourceData = backends(db.Reader()), resp.ResourceData //nolint:contextcheck // As above.
}

// config translates the provider block. What is unknown is listed as such, so that a plan that only creates succeeds
// and a read says what is missing.
func (p *brownieProvider) config(ctx context.Context, m providerModel, diags *diag.Diagnostics) postgres.Config {
	config := postgres.Config{
		Host: m.Host.ValueString(), Port: int(m.Port.ValueInt64()),
		Database: m.Database.ValueString(), Username: m.Username.ValueString(), Password: m.Password.ValueString(),
		SSLMode: m.SSLMode.ValueString(), SSLRootCert: m.SSLRootCert.ValueString(),
		SSLCert: m.SSLCert.ValueString(), SSLKey: m.SSLKey.ValueString(),
		MaxConnections: int(m.MaxConnections.ValueInt64()), TargetSessionAttrs: m.TargetSession.ValueString(),
		ApplicationName: "terraform-provider-brownie/" + p.version,
	}
	for _, attribute := range []struct {
		name  string
		value attr.Value
	}{
		{"host", m.Host},
		{"port", m.Port},
		{"database", m.Database},
		{"username", m.Username},
		{"password", m.Password},
		{"sslmode", m.SSLMode},
		{"sslrootcert", m.SSLRootCert},
		{"sslcert", m.SSLCert},
		{"sslkey", m.SSLKey},
		{"connect_timeout", m.ConnectTimeout},
		{"max_connections", m.MaxConnections},
		{"target_session_attrs", m.TargetSession},
	} {
		if attribute.value.IsUnknown() {
			config.Unknown = append(config.Unknown, attribute.name)
		}
	}
	if !m.ConnectTimeout.IsNull() && !m.ConnectTimeout.IsUnknown() {
		config.ConnectTimeout, _ = time.ParseDuration(m.ConnectTimeout.ValueString()) // Its validator has checked it.
	}
	if !m.Kubernetes.IsNull() {
		forward, unknown := kubernetesConfig(ctx, m.Kubernetes, diags)
		forward.UserAgent = config.ApplicationName
		config.Way, config.Unknown = portforward.New(forward), append(config.Unknown, unknown...)
		if m.Host.IsNull() {
			config.Host = forward.ServerName() // PGHOST is about another way.
		}
	}
	config, err := config.WithEnvironment(os.Getenv)
	if err == nil {
		config = config.WithDefaults()
		err = config.Validate()
	}
	var wrong *postgres.ConfigError
	switch {
	case !errors.As(err, &wrong):
	case wrong.Attribute == "":
		diags.AddError("Cannot configure the provider", wrong.Error()+".")
	default:
		diags.AddAttributeError(path.Root(wrong.Attribute), "Cannot configure the provider", wrong.Error()+".")
	}
	return config
}

func (p *brownieProvider) Resources(context.Context) []func() resource.Resource {
	return slices.Concat(migrate.Resources(), tenancy.Resources(), access.Resources(), pki.Resources(), backup.Resources())
}

func (p *brownieProvider) DataSources(context.Context) []func() datasource.DataSource {
	return slices.Concat(migrate.DataSources(), tenancy.DataSources(), access.DataSources(), cluster.DataSources(), pki.DataSources(),
		backup.DataSources())
}

func (p *brownieProvider) EphemeralResources(context.Context) []func() ephemeral.EphemeralResource {
	return pki.EphemeralResources()
}

func (p *brownieProvider) Functions(context.Context) []func() function.Function {
	return backup.Functions()
}

// Close ends what the providers of this process have opened. Terraform waits two seconds for it.
func Close(ctx context.Context) error { return pki.Close(ctx) }
