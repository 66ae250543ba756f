package pki

import (
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/pki"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

type clientCertificateModel struct {
	certificateFacts

	Mount           types.String `tfsdk:"mount"`
	Role            types.String `tfsdk:"role"`
	CommonName      types.String `tfsdk:"common_name"`
	TTL             types.String `tfsdk:"ttl"`
	DNSNames        types.Set    `tfsdk:"dns_names"`
	IPAddresses     types.Set    `tfsdk:"ip_addresses"`
	KeyType         types.String `tfsdk:"key_type"`
	CSRPEM          types.String `tfsdk:"csr_pem"`
	Store           types.Object `tfsdk:"store"`
	RenewBefore     types.String `tfsdk:"renew_before"`
	RevokeAfter     types.String `tfsdk:"revoke_after"`
	RevokeOnDestroy types.Bool   `tfsdk:"revoke_on_destroy"`

	RevokedAt     timetypes.RFC3339 `tfsdk:"revoked_at"`
	RenewalDue    types.Bool        `tfsdk:"renewal_due"`
	RenewalReason types.String      `tfsdk:"renewal_reason"`
	StoreVersion  types.Int64       `tfsdk:"store_version"`
	StoredAt      timetypes.RFC3339 `tfsdk:"stored_at"`
	Superseded    types.List        `tfsdk:"superseded"`
}

type storeModel struct {
	Mount types.String `tfsdk:"mount"`
	Path  types.String `tfsdk:"path"`
}

type supersededModel struct {
	Mount          types.String      `tfsdk:"mount"`
	Serial         types.String      `tfsdk:"serial"`
	CertificatePEM types.String      `tfsdk:"certificate_pem"`
	Store          *storeModel       `tfsdk:"store"`
	RevokeAt       timetypes.RFC3339 `tfsdk:"revoke_at"`
}

var (
	storeType      = types.ObjectType{AttrTypes: map[string]attr.Type{"mount": types.StringType, "path": types.StringType}}
	supersededType = types.ObjectType{AttrTypes: map[string]attr.Type{
		"mount": types.StringType, "serial": types.StringType, "certificate_pem": types.StringType, "store": storeType,
		"revoke_at": timetypes.RFC3339Type{},
	}}
)

// show fills in what Vault says.
func (m *clientCertificateModel) show(ctx context.Context, i pki.Issued) {
	m.certificateFacts, m.CommonName = factsOf(i.Certificate), types.StringValue(i.CommonName)
	m.RevokedAt = revokedAt(i.Certificate)
	m.StoreVersion, m.StoredAt = types.Int64Null(), timetypes.NewRFC3339Null()
	if !m.Store.IsNull() {
		m.StoreVersion = types.Int64Value(i.Version)
	}
	if !m.Store.IsNull() && !i.StoredAt.IsZero() {
		m.StoredAt = tf.TimeValue(i.StoredAt)
	}
	m.RenewalDue, m.RenewalReason = types.BoolValue(false), types.StringNull()
	superseded := tf.Each(i.Superseded, func(s pki.Superseded) supersededModel {
		shown := supersededModel{
			types.StringValue(s.Mount), types.StringValue(s.Serial), types.StringValue(s.PEM), nil,
			tf.TimeValue(s.RevokeAt),
		}
		if s.Store != nil {
			shown.Store = &storeModel{types.StringValue(s.Store.Mount), types.StringValue(s.Store.Path)}
		}
		return shown
	})
	m.Superseded, _ = types.ListValueFrom(ctx, supersededType, superseded) // Such a list always has the type.
}

func revokedAt(c pki.Certificate) timetypes.RFC3339 {
	if c.RevokedAt == nil {
		return timetypes.NewRFC3339Null()
	}
	return tf.TimeValue(*c.RevokedAt)
}

// issued is what the state remembers.
func (m clientCertificateModel) issued(ctx context.Context) (pki.Issued, error) {
	certificate, err := pki.Known(m.CertificatePEM.ValueString(), certificatesOf(m.CAChainPEM.ValueString()))
	i := pki.Issued{Certificate: certificate, Version: m.StoreVersion.ValueInt64()}
	if stored, diags := m.StoredAt.ValueRFC3339Time(); !m.StoredAt.IsNull() && !diags.HasError() {
		i.StoredAt = stored
	}
	if revoked, diags := m.RevokedAt.ValueRFC3339Time(); !m.RevokedAt.IsNull() && !diags.HasError() {
		i.RevokedAt = &revoked
	}
	var superseded []supersededModel
	m.Superseded.ElementsAs(ctx, &superseded, false)
	for _, s := range superseded {
		at, _ := s.RevokeAt.ValueRFC3339Time() // It is the provider's own.
		known := pki.Superseded{
			Mount: s.Mount.ValueString(), Serial: s.Serial.ValueString(), PEM: s.CertificatePEM.ValueString(),
			RevokeAt: at,
		}
		if s.Store != nil {
			known.Store = &pki.Store{Mount: s.Store.Mount.ValueString(), Path: s.Store.Path.ValueString()}
		}
		i.Superseded = append(i.Superseded, known)
	}
	return i, err
}

// certificatesOf takes PEM text apart.
func certificatesOf(text string) []string {
	var all []string
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		all = append(all, string(pem.EncodeToMemory(block)))
	}
	return all
}

