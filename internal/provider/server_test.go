package provider_test

import (
	"context"
	"runtime"
	"testing"
	"weak"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider"
)

type baggage struct{ _ [1 << 10]byte }

type baggageKey struct{}

// Nothing of a request stays when it is over: a plan of ten thousand tenants makes some hundred thousand.
func TestRequestsAreForgotten(t *testing.T) {
	t.Parallel()
	server := provider.NewServer("test")
	object := tftypes.Object{AttributeTypes: map[string]tftypes.Type{}}
	value, err := tfprotov6.NewDynamicValue(object, tftypes.NewValue(object, map[string]tftypes.Value{}))
	if err != nil {
		t.Fatal(err)
	}
	requests := map[string]func(context.Context) error{
		"validate": func(ctx context.Context) error {
			_, err := server.ValidateResourceConfig(ctx, &tfprotov6.ValidateResourceConfigRequest{TypeName: "brownie_team", Config: &value})
			return err
		},
		"upgrade": func(ctx context.Context) error {
			_, err := server.UpgradeResourceState(ctx, &tfprotov6.UpgradeResourceStateRequest{TypeName: "brownie_team"})
			return err
		},
		"read": func(ctx context.Context) error {
			_, err := server.ReadResource(ctx, &tfprotov6.ReadResourceRequest{TypeName: "brownie_team", CurrentState: &value})
			return err
		},
		"plan": func(ctx context.Context) error {
			_, err := server.PlanResourceChange(ctx, &tfprotov6.PlanResourceChangeRequest{
				TypeName: "brownie_team", Config: &value, PriorState: &value, ProposedNewState: &value,
			})
			return err
		},
		"apply": func(ctx context.Context) error {
			_, err := server.ApplyResourceChange(ctx, &tfprotov6.ApplyResourceChangeRequest{
				TypeName: "brownie_team", Config: &value, PriorState: &value, PlannedState: &value,
			})
			return err
		},
		"data source": func(ctx context.Context) error {
			_, err := server.ReadDataSource(ctx, &tfprotov6.ReadDataSourceRequest{TypeName: "brownie_teams", Config: &value})
			return err
		},
		"function": func(ctx context.Context) error {
			_, err := server.CallFunction(ctx, &tfprotov6.CallFunctionRequest{Name: "cron_next"})
			return err
		},
	}
	for name, request := range requests {
		var left []weak.Pointer[baggage]
		for range 10 {
			func() {
				carried := &baggage{}
				left = append(left, weak.Make(carried))
				ctx, cancel := context.WithCancel(context.WithValue(t.Context(), baggageKey{}, carried))
				defer cancel()
				if err := request(ctx); err != nil {
					t.Error(name, err)
				}
			}()
		}
		runtime.GC()
		for i, one := range left {
			if one.Value() != nil {
				t.Errorf("%s: something of request %d is left", name, i)
				break
			}
		}
	}
}
