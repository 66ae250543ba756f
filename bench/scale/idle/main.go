// Command idle serves a provider with the schemas of ours that does nothing: what it costs is what Terraform and the framework
// cost, and so the floor for any provider.
package main

import (
	"context"
	"log"
	"slices"

	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	ours "github.com/longyi-brownie/terraform-provider-brownie/internal/provider"
)

func main() {
	address := "registry.terraform.io/longyi-brownie/brownie"
	err := providerserver.Serve(context.Background(), func() provider.Provider { return idle{ours.New("idle")()} },
		providerserver.ServeOpts{Address: address})
	if err != nil {
		log.Fatal(err)
	}
}

// idle has the name and the schema of ours.
type idle struct{ provider.Provider }

func (idle) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {}

func (idle) DataSources(context.Context) []func() datasource.DataSource { return nil }

func (i idle) Resources(ctx context.Context) []func() resource.Resource {
	all := slices.Clone(i.Provider.Resources(ctx))
	for n, one := range all {
		all[n] = func() resource.Resource { return idleResource{one()} }
	}
	return all
}

// idleResource has the name and the schema of one of ours.
type idleResource struct{ ours resource.Resource }

func (r idleResource) Metadata(ctx context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	r.ours.Metadata(ctx, req, resp)
}

func (r idleResource) Schema(ctx context.Context, req resource.SchemaRequest, resp *resource.SchemaResponse) {
	r.ours.Schema(ctx, req, resp)
}

func (r idleResource) Create(_ context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	resp.State.Raw = known(req.Plan.Raw)
}

func (r idleResource) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

func (r idleResource) Update(_ context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	resp.State.Raw = known(req.Plan.Raw)
}

func (r idleResource) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}

// known replaces what the plan does not know.
func known(plan tftypes.Value) tftypes.Value {
	value, err := tftypes.Transform(plan, func(path *tftypes.AttributePath, v tftypes.Value) (tftypes.Value, error) {
		if v.IsKnown() {
			return v, nil
		}
		switch kind := v.Type(); {
		case kind.Is(tftypes.String):
			if path.LastStep() == tftypes.AttributeName("id") {
				return tftypes.NewValue(kind, uuid.NewString()), nil
			}
			return tftypes.NewValue(kind, "2026-01-01T00:00:00Z"), nil
		case kind.Is(tftypes.Number):
			return tftypes.NewValue(kind, 1), nil
		case kind.Is(tftypes.Bool):
			return tftypes.NewValue(kind, true), nil
		default:
			return tftypes.NewValue(kind, []tftypes.Value{}), nil
		}
	})
	if err != nil {
		panic(err) // It is about the schema, and not about a plan.
	}
	return value
}
