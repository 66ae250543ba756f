package provider

import (
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// tenancyBackend is what this domain's resources and data sources work with.
func tenancyBackend(db *postgres.DB) *tenancy.Store { return tenancy.New(db) }

func tenancyResources() []func() resource.Resource {
	return []func() resource.Resource{
		newOrganizationResource,
		newTeamResource,
		newUserResource,
		newAgentConfigResource,
		newConfigResource,
	}
}

func tenancyDataSources() []func() datasource.DataSource {
	return []func() datasource.DataSource{
		newOrganizationDataSource,
		newOrganizationsDataSource,
		newOrganizationUsageDataSource,
		newTeamDataSource,
		newTeamsDataSource,
		newUserDataSource,
		newUsersDataSource,
		newAgentConfigDataSource,
		newConfigDataSource,
	}
}
