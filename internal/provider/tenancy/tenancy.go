// Package tenancy translates between Terraform and the domain tenancy: organizations, teams, users, agent configs and configs.
package tenancy

import (
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// Backend is what this domain's resources and data sources work with. walk is shared by all rooms.
func Backend(db *postgres.DB, walk *tf.Walk) *tenancy.Store {
	store := tenancy.New(db)
	store.Patience.Limit, store.Patience.Wait = tf.Patience, walk.Wait
	return store
}

// Plans is what the resources of this room plan with.
func Plans(store *tenancy.Store, walk *tf.Walk) *plans { return newPlans(store, walk) }

// Resources lists the resources.
func Resources() []func() resource.Resource {
	return []func() resource.Resource{
		newOrganizationResource,
		newTeamResource,
		newUserResource,
		newAgentConfigResource,
		newConfigResource,
	}
}

// DataSources lists the data sources.
func DataSources() []func() datasource.DataSource {
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