func (m clientCertificateModel) wanted(ctx context.Context) pki.Wanted {
	w := pki.Wanted{Request: pki.Request{
		Mount: m.Mount.ValueString(), Role: m.Role.ValueString(), CommonName: m.CommonName.ValueString(),
		DNSNames: tf.StringsOf(m.DNSNames), IPAddresses: tf.StringsOf(m.IPAddresses), CSR: m.CSRPEM.ValueString(),
		KeyType: m.KeyType.ValueString(),
	}}
	for _, setting := range []struct {
		value types.String
		field *time.Duration
	}{{m.TTL, &w.TTL}, {m.RenewBefore, &w.RenewBefore}, {m.RevokeAfter, &w.RevokeAfter}} {
		if d := tf.Duration(setting.value); d != nil {
			*setting.field = *d
		}
	}
	if !m.Store.IsNull() {
		var store storeModel
		m.Store.As(ctx, &store, basetypes.ObjectAsOptions{})
		w.Store = &pki.Store{Mount: store.Mount.ValueString(), Path: store.Path.ValueString()}
	}
	return w
}

// differs tells whether an argument changes that only another certificate can follow. An import knows but a few of them.
func (m clientCertificateModel) differs(state clientCertificateModel) bool {
	if !m.Store.Equal(state.Store) || !m.Mount.Equal(state.Mount) || !m.CommonName.Equal(state.CommonName) {
		return true
	}
	if state.Role.IsNull() {
		return false
	}
	for _, values := range []types.String{m.TTL, m.KeyType, m.CSRPEM} {
		if values.IsUnknown() {
			return true
		}
	}
	sameTTL := m.TTL.Equal(state.TTL) || tf.SameDuration(m.TTL.ValueString(), state.TTL.ValueString())
	sameKey := tf.OrDefault(m.KeyType, pki.DefaultKeyType) == tf.OrDefault(state.KeyType, pki.DefaultKeyType)
	sameRequest := strings.TrimSpace(m.CSRPEM.ValueString()) == strings.TrimSpace(state.CSRPEM.ValueString())
	return !sameTTL || !sameKey || !sameRequest || !m.Role.Equal(state.Role) || !m.DNSNames.Equal(state.DNSNames) ||
		!sameAddresses(m.IPAddresses, state.IPAddresses)
}

// sameAddresses tells whether two sets have the same IP addresses, however they are written.
func sameAddresses(one, other types.Set) bool {
	if one.IsUnknown() || other.IsUnknown() || one.IsNull() != other.IsNull() {
		return one.Equal(other)
	}
	return slices.Equal(pki.CanonicalNames(tf.StringsOf(one)), pki.CanonicalNames(tf.StringsOf(other)))
}

func strangePart(part string) bool {
	return part == "" || part == "." || part == ".." || strings.TrimSpace(part) != part || !utf8.ValidString(part) ||
		strings.ContainsFunc(part, func(r rune) bool { return unicode.Is(unicode.C, r) })
}

