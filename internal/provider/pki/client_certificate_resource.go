package pki

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/pki"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

var (
	_ resource.ResourceWithConfigure      = (*clientCertificateResource)(nil)
	_ resource.ResourceWithValidateConfig = (*clientCertificateResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*clientCertificateResource)(nil)
	_ resource.ResourceWithImportState    = (*clientCertificateResource)(nil)
)

type clientCertificateResource struct{ tf.Resource[backend] }

func newClientCertificateResource() resource.Resource { return &clientCertificateResource{} }

const clientCertificateNoun = "client certificate"

func (r *clientCertificateResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_client_certificate"
}

func (r *clientCertificateResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "A client certificate of Vault's PKI secrets engine. Its private key is made by the provider and kept " +
			"in Vault only, or by " +
			"you, who give a signing request: neither the state nor a plan ever holds it. The certificate is renewed in place by " +
			"the first apply " +
			"after `renew_before` is reached; the new one is published first, and the old one revoked then.",
		Attributes: clientCertificateAttributes(),
	}
}

func (r *clientCertificateResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest,
	resp *resource.ValidateConfigResponse,
) {
	var config clientCertificateModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &config)...); resp.Diagnostics.HasError() {
		return
	}
	if !config.Store.IsUnknown() && !config.CSRPEM.IsUnknown() && config.Store.IsNull() == config.CSRPEM.IsNull() {
		resp.Diagnostics.AddAttributeError(path.Root("store"), "Invalid store",
			"Exactly one of store and csr_pem must be set: store, when the provider makes the "+
				"key and Vault keeps it; csr_pem, when you keep the key and give a signing request.")
	}
	if name := pki.CSRCommonName(config.CSRPEM.ValueString()); name != "" && !config.CommonName.IsUnknown() &&
		name != config.CommonName.ValueString() {
		resp.Diagnostics.AddAttributeError(path.Root("csr_pem"), "Invalid csr_pem",
			fmt.Sprintf("csr_pem is a request of %q and common_name is %q: whoever has "+
				"that key would become %[2]s. Correct one of them.", name, config.CommonName.ValueString()))
	}
	ttl, before := tf.Duration(config.TTL), tf.Duration(config.RenewBefore)
	if ttl != nil && before != nil && *before >= *ttl {
		resp.Diagnostics.AddAttributeError(path.Root("renew_before"), "Invalid renew_before",
			fmt.Sprintf("renew_before is %q and ttl is %q: each apply "+
				"would renew the certificate. It must be less than ttl.", config.RenewBefore.ValueString(), config.TTL.ValueString()))
	}
}

// ModifyPlan plans a renewal in place where one is due, and says why.
func (r *clientCertificateResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		return
	}
	var plan, state clientCertificateModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	r.warnOfMissingRole(ctx, plan.CommonName, &resp.Diagnostics)
	if req.State.Raw.IsNull() {
		return
	}
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	if plan.differs(state) || state.RenewalDue.ValueBool() {
		if plan.Store.Equal(state.Store) && plan.Mount.Equal(state.Mount) { // Else it is replaced, which the plan says.
			plan.warnOfRenewal(state, &resp.Diagnostics)
		}
		plan.renewed()
	} else {
		plan.unchanged(state)
		// Terraform plans once more when it applies: what the time may change between must be unknown in both plans of a change.
		if changes := !req.Plan.Raw.Equal(req.State.Raw); len(state.Superseded.Elements()) > 0 && (changes || r.revocationDue(ctx, state)) {
			plan.Superseded = types.ListUnknown(supersededType)
		}
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, plan)...)
}

