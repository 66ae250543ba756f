package provider

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// accessBackend is what this domain's resources and data sources work with.
type accessBackend struct {
	*access.Store
	// connection is how the provider itself connects; proofs of a login start from it.
	connection postgres.Config
}

func newAccessBackend(db *postgres.DB, connection postgres.Config) *accessBackend {
	return &accessBackend{access.New(db), connection}
}

func accessResources() []func() resource.Resource {
	return []func() resource.Resource{newRoleResource}
}

func accessDataSources() []func() datasource.DataSource {
	return []func() datasource.DataSource{newRoleDataSource, newLoginDataSource, newTenantIsolationDataSource}
}

// askLogins bounds how long a plan waits for a database that only a warning asks.
const askLogins = 5 * time.Second

// loginRoles returns what tells the names of the roles that may log in, if the database can be asked. It is asked once.
func loginRoles(db *postgres.DB, config postgres.Config) func(context.Context) ([]string, bool) {
	store := access.New(db)
	var once sync.Once
	var names []string
	var err error
	return func(ctx context.Context) ([]string, bool) {
		if config.Host == "" || len(config.Unknown) > 0 {
			return nil, false
		}
		once.Do(func() {
			ctx, cancel := context.WithTimeout(ctx, askLogins)
			defer cancel()
			names, err = store.LoginRoles(ctx)
		})
		return names, err == nil
	}
}
