package provider

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/pki"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

type vaultModel struct {
	Address           types.String           `tfsdk:"address"`
	Token             types.String           `tfsdk:"token"`
	Namespace         types.String           `tfsdk:"namespace"`
	CACert            types.String           `tfsdk:"ca_cert"`
	JWT               *jwtModel              `tfsdk:"jwt"`
	ClientCertificate *loginCertificateModel `tfsdk:"client_certificate"`
}

type jwtModel struct {
	Mount types.String `tfsdk:"mount"`
	Role  types.String `tfsdk:"role"`
	Token types.String `tfsdk:"token"`
}

type loginCertificateModel struct {
	Mount      types.String `tfsdk:"mount"`
	Role       types.String `tfsdk:"role"`
	CommonName types.String `tfsdk:"common_name"`
	TTL        types.String `tfsdk:"ttl"`
}

// workloadToken is the variable that an HCP Terraform run has its signed identity in.
const workloadToken = "TFC_WORKLOAD_IDENTITY_TOKEN" //nolint:gosec // It is the name of a variable.

const defaultPKIMount = "pki"

func vaultAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Vault, or what talks like it (OpenBao), for client certificates. Nothing is asked of it before a resource needs it. " +
			"Without this block Vault's own environment variables decide.",
		Attributes: map[string]schema.Attribute{
			"address": schema.StringAttribute{
				Optional: true, MarkdownDescription: "URL of the server. Default: `VAULT_ADDR`. There is no fallback to localhost.",
			},
			"token": schema.StringAttribute{
				Optional: true, Sensitive: true, MarkdownDescription: "Token to log in with. Default: `VAULT_TOKEN`, unless `jwt` is set.",
			},
			"namespace": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Namespace of Vault Enterprise or OpenBao. Default: `VAULT_NAMESPACE`.",
			},
			"ca_cert": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Certificate authorities that may sign the server's certificate: PEM text or the path of a PEM file. Default: " +
					"`VAULT_CACERT`, else those of the operating system.",
			},
			"jwt": schema.SingleNestedAttribute{
				Optional: true,
				MarkdownDescription: "Log in with a signed identity, such as that of an HCP Terraform run, so that no secret is stored anywhere. The " +
					"login is renewed while Terraform runs.",
				Attributes: map[string]schema.Attribute{
					"mount": schema.StringAttribute{Optional: true, MarkdownDescription: "Where Vault's JWT method is. Default: `jwt`."},
					"role":  schema.StringAttribute{Required: true, MarkdownDescription: "The method's role."},
					"token": schema.StringAttribute{
						Optional: true, Sensitive: true, MarkdownDescription: "The signed token. Default: `" + workloadToken + "`, which HCP Terraform sets.",
					},
				},
			},
			"client_certificate": schema.SingleNestedAttribute{
				Optional: true,
				MarkdownDescription: "Make the provider's own login certificate for PostgreSQL, in memory only, in place of `sslcert` and `sslkey`. It is " +
					"made anew before it expires, and revoked at the end.",
				Attributes: map[string]schema.Attribute{
					"mount":       schema.StringAttribute{Optional: true, MarkdownDescription: "Mount of the PKI secrets engine. Default: `" + defaultPKIMount + "`."},
					"role":        schema.StringAttribute{Required: true, MarkdownDescription: "The engine's role."},
					"common_name": schema.StringAttribute{Required: true, MarkdownDescription: "Common name, which is the login role. It is the default of `username`."},
					"ttl": schema.StringAttribute{
						Optional: true, Validators: []validator.String{positiveDuration},
						MarkdownDescription: "How long each certificate holds, as a duration with a unit. Default: `\"15m\"`.",
					},
				},
			},
		},
	}
}

// vault translates the provider block's vault. It may be unknown in whole or in part.
func (p *brownieProvider) vault(ctx context.Context, object types.Object, diags *diag.Diagnostics) (*pki.Vault, *pki.LoginCertificate) {
	if object.IsUnknown() {
		return pki.New(pki.Config{Unknown: []string{"address"}}), nil
	}
	var m vaultModel
	if !object.IsNull() {
		diags.Append(object.As(ctx, &m, basetypes.ObjectAsOptions{})...)
	}
	config := pki.Config{
		Address: m.Address.ValueString(), Token: m.Token.ValueString(), Namespace: m.Namespace.ValueString(), CACert: m.CACert.ValueString(),
	}
	known := map[string]attr.Value{"address": m.Address, "token": m.Token, "namespace": m.Namespace, "ca_cert": m.CACert}
	if m.JWT != nil {
		known["jwt"] = m.JWT.Token
		config.JWT = &pki.JWT{Mount: orDefault(m.JWT.Mount, "jwt"), Role: m.JWT.Role.ValueString(), Token: orDefault(m.JWT.Token, os.Getenv(workloadToken))}
	}
	for _, name := range []string{"address", "token", "namespace", "ca_cert", "jwt"} {
		if value := known[name]; value != nil && value.IsUnknown() {
			config.Unknown = append(config.Unknown, name)
		}
	}
	v := pki.New(config)
	if m.ClientCertificate == nil {
		return v, nil
	}
	request := pki.Request{
		Mount: orDefault(m.ClientCertificate.Mount, defaultPKIMount), Role: m.ClientCertificate.Role.ValueString(),
		CommonName: m.ClientCertificate.CommonName.ValueString(), TTL: 15 * time.Minute,
	}
	if ttl := duration(m.ClientCertificate.TTL); ttl != nil {
		request.TTL = *ttl
	}
	login := v.LoginCertificate(request)
	opened.add(login)
	return v, login
}

func orDefault(value types.String, standard string) string {
	if value.ValueString() == "" {
		return standard
	}
	return value.ValueString()
}

// loginCertificates are those that this process has made. Terraform's protocol tells a provider nothing when its work is done,
// but that its process ends.
type loginCertificates struct {
	mu  sync.Mutex
	all []*pki.LoginCertificate
}

var opened loginCertificates

func (l *loginCertificates) add(certificate *pki.LoginCertificate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, certificate)
}

// Close revokes what the providers of this process have made for themselves. Terraform waits two seconds for it.
func Close(ctx context.Context) error {
	opened.mu.Lock()
	defer opened.mu.Unlock()
	var errs []error
	for _, certificate := range opened.all {
		errs = append(errs, certificate.Close(ctx))
	}
	opened.all = nil
	return errors.Join(errs...)
}

// loginWith makes the provider log in with a certificate of Vault's.
func (p *brownieProvider) loginWith(login *pki.LoginCertificate, m providerModel, diags *diag.Diagnostics) func(context.Context) (*tls.Certificate, error) {
	if login == nil {
		return nil
	}
	if !m.SSLCert.IsNull() || !m.SSLKey.IsNull() {
		diags.AddAttributeError(path.Root("sslcert"), "Cannot configure the provider", "sslcert and sslkey cannot be combined with vault.client_certificate, "+
			"which takes their place: remove one of them.")
	}
	return login.Get
}

// askLogins bounds how long a plan waits for a database that only a warning asks.
const askLogins = 5 * time.Second

func loginRoles(store *access.Store, config postgres.Config) func(context.Context) ([]string, bool) {
	var once sync.Once
	var names []string
	var err error
	return func(ctx context.Context) ([]string, bool) {
		if config.Host == "" || len(config.Unknown) > 0 {
			return nil, false
		}
		once.Do(func() {
			ctx, cancel := context.WithTimeout(ctx, askLogins)
			defer cancel()
			names, err = store.LoginRoles(ctx)
		})
		return names, err == nil
	}
}
