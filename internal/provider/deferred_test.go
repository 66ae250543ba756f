package provider_test

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	brownie "github.com/longyi-brownie/terraform-provider-brownie/internal/provider"
)

// A client that can defer gets a deferral for an unknown host, instead of errors from what has to be read.
func TestUnknownHostIsDeferred(t *testing.T) {
	t.Parallel()
	p := brownie.New("test")()
	var schema provider.SchemaResponse
	p.Schema(t.Context(), provider.SchemaRequest{}, &schema)
	objectType := schema.Schema.Type().TerraformType(t.Context()).(tftypes.Object)
	values := map[string]tftypes.Value{}
	for name, attributeType := range objectType.AttributeTypes {
		values[name] = tftypes.NewValue(attributeType, nil)
	}
	values["host"] = tftypes.NewValue(tftypes.String, tftypes.UnknownValue)
	request := provider.ConfigureRequest{
		Config:             tfsdk.Config{Raw: tftypes.NewValue(objectType, values), Schema: schema.Schema},
		ClientCapabilities: provider.ConfigureProviderClientCapabilities{DeferralAllowed: true},
	}
	var allowed provider.ConfigureResponse
	p.Configure(t.Context(), request, &allowed)
	if allowed.Diagnostics.HasError() || allowed.Deferred == nil ||
		allowed.Deferred.Reason != provider.DeferredReasonProviderConfigUnknown {
		t.Errorf("got %+v, %v; want a deferral because of an unknown provider configuration", allowed.Deferred, allowed.Diagnostics)
	}
	request.ClientCapabilities.DeferralAllowed = false
	var refused provider.ConfigureResponse
	p.Configure(t.Context(), request, &refused)
	if refused.Diagnostics.HasError() || refused.Deferred != nil || refused.ResourceData == nil {
		t.Errorf("without the capability got %+v, %v; want a configured provider", refused.Deferred, refused.Diagnostics)
	}
}
