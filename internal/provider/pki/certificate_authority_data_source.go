package pki

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

var _ datasource.DataSourceWithConfigure = (*certificateAuthorityDataSource)(nil)

type certificateAuthorityDataSource struct{ tf.DataSource[backend] }

func newCertificateAuthorityDataSource() datasource.DataSource {
	return &certificateAuthorityDataSource{}
}

type certificateAuthorityModel struct {
	Mount             types.String         `tfsdk:"mount"`
	AlarmBefore       types.String         `tfsdk:"alarm_before"`
	CommonName        types.String         `tfsdk:"common_name"`
	CertificatePEM    types.String         `tfsdk:"certificate_pem"`
	CAChainPEM        types.String         `tfsdk:"ca_chain_pem"`
	NotBefore         timetypes.RFC3339    `tfsdk:"not_before"`
	NotAfter          timetypes.RFC3339    `tfsdk:"not_after"`
	FingerprintSHA256 types.String         `tfsdk:"fingerprint_sha256"`
	CRL               *revocationListModel `tfsdk:"crl"`
	Healthy           types.Bool           `tfsdk:"healthy"`
	Problems          []string             `tfsdk:"problems"`
}

type revocationListModel struct {
	ThisUpdate   timetypes.RFC3339 `tfsdk:"this_update"`
	NextUpdate   timetypes.RFC3339 `tfsdk:"next_update"`
	RevokedCount types.Int64       `tfsdk:"revoked_count"`
}

func (d *certificateAuthorityDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_certificate_authority"
}

func (d *certificateAuthorityDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	text := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	moment := func(description string) schema.StringAttribute {
		return schema.StringAttribute{
			Computed: true, CustomType: timetypes.RFC3339Type{},
			MarkdownDescription: description + " (RFC 3339, UTC).",
		}
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "The authority of a Vault PKI mount, its default issuer, and whether it and its revocation list are in " +
			"order: for a `check` block, and " +
			"for the configuration of servers. It is an error when the mount has none.",
		Attributes: map[string]schema.Attribute{
			"mount": schema.StringAttribute{
				Optional: true, Computed: true, Validators: []validator.String{vaultPath},
				MarkdownDescription: requestDescriptions["mount"],
			},
			"alarm_before": schema.StringAttribute{
				Optional: true, Validators: []validator.String{tf.PositiveDuration},
				MarkdownDescription: "How long before it expires a certificate or list is a problem, as a duration with a unit. " +
					"Default: `\"24h\"`.",
			},
			"common_name":        text("Common name of the authority."),
			"certificate_pem":    text("Its certificate in PEM."),
			"ca_chain_pem":       text("Its certificate and those above it, as far as the mount has them, in PEM."),
			"not_before":         moment("From when on its certificate holds"),
			"not_after":          moment("When its certificate expires"),
			"fingerprint_sha256": text("SHA-256 of its certificate, in hexadecimal."),
			"crl": schema.SingleNestedAttribute{
				Computed: true, MarkdownDescription: "Its certificate revocation list (RFC 5280, section 5); null when it has none.",
				Attributes: map[string]schema.Attribute{
					"this_update": moment("When the list was made"),
					"next_update": moment("When the list expires, from when on servers that read it refuse all certificates of " +
						"the authority"),
					"revoked_count": schema.Int64Attribute{Computed: true, MarkdownDescription: "How many certificates the list names."},
				},
			},
			"healthy": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether there are no `problems`."},
			"problems": schema.ListAttribute{
				Computed: true, ElementType: types.StringType,
				MarkdownDescription: "What is wrong: a certificate of the chain, or a revocation list, that has expired or expires " +
					"within `alarm_before`; a list that is missing, or another authority's.",
			},
		},
	}
}

func (d *certificateAuthorityDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model certificateAuthorityModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &model)...); resp.Diagnostics.HasError() {
		return
	}
	mount := tf.OrDefault(model.Mount, defaultPKIMount)
	within := 24 * time.Hour
	if given := tf.Duration(model.AlarmBefore); given != nil {
		within = *given
	}
	authority, err := d.Backend.Authority(ctx, mount, within)
	if err != nil {
		tf.AddError(&resp.Diagnostics, "read", "certificate authority", mount, err)
		return
	}
	model = certificateAuthorityModel{
		Mount: types.StringValue(mount), AlarmBefore: model.AlarmBefore, CommonName: types.StringValue(authority.CommonName),
		CertificatePEM: types.StringValue(authority.PEM),
		CAChainPEM:     types.StringValue(authority.ChainPEM()), NotBefore: tf.TimeValue(authority.NotBefore),
		NotAfter:          tf.TimeValue(authority.NotAfter),
		FingerprintSHA256: types.StringValue(authority.Fingerprint()), Healthy: types.BoolValue(len(authority.Problems) == 0),
		Problems: append([]string{}, authority.Problems...), // Not nil, which would be null.
	}
	if list := authority.List; list != nil {
		model.CRL = &revocationListModel{
			tf.TimeValue(list.ThisUpdate), tf.TimeValue(list.NextUpdate),
			types.Int64Value(int64(list.Revoked)),
		}
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, model)...)
}
