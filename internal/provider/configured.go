package provider

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/tenancy"
)

// configured carries the provider's configuration into a resource.
type configured struct{ *backend }

func (c *configured) Configure(_ context.Context, req resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	// ProviderData is nil while Terraform validates, before the provider is configured.
	if shared, ok := req.ProviderData.(*backend); ok {
		c.backend = shared
	}
}

// configuredDataSource carries the provider's configuration into a data source.
type configuredDataSource struct{ *backend }

func (c *configuredDataSource) Configure(_ context.Context, req datasource.ConfigureRequest, _ *datasource.ConfigureResponse) {
	if shared, ok := req.ProviderData.(*backend); ok {
		c.backend = shared
	}
}

var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// importByKey imports by ID, or else by the natural key that find looks up. keyForm describes the key for people.
func importByKey(ctx context.Context, noun, keyForm string, req resource.ImportStateRequest, resp *resource.ImportStateResponse,
	find func(key string) (id string, err error),
) {
	id := strings.ToLower(req.ID)
	if !uuidPattern.MatchString(id) {
		var err error
		id, err = find(req.ID)
		if errors.Is(err, postgres.ErrNotFound) {
			resp.Diagnostics.AddError("Cannot import "+noun, "There is no "+noun+" with the key \""+req.ID+
				"\". The import ID must be its id (a UUID), or "+keyForm+".")
			return
		}
		if err != nil {
			addError(&resp.Diagnostics, "import", noun, req.ID, err)
			return
		}
	}
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("id"), id)...)
}

// splitKey takes organization-slug/team-slug/name apart. A name may contain slashes, slugs cannot.
func splitKey(key string) (organizationSlug, teamSlug, name string) {
	organizationSlug, rest, _ := strings.Cut(key, "/")
	teamSlug, name, _ = strings.Cut(rest, "/")
	return organizationSlug, teamSlug, name
}

// gone tells that the object was removed outside Terraform, so that a create is to be planned.
func gone(err error) bool { return errors.Is(err, postgres.ErrNotFound) }

// refuseMove refuses while planning what the database would refuse later: an object given to another organization, or
// moved to a team of another one. What is not known yet is left to the apply.
func (c *configured) refuseMove(ctx context.Context, noun, name string, from, to, fromTeam, toTeam types.String, diags *diag.Diagnostics) {
	if !to.IsUnknown() {
		if err := c.tenancy.RefuseOrganizationChange(ctx, noun, name, from.ValueString(), to.ValueString()); err != nil {
			addError(diags, "change", noun, name, err)
			return
		}
	}
	if !toTeam.IsUnknown() && !toTeam.IsNull() && !toTeam.Equal(fromTeam) {
		var wrong *tenancy.OrganizationError
		if err := c.tenancy.CheckTeam(ctx, noun, toTeam.ValueString(), from.ValueString()); errors.As(err, &wrong) {
			addError(diags, "change", noun, name, err)
		}
	}
}
