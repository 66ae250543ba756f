// Package pki translates between Terraform and the domain pki: client certificates and their authority, and the provider's own
// login to Vault.
package pki

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/pki"
)

// backend is what this domain's resources and data sources work with.
type backend struct {
	*pki.Vault
	// canLogIn tells whether a role may log in, if the database can be asked.
	canLogIn func(ctx context.Context, role string) (can, known bool)
}

// Backend makes it.
func Backend(vault *pki.Vault, canLogIn func(context.Context, string) (can, known bool)) *backend {
	return &backend{vault, canLogIn}
}

// Resources lists the resources.
func Resources() []func() resource.Resource {
	return []func() resource.Resource{newClientCertificateResource}
}

// DataSources lists the data sources.
func DataSources() []func() datasource.DataSource {
	return []func() datasource.DataSource{newClientCertificateDataSource, newCertificateAuthorityDataSource}
}

// EphemeralResources lists the ephemeral resources.
func EphemeralResources() []func() ephemeral.EphemeralResource {
	return []func() ephemeral.EphemeralResource{newClientCertificateEphemeral}
}