var (
	// Vault and what is in front of it disagree about what such paths mean, so that two of them may be one secret.
	vaultPath = tf.Check("it must be a path without a slash at its ends, whose parts are neither empty nor \".\" or \"..\", neither begin "+
		"nor end with white space, and hold no control character", func(value string) string {
		if slices.ContainsFunc(strings.Split(value, "/"), strangePart) {
			return fmt.Sprintf("is %q", value)
		}
		return ""
	})
	vaultName = tf.Check("it must be a name without a slash, neither \".\" nor \"..\", neither begin nor end with white space, and hold "+
		"no control character", func(value string) string {
		if strangePart(value) || strings.Contains(value, "/") {
			return fmt.Sprintf("is %q", value)
		}
		return ""
	})
	ipAddress = tf.Check("it must be an IP address", func(value string) string {
		if net.ParseIP(value) == nil {
			return fmt.Sprintf("is %q", value)
		}
		return ""
	})
	// Vault reckons in seconds, and takes less than one for nothing.
	wholeSeconds = tf.Check("it must be a duration of whole seconds with units (h, m, s), such as \"720h\"", func(value string) string {
		if d, err := time.ParseDuration(value); err != nil || d <= 0 || d%time.Second != 0 {
			return fmt.Sprintf("is %q", value)
		}
		return ""
	})
	serialNumber = tf.Check("it must be a serial number as Vault writes it, such as 39:dd:2e:90", func(value string) string {
		if !serialFormat.MatchString(value) {
			return fmt.Sprintf("is %q", value)
		}
		return ""
	})
	serialFormat   = regexp.MustCompile(`^[0-9a-f]{2}(:[0-9a-f]{2})+$`)
	signingRequest = tf.Check("it must be a certificate signing request (PKCS #10, RFC 2986) in PEM, without its key", pki.CheckCSR)
)

// requestDescriptions are of what a certificate is asked for with, in the resource and in the ephemeral resource.
var requestDescriptions = map[string]string{
	"mount": "Mount of Vault's PKI secrets engine. Default: `" + defaultPKIMount + "`.",
	"role":  "The engine's role, which decides what may be issued.",
	"common_name": "Common name: the name of the PostgreSQL role that logs in with the certificate, of letters, digits, `_`, `.`, " +
		"`@` and `-`, at most 63.",
	"ttl": "How long the certificate holds, as a duration with a unit, such as `\"720h\"`. More than the role's `max_ttl` " +
		"is an error. Default: the role's `ttl`.",
	"dns_names":    "Alternative names. Leave them out for clients: PgBouncer would take one for the user's name.",
	"ip_addresses": "Alternative IP addresses.",
	"key_type":     "Kind of the private key.",
}

