package pki

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/datasourcevalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/pki"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

var (
	_ datasource.DataSourceWithConfigure        = (*clientCertificateDataSource)(nil)
	_ datasource.DataSourceWithConfigValidators = (*clientCertificateDataSource)(nil)
)

type clientCertificateDataSource struct{ tf.DataSource[backend] }

func newClientCertificateDataSource() datasource.DataSource { return &clientCertificateDataSource{} }

type clientCertificateDataModel struct {
	certificateFacts

	Mount       types.String      `tfsdk:"mount"`
	Store       *storeModel       `tfsdk:"store"`
	CommonName  types.String      `tfsdk:"common_name"`
	DNSNames    []string          `tfsdk:"dns_names"`
	IPAddresses []string          `tfsdk:"ip_addresses"`
	RevokedAt   timetypes.RFC3339 `tfsdk:"revoked_at"`
}

func (d *clientCertificateDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_client_certificate"
}

func (d *clientCertificateDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	attributes := clientCertificateAttributes()
	for _, argument := range []string{
		"role", "ttl", "key_type", "csr_pem", "store", "renew_before", "revoke_after", "revoke_on_destroy", "renewal_due",
		"renewal_reason", "store_version", "stored_at", "superseded",
	} {
		delete(attributes, argument) // Vault does not know them, or they are about Terraform's own work.
	}
	read := tf.Readable(attributes, "mount")
	read["id"] = schema.StringAttribute{
		Optional: true, Computed: true, Validators: []validator.String{serialNumber}, MarkdownDescription: factDescriptions["id"],
	}
	read["store"] = schema.SingleNestedAttribute{
		Optional: true, MarkdownDescription: "The secret of a KV secrets engine, version 2, that holds the certificate. Its key is " +
			"not read into Terraform.",
		Attributes: map[string]schema.Attribute{
			"mount": schema.StringAttribute{
				Required: true, Validators: []validator.String{vaultPath},
				MarkdownDescription: "Mount of the KV secrets engine.",
			},
			"path": schema.StringAttribute{
				Required: true, Validators: []validator.String{vaultPath},
				MarkdownDescription: "Path of the secret.",
			},
		},
	}
	resp.Schema = schema.Schema{
		MarkdownDescription: "Reads one client certificate by its `id`, or the one that a `store` holds. It is an error when there " +
			"is none.",
		Attributes: read,
	}
}

func (d *clientCertificateDataSource) ConfigValidators(context.Context) []datasource.ConfigValidator {
	return []datasource.ConfigValidator{datasourcevalidator.ExactlyOneOf(path.MatchRoot("id"), path.MatchRoot("store"))}
}

func (d *clientCertificateDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model clientCertificateDataModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &model)...); resp.Diagnostics.HasError() {
		return
	}
	mount, serial, wanted := tf.OrDefault(model.Mount, defaultPKIMount), model.ID.ValueString(), tf.By("id", model.ID)
	var stored, found pki.Issued
	var err error
	if model.Store != nil {
		store := pki.Store{Mount: model.Store.Mount.ValueString(), Path: model.Store.Path.ValueString()}
		wanted = tf.By("store", types.StringValue(store.String()))
		stored, err = d.Backend.Stored(ctx, store)
		serial = stored.Serial
	}
	if err == nil {
		found, err = d.Backend.Read(ctx, mount, serial, nil)
		if model.Store != nil && errors.Is(err, problem.ErrNotFound) {
			resp.Diagnostics.AddAttributeError(path.Root("mount"), "Cannot read "+clientCertificateNoun,
				fmt.Sprintf("%s holds the certificate with the serial number "+
					"%s, which mount %s has not issued. Correct mount.", wanted.Value.ValueString(), serial, mount))
			return
		}
	}
	if err != nil {
		tf.AddLookupError(&resp.Diagnostics, clientCertificateNoun, err, wanted)
		return
	}
	if len(found.Chain) == 0 {
		found.Chain = stored.Chain
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, clientCertificateDataModel{
		certificateFacts: factsOf(found.Certificate), Mount: types.StringValue(mount), Store: model.Store,
		CommonName: types.StringValue(found.CommonName),
		DNSNames:   found.DNSNames, IPAddresses: found.IPAddresses, RevokedAt: revokedAt(found.Certificate),
	})...)
}
