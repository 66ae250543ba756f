// Package tf is the ground on which all rooms of the provider stand: attributes, values, validators, plan modifiers, diagnostics,
// import by key, and how a resource gets at what the provider has configured.
package tf

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
)

// Backends are what the provider's configuration makes for its resources and data sources to work with: one for each domain.
type Backends []any

// BackendOf returns nil while Terraform validates, before the provider is configured.
func BackendOf[Backend any](providerData any) *Backend {
	backends, _ := providerData.(Backends)
	for _, one := range backends {
		if backend, ok := one.(*Backend); ok {
			return backend
		}
	}
	return nil
}

// Resource carries its domain's backend into a resource.
type Resource[Backend any] struct{ Backend *Backend }

// Configure takes the backend from the provider.
func (r *Resource[Backend]) Configure(_ context.Context, req resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	r.Backend = BackendOf[Backend](req.ProviderData)
}

// DataSource carries its domain's backend into a data source.
type DataSource[Backend any] struct{ Backend *Backend }

// Configure takes the backend from the provider.
func (d *DataSource[Backend]) Configure(_ context.Context, req datasource.ConfigureRequest, _ *datasource.ConfigureResponse) {
	d.Backend = BackendOf[Backend](req.ProviderData)
}

// EphemeralResource carries its domain's backend into an ephemeral resource.
type EphemeralResource[Backend any] struct{ Backend *Backend }

// Configure takes the backend from the provider.
func (e *EphemeralResource[Backend]) Configure(_ context.Context, req ephemeral.ConfigureRequest, _ *ephemeral.ConfigureResponse) {
	e.Backend = BackendOf[Backend](req.ProviderData)
}

var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// ImportByKey imports by ID, or else by the natural key that find looks up. keyForm describes the key for people.
func ImportByKey(ctx context.Context, noun, keyForm string, req resource.ImportStateRequest, resp *resource.ImportStateResponse,
	find func(key string) (id string, err error),
) {
	id := strings.ToLower(req.ID)
	if !uuidPattern.MatchString(id) {
		var err error
		id, err = find(req.ID)
		if errors.Is(err, problem.ErrNotFound) {
			resp.Diagnostics.AddError("Cannot import "+noun, "There is no "+noun+" with the key \""+req.ID+
				"\". The import ID must be its id (a UUID), or "+keyForm+".")
			return
		}
		if err != nil {
			AddError(&resp.Diagnostics, "import", noun, req.ID, err)
			return
		}
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("id"), id)...)
}

// Gone tells that the object was removed outside Terraform, so that a create is to be planned.
func Gone(err error) bool { return errors.Is(err, problem.ErrNotFound) }
