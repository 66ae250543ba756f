package pki

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/pki"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

type vaultModel struct {
	Address           types.String `tfsdk:"address"`
	Token             types.String `tfsdk:"token"`
	Namespace         types.String `tfsdk:"namespace"`
	CACert            types.String `tfsdk:"ca_cert"`
	JWT               types.Object `tfsdk:"jwt"`
	ClientCertificate types.Object `tfsdk:"client_certificate"`
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

// VaultAttribute is the block in the provider's configuration.
func VaultAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Vault, or what talks like it (OpenBao), for client certificates. Nothing is asked of it before a " +
			"resource needs it. Without this block Vault's own environment variables decide.",
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
				MarkdownDescription: "Certificate authorities that may sign the server's certificate: PEM text or the path of a PEM " +
					"file. Default: " +
					"`VAULT_CACERT`, else those of the operating system.",
			},
			"jwt": schema.SingleNestedAttribute{
				Optional: true,
				MarkdownDescription: "Log in with a signed identity, such as that of an HCP Terraform run, so that no secret is " +
					"stored anywhere. The login is renewed while Terraform runs.",
				Attributes: map[string]schema.Attribute{
					"mount": schema.StringAttribute{
						Optional: true, Validators: []validator.String{vaultPath},
						MarkdownDescription: "Where Vault's JWT method is. Default: `jwt`.",
					},
					"role": schema.StringAttribute{Required: true, MarkdownDescription: "The method's role."},
					"token": schema.StringAttribute{
						Optional: true, Sensitive: true, MarkdownDescription: "The signed token. Default: `" + workloadToken + "`, " +
							"which HCP Terraform sets.",
					},
				},
			},
			"client_certificate": schema.SingleNestedAttribute{
				Optional: true,
				MarkdownDescription: "Make the provider's own login certificate for PostgreSQL, in memory only, in place of " +
					"`sslcert` and `sslkey`. It is " +
					"made anew before it expires, and revoked at the end.",
				Attributes: map[string]schema.Attribute{
					"mount": schema.StringAttribute{
						Optional: true, Validators: []validator.String{vaultPath},
						MarkdownDescription: "Mount of the PKI secrets engine. Default: `" + defaultPKIMount + "`.",
					},
					"role": schema.StringAttribute{
						Required: true, Validators: []validator.String{vaultName}, MarkdownDescription: "The engine's role.",
					},
					"common_name": schema.StringAttribute{
						Required: true, Validators: []validator.String{tf.Identity},
						MarkdownDescription: "Common name, which is the login role. It is the default of `username`.",
					},
					"ttl": schema.StringAttribute{
						Optional: true, Validators: []validator.String{wholeSeconds},
						MarkdownDescription: "How long each certificate holds, as a duration with a unit. Default: `\"15m\"`.",
					},
				},
			},
		},
	}
}

// Configure translates the provider block's vault. It may be unknown in whole or in part.
func Configure(ctx context.Context, object types.Object, diags *diag.Diagnostics) (*pki.Vault, *pki.LoginCertificate) {
	if object.IsUnknown() {
		return pki.New(pki.Config{Unknown: []string{"address"}}), nil
	}
	var m vaultModel
	if !object.IsNull() {
		diags.Append(object.As(ctx, &m, basetypes.ObjectAsOptions{})...)
	}
	config := pki.Config{
		Address: m.Address.ValueString(), Token: m.Token.ValueString(), Namespace: m.Namespace.ValueString(),
		CACert: m.CACert.ValueString(),
	}
	var jwt jwtModel
	if !m.JWT.IsNull() && !m.JWT.IsUnknown() {
		diags.Append(m.JWT.As(ctx, &jwt, basetypes.ObjectAsOptions{})...)
		config.JWT = &pki.JWT{
			Mount: tf.OrDefault(jwt.Mount, "jwt"), Role: jwt.Role.ValueString(),
			Token: tf.OrDefault(jwt.Token, os.Getenv(workloadToken)),
		}
	}
	var certificate loginCertificateModel
	if !m.ClientCertificate.IsNull() && !m.ClientCertificate.IsUnknown() {
		diags.Append(m.ClientCertificate.As(ctx, &certificate, basetypes.ObjectAsOptions{})...)
	}
	for _, known := range []struct {
		name   string
		values []attr.Value
	}{
		{"address", []attr.Value{m.Address}},
		{"token", []attr.Value{m.Token}},
		{"namespace", []attr.Value{m.Namespace}},
		{"ca_cert", []attr.Value{m.CACert}},
		{"jwt", []attr.Value{m.JWT, jwt.Mount, jwt.Role, jwt.Token}},
		{"client_certificate", []attr.Value{
			m.ClientCertificate, certificate.Mount, certificate.Role, certificate.CommonName,
			certificate.TTL,
		}},
	} {
		if slices.ContainsFunc(known.values, attr.Value.IsUnknown) {
			config.Unknown = append(config.Unknown, known.name)
		}
	}
	v := pki.New(config)
	opened.add(v)
	if m.ClientCertificate.IsNull() {
		return v, nil
	}
	request := pki.Request{
		Mount: tf.OrDefault(certificate.Mount, defaultPKIMount), Role: certificate.Role.ValueString(),
		CommonName: certificate.CommonName.ValueString(), TTL: 15 * time.Minute,
	}
	if ttl := tf.Duration(certificate.TTL); ttl != nil {
		request.TTL = *ttl
	}
	login := v.LoginCertificate(request)
	opened.add(login)
	return v, login
}

// closers are what this process has opened. Terraform's protocol tells a provider nothing when its work is done, but that its
// process ends.
type closers struct {
	mu  sync.Mutex
	all []closer
}

type closer interface {
	Close(ctx context.Context) error
}

var opened closers

func (c *closers) add(one closer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, one)
}

// Close revokes the certificates that the providers of this process have made for themselves, and ends their logins.
func Close(ctx context.Context) error {
	opened.mu.Lock()
	defer opened.mu.Unlock()
	var errs []error
	// What was opened last needs what was opened before.
	for _, one := range slices.Backward(opened.all) {
		errs = append(errs, one.Close(ctx))
	}
	opened.all = nil
	return errors.Join(errs...)
}
