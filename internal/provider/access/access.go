// Package access translates between Terraform and the domain access: roles, and the proofs of login and isolation.
package access

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/access"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

// backend is what this domain's resources and data sources work with.
type backend struct {
	*access.Store
	// writable is where a proof is tried.
	writable *access.Store
	// connection is how the provider itself connects; proofs of a login start from it.
	connection postgres.Config
	walk       *tf.Walk
	taken      postgres.Loader[bool]
}

// apply is the store, for a change.
func (b *backend) apply() *access.Store {
	b.walk.Applies()
	return b.Store
}

// Backend makes it. What only reads may read from another server than the one that accepts writes.
func Backend(writable, readable *postgres.DB, connection postgres.Config, walk *tf.Walk) *backend {
	b := &backend{Store: access.New(readable), writable: access.New(writable), connection: connection, walk: walk}
	b.Patience.Limit, b.Patience.Wait = tf.Patience, walk.Wait
	var question postgres.Question // A plan that only makes new roles needs no database.
	b.taken.Init(readable.InFlight(), func(ctx context.Context, names []string) (map[string]bool, error) {
		return postgres.Ask(ctx, &question, func(ctx context.Context) (map[string]bool, error) { return b.TakenNames(ctx, names) })
	})
	return b
}

// Resources lists the resources.
func Resources() []func() resource.Resource {
	return []func() resource.Resource{newRoleResource}
}

// DataSources lists the data sources.
func DataSources() []func() datasource.DataSource {
	return []func() datasource.DataSource{newRoleDataSource, newLoginDataSource, newTenantIsolationDataSource}
}

// CanLogIn returns what tells whether a role may log in or is to be made by the same plan, if the database can be asked.
func CanLogIn(db *postgres.DB, config postgres.Config, walk *tf.Walk) func(context.Context, string) (can, known bool) {
	store := access.New(db)
	var question postgres.Question
	return func(ctx context.Context, role string) (can, known bool) {
		if walk.Claimed(nameClaim(role)) {
			return true, true
		}
		if config.Host == "" || len(config.Unknown) > 0 {
			return false, false
		}
		can, err := postgres.Ask(ctx, &question, func(ctx context.Context) (bool, error) { return store.CanLogIn(ctx, role) })
		return can, err == nil
	}
}
