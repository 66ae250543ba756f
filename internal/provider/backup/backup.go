// Package backup translates between Terraform and the domain backup: when backups are made, and what became of them.
package backup

import (
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/backup"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// Backend is what this domain's resource and data sources work with.
func Backend(db *postgres.DB) *backup.Store { return backup.New(db.AsOwner()) }

// Resources lists the resources.
func Resources() []func() resource.Resource {
	return []func() resource.Resource{newScheduleResource}
}

// DataSources lists the data sources.
func DataSources() []func() datasource.DataSource {
	return []func() datasource.DataSource{newScheduleDataSource, newBackupsDataSource}
}

// Functions lists the functions.
func Functions() []func() function.Function {
	return []func() function.Function{newCronNext}
}