// warnOfRenewal says why another certificate is made, and what becomes of this one. The name is in the summary because
// Terraform shows but one of
// several warnings with the same one.
func (m clientCertificateModel) warnOfRenewal(state clientCertificateModel, diags *diag.Diagnostics) {
	reason := "its arguments change"
	if state.RenewalDue.ValueBool() {
		reason = state.RenewalReason.ValueString()
	}
	then := "Once the new one is there, this one is revoked."
	if !m.RevokeAfter.IsNull() {
		then = fmt.Sprintf("This one stays valid for %s (revoke_after), and the first apply after that revokes it.",
			m.RevokeAfter.ValueString())
	}
	if !state.RevokedAt.IsNull() {
		then = "If its key is compromised, also lock the role (locked in brownie_role): PgBouncer does not notice revocations, and " +
			"open sessions go on."
		if m.CSRPEM.Equal(state.CSRPEM) && !m.CSRPEM.IsNull() {
			then += " The same key is certified again. To have it shut out, give the signing request of another key."
		}
	}
	diags.AddWarning(fmt.Sprintf("Certificate of %s is renewed", state.CommonName.ValueString()),
		fmt.Sprintf("The apply renews the certificate %s for %s, "+
			"because %s. %s", state.ID.ValueString(), state.CommonName.ValueString(), reason, then))
}

// renewed marks what another certificate changes.
func (m *clientCertificateModel) renewed() {
	m.certificateFacts = unknownFacts()
	m.RevokedAt, m.RenewalDue, m.RenewalReason = timetypes.NewRFC3339Null(), types.BoolValue(false), types.StringNull()
	m.Superseded, m.StoreVersion, m.StoredAt = types.ListUnknown(supersededType), types.Int64Unknown(), timetypes.NewRFC3339Unknown()
}

// unchanged keeps what the same certificate has.
func (m *clientCertificateModel) unchanged(state clientCertificateModel) {
	m.certificateFacts, m.RevokedAt = state.certificateFacts, state.RevokedAt
	m.RenewalDue, m.RenewalReason, m.Superseded = state.RenewalDue, state.RenewalReason, state.Superseded
	m.StoreVersion, m.StoredAt = state.StoreVersion, state.StoredAt
}

func (r *clientCertificateResource) revocationDue(ctx context.Context, state clientCertificateModel) bool {
	issued, err := state.issued(ctx)
	return err == nil && r.Backend != nil && r.Backend.Due(ctx, issued)
}

// warnOfMissingRole says that nobody could log in, as far as the database can be asked.
func (r *clientCertificateResource) warnOfMissingRole(ctx context.Context, commonName types.String, diags *diag.Diagnostics) {
	if r.Backend == nil || commonName.IsUnknown() {
		return
	}
	if can, known := r.Backend.canLogIn(ctx, commonName.ValueString()); known && !can {
		diags.AddAttributeWarning(path.Root("common_name"), fmt.Sprintf("There is no role %q", commonName.ValueString()),
			fmt.Sprintf("The database has no role %q that may log in, so that the "+
				"certificate opens nothing, unless the same apply makes the role. Names are compared letter by "+
				"letter.", commonName.ValueString()))
	}
}

func (r *clientCertificateResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan clientCertificateModel
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	issued, err := r.Backend.Issue(ctx, plan.wanted(ctx))
	if err != nil {
		tf.AddError(&resp.Diagnostics, "create", clientCertificateNoun, plan.CommonName.ValueString(), err)
		if issued.Serial == "" {
			return
		}
	}
	r.warnOfClock(&resp.Diagnostics)
	plan.show(ctx, issued)
	resp.Diagnostics.Append(resp.State.Set(ctx, plan)...)
}

// warnOfClock says that other machines may be right about a certificate's dates where this one is wrong.
func (r *clientCertificateResource) warnOfClock(diags *diag.Diagnostics) {
	if skew := r.Backend.Skew().Round(time.Second); skew.Abs() > time.Minute {
		word := "behind"
		if skew < 0 {
			word = "ahead of"
		}
		diags.AddWarning("This machine's clock is wrong, or Vault's is",
			fmt.Sprintf("This machine's clock is %s %s Vault's. Renewals are planned by Vault's "+
				"clock. A server whose clock differs refuses certificates that are not valid yet: synchronize the clocks "+
				"(NTP).", skew.Abs(), word))
	}
}