func clientCertificateAttributes() map[string]schema.Attribute {
	described := requestDescriptions
	return addFacts(map[string]schema.Attribute{
		"mount": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(defaultPKIMount), Validators: []validator.String{vaultPath},
			PlanModifiers:       []planmodifier.String{stringplanmodifier.RequiresReplace()},
			MarkdownDescription: described["mount"] + " Another one replaces the resource.",
		},
		"role": tf.RequiredString(described["role"]+" An import does not know it.", vaultName),
		"common_name": tf.RequiredString(described["common_name"]+" The plan warns when the provider's database has no such role.",
			tf.Identity),
		"ttl": schema.StringAttribute{
			Optional: true, Validators: []validator.String{wholeSeconds},
			PlanModifiers:       []planmodifier.String{tf.SameMeaning(tf.SameDuration)},
			MarkdownDescription: described["ttl"],
		},
		"dns_names": schema.SetAttribute{
			Optional: true, ElementType: types.StringType,
			Validators:          []validator.Set{setvalidator.SizeAtLeast(1), setvalidator.ValueStringsAre(tf.NotBlank)},
			MarkdownDescription: described["dns_names"],
		},
		"ip_addresses": schema.SetAttribute{
			Optional: true, ElementType: types.StringType,
			Validators:          []validator.Set{setvalidator.SizeAtLeast(1), setvalidator.ValueStringsAre(ipAddress)},
			MarkdownDescription: described["ip_addresses"],
		},
		"key_type": schema.StringAttribute{
			Optional: true,
			Validators: []validator.String{
				stringvalidator.OneOf(pki.KeyTypes()...),
				stringvalidator.ConflictsWith(path.MatchRoot("csr_pem")),
			},
			MarkdownDescription: described["key_type"] + " One of " + tf.Alternatives(pki.KeyTypes()) + ". Default: " +
				"`" + pki.DefaultKeyType + "`.",
		},
		"csr_pem": tf.OptionalString("A certificate signing request in PEM, for a key that somebody else keeps. Exactly one of "+
			"`csr_pem` and `store` is needed. "+
			"Its common name must be that of the resource, or empty. Each renewal certifies the same key again, until you give "+
			"another request. When an "+
			"apply is killed, a certificate of that key may be left that Terraform does not know; it stays valid until it expires.",
			signingRequest),
		"store": schema.SingleNestedAttribute{
			Optional: true, PlanModifiers: []planmodifier.Object{objectplanmodifier.RequiresReplace()},
			MarkdownDescription: "Where to keep a key that the provider makes, and its certificate: a secret of a KV secrets " +
				"engine, version 2, with the fields " +
				"`tls.key`, `tls.crt` (with the chain) and `ca.crt`, as in a Kubernetes TLS secret. The key is nowhere else. What " +
				"somebody else " +
				"has stored there is never overwritten unawares. Another store replaces the resource; with `create_before_destroy` " +
				"the old pair is " +
				"deleted when the new one is there. " +
				"Exactly one of `csr_pem` and `store` is needed.",
			Attributes: map[string]schema.Attribute{
				"mount": tf.RequiredString("Mount of the KV secrets engine.", vaultPath),
				"path":  tf.RequiredString("Path of the secret, at most 512 characters.", vaultPath, stringvalidator.LengthAtMost(512)),
			},
		},
		"renew_before": tf.OptionalString("How long before it expires the certificate is renewed, by the first apply from then on, "+
			"as a duration with a unit. "+
			"Default: a third of `ttl`, or of the certificate's life.", tf.PositiveDuration),
		"revoke_after": tf.OptionalString("How long a certificate that was renewed stays valid, as a duration with a unit; it is "+
			"revoked by the first apply from "+
			"then on. Default: it is revoked at once, when the new one is published.", tf.PositiveDuration),
		"revoke_on_destroy": tf.OptionalBool("Whether a destroy revokes the certificate. What is stored is deleted in any case, and "+
			"what is `superseded` is revoked.", true),
		"revoked_at": schema.StringAttribute{
			Computed: true, CustomType: timetypes.RFC3339Type{},
			MarkdownDescription: "When somebody else revoked the certificate (RFC 3339, UTC); null if nobody did.",
		},
		"renewal_due": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the next apply renews the certificate."},
		"renewal_reason": schema.StringAttribute{
			Computed: true, MarkdownDescription: "Why: it is about to expire, was revoked, was removed from the store or replaced " +
				"there, or the role has another " +
				"issuer now. Null when no renewal is due.",
		},
		"store_version": schema.Int64Attribute{Computed: true, MarkdownDescription: "Version of the secret that holds the " +
			"certificate; null without `store`."},
		"stored_at": schema.StringAttribute{
			Computed: true, CustomType: timetypes.RFC3339Type{}, MarkdownDescription: "When the secret was stored (RFC 3339, UTC); " +
				"null without `store`.",
		},
		"superseded": supersededAttribute(),
	})
}

func supersededAttribute() schema.Attribute {
	return schema.ListNestedAttribute{
		Computed: true, MarkdownDescription: "Certificates that another one has replaced and that are still to be revoked.",
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"mount":           schema.StringAttribute{Computed: true, MarkdownDescription: "Mount that issued the certificate."},
			"serial":          schema.StringAttribute{Computed: true, MarkdownDescription: "Serial number of the certificate."},
			"certificate_pem": schema.StringAttribute{Computed: true, MarkdownDescription: "The certificate in PEM."},
			"store": schema.SingleNestedAttribute{
				Computed: true, MarkdownDescription: "Where the certificate is kept with its key, which is deleted with it, in " +
					"states of versions that moved certificates; else null.",
				Attributes: map[string]schema.Attribute{
					"mount": schema.StringAttribute{Computed: true, MarkdownDescription: "Mount of the KV secrets engine."},
					"path":  schema.StringAttribute{Computed: true, MarkdownDescription: "Path of the secret."},
				},
			},
			"revoke_at": schema.StringAttribute{
				Computed: true, CustomType: timetypes.RFC3339Type{}, MarkdownDescription: "The first apply from then on revokes it " +
					"(RFC 3339, UTC).",
			},
		}},
	}
}
