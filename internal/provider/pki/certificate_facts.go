package pki

import (
	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	ephemeralschema "github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/pki"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

// certificateFacts are what a certificate says of itself, in the resource, the data source and the ephemeral resource.
type certificateFacts struct {
	ID                types.String      `tfsdk:"id"`
	CertificatePEM    types.String      `tfsdk:"certificate_pem"`
	CAChainPEM        types.String      `tfsdk:"ca_chain_pem"`
	NotBefore         timetypes.RFC3339 `tfsdk:"not_before"`
	NotAfter          timetypes.RFC3339 `tfsdk:"not_after"`
	FingerprintSHA256 types.String      `tfsdk:"fingerprint_sha256"`
}

func factsOf(c pki.Certificate) certificateFacts {
	return certificateFacts{
		ID: types.StringValue(c.Serial), CertificatePEM: types.StringValue(c.PEM), CAChainPEM: types.StringValue(c.ChainPEM()),
		NotBefore: tf.TimeValue(c.NotBefore), NotAfter: tf.TimeValue(c.NotAfter), FingerprintSHA256: types.StringValue(c.Fingerprint()),
	}
}

// unknownFacts are those of a certificate that is about to be made.
func unknownFacts() certificateFacts {
	text, moment := types.StringUnknown(), timetypes.NewRFC3339Unknown()
	return certificateFacts{text, text, text, moment, moment, text}
}

// factDescriptions are of the attributes with the facts. All are texts or moments.
var factDescriptions = map[string]string{
	"id":                 "Serial number of the certificate, as Vault writes it.",
	"certificate_pem":    "The certificate in PEM.",
	"ca_chain_pem":       "Its issuers in PEM, the next one first.",
	"not_before":         "From when on the certificate holds (RFC 3339, UTC).",
	"not_after":          "When the certificate expires (RFC 3339, UTC).",
	"fingerprint_sha256": "SHA-256 of the certificate, in hexadecimal.",
}

func factType(name string) basetypes.StringTypable {
	if name == "not_before" || name == "not_after" {
		return timetypes.RFC3339Type{}
	}
	return nil
}

// addFacts adds the attributes to those of the resource.
func addFacts(attributes map[string]schema.Attribute) map[string]schema.Attribute {
	for name, description := range factDescriptions {
		attributes[name] = schema.StringAttribute{Computed: true, CustomType: factType(name), MarkdownDescription: description}
	}
	return attributes
}

// addEphemeralFacts is as addFacts, for the ephemeral resource.
func addEphemeralFacts(attributes map[string]ephemeralschema.Attribute) map[string]ephemeralschema.Attribute {
	for name, description := range factDescriptions {
		attributes[name] = ephemeralschema.StringAttribute{Computed: true, CustomType: factType(name), MarkdownDescription: description}
	}
	return attributes
}