func (r *clientCertificateResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state clientCertificateModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	wanted := state.wanted(ctx)
	issued, err := state.issued(ctx)
	if state.CertificatePEM.IsNull() { // just imported
		issued, err = r.Backend.Read(ctx, wanted.Mount, state.ID.ValueString(), wanted.Store)
		state.RevokeOnDestroy = types.BoolValue(true)
		if tf.Gone(err) {
			resp.State.RemoveResource(ctx)
			return
		}
	}
	reason := ""
	if err == nil {
		issued, reason, err = r.Backend.Check(ctx, issued, wanted)
	}
	if err != nil {
		tf.AddError(&resp.Diagnostics, "read", clientCertificateNoun, state.CommonName.ValueString(), err)
		return
	}
	state.show(ctx, issued)
	state.RenewalDue, state.RenewalReason = types.BoolValue(reason != ""), tf.TextOrNull(reason)
	resp.Diagnostics.Append(resp.State.Set(ctx, state)...)
}

func (r *clientCertificateResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state clientCertificateModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	if resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...); resp.Diagnostics.HasError() {
		return
	}
	issued, err := state.issued(ctx)
	if err != nil {
		tf.AddError(&resp.Diagnostics, "update", clientCertificateNoun, plan.CommonName.ValueString(), err)
		return
	}
	var revoked []string
	if plan.ID.IsUnknown() {
		issued, revoked, err = r.Backend.Renew(ctx, issued, plan.wanted(ctx))
	} else {
		issued, revoked, err = r.Backend.Settle(ctx, issued)
	}
	if len(revoked) > 0 {
		resp.Diagnostics.AddWarning("Certificates of "+plan.CommonName.ValueString()+" were revoked",
			fmt.Sprintf("Of %s, these serial numbers were revoked: %s. Servers learn it from the next "+
				"certificate revocation list that they read.", plan.CommonName.ValueString(), strings.Join(revoked, ", ")))
	}
	if err != nil {
		tf.AddError(&resp.Diagnostics, "update", clientCertificateNoun, plan.CommonName.ValueString(), err)
		if issued.Serial == state.ID.ValueString() {
			reason := state.RenewalReason
			state.show(ctx, issued)
			state.RenewalDue, state.RenewalReason = types.BoolValue(!reason.IsNull()), reason
			resp.Diagnostics.Append(resp.State.Set(ctx, state)...)
			return
		}
	}
	r.warnOfClock(&resp.Diagnostics)
	plan.show(ctx, issued)
	resp.Diagnostics.Append(resp.State.Set(ctx, plan)...)
}

func (r *clientCertificateResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state clientCertificateModel
	if resp.Diagnostics.Append(req.State.Get(ctx, &state)...); resp.Diagnostics.HasError() {
		return
	}
	issued, err := state.issued(ctx)
	if err == nil {
		err = r.Backend.Retire(ctx, issued, state.wanted(ctx), state.RevokeOnDestroy.ValueBool())
	}
	if err != nil {
		tf.AddError(&resp.Diagnostics, "destroy", clientCertificateNoun, state.CommonName.ValueString(), err)
	}
}

// An import ID is the mount and the serial number, and for one that is stored the store's mount and path.
var certificateImport = regexp.MustCompile(`^([^@]+)/([0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2})+)(?:@([^:]+):(.+))?$`)

func strangePaths(paths ...string) bool {
	return slices.ContainsFunc(paths, func(path string) bool {
		return path != "" && slices.ContainsFunc(strings.Split(path, "/"), strangePart)
	})
}

func (r *clientCertificateResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	parts := certificateImport.FindStringSubmatch(req.ID)
	if len(parts) != 5 || strangePaths(parts[1], parts[3], parts[4]) {
		resp.Diagnostics.AddError("Cannot import "+clientCertificateNoun,
			fmt.Sprintf("The import ID is %q; it must be the PKI mount and the serial number, "+
				"such as pki/39:dd:2e:90, and for a stored certificate also the store's mount and path: "+
				"pki/39:dd:2e:90@brownie:clients/acme-app.", req.ID))
		return
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("mount"), parts[1])...)
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("id"), strings.ToLower(strings.ReplaceAll(parts[2], "-", ":")))...)
	if parts[3] != "" {
		store, diags := types.ObjectValueFrom(ctx, storeType.AttrTypes,
			storeModel{types.StringValue(parts[3]), types.StringValue(parts[4])})
		resp.Diagnostics.Append(diags...)
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("store"), store)...)
	}
}
