package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/pki"
)

// pkiBackend is what this domain's resources and data sources work with.
type pkiBackend struct {
	*pki.Vault
	// logins are the names of the roles that may log in, if the database can be asked.
	logins func(context.Context) (names []string, known bool)
}

func newPKIBackend(vault *pki.Vault, logins func(context.Context) ([]string, bool)) *pkiBackend {
	return &pkiBackend{vault, logins}
}

func pkiResources() []func() resource.Resource {
	return []func() resource.Resource{newClientCertificateResource}
}

func pkiDataSources() []func() datasource.DataSource {
	return []func() datasource.DataSource{newClientCertificateDataSource, newCertificateAuthorityDataSource}
}

func pkiEphemeralResources() []func() ephemeral.EphemeralResource {
	return []func() ephemeral.EphemeralResource{newClientCertificateEphemeral}
}
