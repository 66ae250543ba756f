package pki

import (
	"context"
	"encoding/json"

	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/pki"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

var (
	_ ephemeral.EphemeralResourceWithConfigure = (*clientCertificateEphemeral)(nil)
	_ ephemeral.EphemeralResourceWithClose     = (*clientCertificateEphemeral)(nil)
)

type clientCertificateEphemeral struct{ tf.EphemeralResource[backend] }

func newClientCertificateEphemeral() ephemeral.EphemeralResource {
	return &clientCertificateEphemeral{}
}

type clientCertificateEphemeralModel struct {
	certificateFacts

	Mount         types.String `tfsdk:"mount"`
	Role          types.String `tfsdk:"role"`
	CommonName    types.String `tfsdk:"common_name"`
	TTL           types.String `tfsdk:"ttl"`
	DNSNames      types.Set    `tfsdk:"dns_names"`
	IPAddresses   types.Set    `tfsdk:"ip_addresses"`
	KeyType       types.String `tfsdk:"key_type"`
	PrivateKeyPEM types.String `tfsdk:"private_key_pem"`
}

func (e *clientCertificateEphemeral) Metadata(_ context.Context, req ephemeral.MetadataRequest, resp *ephemeral.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_client_certificate"
}

func (e *clientCertificateEphemeral) Schema(_ context.Context, _ ephemeral.SchemaRequest, resp *ephemeral.SchemaResponse) {
	described := requestDescriptions
	resp.Schema = schema.Schema{
		MarkdownDescription: "A client certificate with its key, in memory only: for another provider's configuration, or for a " +
			"write-only argument. It is " +
			"revoked when Terraform needs it no longer. Needs Terraform 1.10, or OpenTofu 1.11.",
		Attributes: addEphemeralFacts(map[string]schema.Attribute{
			"mount": schema.StringAttribute{
				Optional: true, Validators: []validator.String{vaultPath},
				MarkdownDescription: described["mount"],
			},
			"role": schema.StringAttribute{
				Required: true, Validators: []validator.String{vaultName},
				MarkdownDescription: described["role"],
			},
			"common_name": schema.StringAttribute{
				Required: true, Validators: []validator.String{tf.Identity}, MarkdownDescription: described["common_name"],
			},
			"ttl": schema.StringAttribute{
				Optional: true, Validators: []validator.String{wholeSeconds},
				MarkdownDescription: described["ttl"],
			},
			"dns_names": schema.SetAttribute{
				Optional: true, ElementType: types.StringType, Validators: []validator.Set{setvalidator.ValueStringsAre(tf.NotBlank)},
				MarkdownDescription: described["dns_names"],
			},
			"ip_addresses": schema.SetAttribute{
				Optional: true, ElementType: types.StringType, Validators: []validator.Set{setvalidator.ValueStringsAre(ipAddress)},
				MarkdownDescription: described["ip_addresses"],
			},
			"key_type": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.OneOf(pki.KeyTypes()...)},
				MarkdownDescription: described["key_type"] + " One of " + tf.Alternatives(pki.KeyTypes()) + ". Default: " +
					"`" + pki.DefaultKeyType + "`.",
			},
			"private_key_pem": schema.StringAttribute{
				Computed: true, Sensitive: true,
				MarkdownDescription: "Its private key in PEM (PKCS #8).",
			},
		}),
	}
}

// openedKey is where the framework keeps what Close needs.
const openedKey = "certificate"

type openedCertificate struct{ Mount, Serial, PEM string }

func (e *clientCertificateEphemeral) Open(ctx context.Context, req ephemeral.OpenRequest, resp *ephemeral.OpenResponse) {
	var model clientCertificateEphemeralModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &model)...); resp.Diagnostics.HasError() {
		return
	}
	request := pki.Request{
		Mount: tf.OrDefault(model.Mount, defaultPKIMount), Role: model.Role.ValueString(), CommonName: model.CommonName.ValueString(),
		DNSNames: tf.StringsOf(model.DNSNames), IPAddresses: tf.StringsOf(model.IPAddresses), KeyType: model.KeyType.ValueString(),
	}
	if ttl := tf.Duration(model.TTL); ttl != nil {
		request.TTL = *ttl
	}
	certificate, key, err := e.Backend.Pair(ctx, request)
	if err != nil {
		tf.AddError(&resp.Diagnostics, "open", clientCertificateNoun, request.CommonName, err)
		return
	}
	// First of all, so that it is revoked whatever happens next.
	remembered, err := json.Marshal(openedCertificate{request.Mount, certificate.Serial, certificate.PEM})
	if err == nil {
		resp.Diagnostics.Append(resp.Private.SetKey(ctx, openedKey, remembered)...)
	}
	text, keyErr := key.PEM()
	if err != nil || keyErr != nil {
		resp.Diagnostics.AddError("Cannot open "+clientCertificateNoun, "The certificate or its key cannot be written as text.")
		return
	}
	model.certificateFacts, model.PrivateKeyPEM = factsOf(certificate), types.StringValue(text)
	resp.Diagnostics.Append(resp.Result.Set(ctx, model)...)
}

func (e *clientCertificateEphemeral) Close(ctx context.Context, req ephemeral.CloseRequest, resp *ephemeral.CloseResponse) {
	remembered, diags := req.Private.GetKey(ctx, openedKey)
	resp.Diagnostics.Append(diags...)
	var known openedCertificate
	if diags.HasError() || json.Unmarshal(remembered, &known) != nil {
		return
	}
	if err := e.Backend.Revoke(ctx, known.Mount, pki.Certificate{Serial: known.Serial, PEM: known.PEM}); err != nil {
		tf.AddError(&resp.Diagnostics, "close", clientCertificateNoun, known.Serial, err)
	}
}
