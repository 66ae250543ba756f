// Package cluster translates between Terraform and the domain cluster: which servers replicate the database.
package cluster

import (
	"github.com/hashicorp/terraform-plugin-framework/datasource"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// backend is what this domain's data source works with.
type backend struct{ db *postgres.DB }

// Backend makes it. The database must be that of the server which accepts writes: it alone knows its replicas.
func Backend(writable *postgres.DB) *backend { return &backend{writable} }

// DataSources lists the data sources.
func DataSources() []func() datasource.DataSource {
	return []func() datasource.DataSource{newDataSource}
}
