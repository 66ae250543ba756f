package provider

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
)

// Serve serves the provider to Terraform until that ends it, or, for a debugger, until Terraform attaches to it.
func Serve(version string, debugger bool) error {
	var options []tf6server.ServeOpt
	if debugger {
		options = append(options, tf6server.WithManagedDebug())
	}
	return tf6server.Serve("registry.terraform.io/longyi-brownie/brownie",
		func() tfprotov6.ProviderServer { return NewServer(version) }, options...)
}

// NewServer returns the provider as a server of Terraform's protocol, version 6.
func NewServer(version string) tfprotov6.ProviderServer {
	return server{providerserver.NewProtocol6(New(version)())()}
}

// server keeps the framework from holding on to all that ever belonged to a request. The framework collects the contexts of all
// requests until it is told to stop, with the values in them: loggers, and what was received. That is 15 KiB a request, and four
// requests a resource in a plan.
type server struct{ tfprotov6.ProviderServer }

// lent is a context that lets go of its parent when the request is over.
type lent struct {
	parent *atomic.Pointer[context.Context]
}

func lend[Q, R any](ctx context.Context, request *Q, serve func(context.Context, *Q) (*R, error)) (*R, error) {
	loan := lent{&atomic.Pointer[context.Context]{}}
	loan.parent.Store(&ctx)
	defer loan.parent.Store(&over) //nolint:contextcheck // It takes the place of one that is over.
	return serve(loan, request)    //nolint:contextcheck // It is the given one, on loan.
}

var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func (l lent) Deadline() (deadline time.Time, ok bool) { return (*l.parent.Load()).Deadline() }

func (l lent) Done() <-chan struct{} { return (*l.parent.Load()).Done() }

func (l lent) Err() error { return (*l.parent.Load()).Err() }

func (l lent) Value(key any) any { return (*l.parent.Load()).Value(key) }

// The requests that come for each resource.

func (s server) ValidateResourceConfig(ctx context.Context, req *tfprotov6.ValidateResourceConfigRequest) (
	*tfprotov6.ValidateResourceConfigResponse, error,
) {
	return lend(ctx, req, s.ProviderServer.ValidateResourceConfig)
}

func (s server) UpgradeResourceState(ctx context.Context, req *tfprotov6.UpgradeResourceStateRequest) (
	*tfprotov6.UpgradeResourceStateResponse, error,
) {
	return lend(ctx, req, s.ProviderServer.UpgradeResourceState)
}

func (s server) UpgradeResourceIdentity(ctx context.Context, req *tfprotov6.UpgradeResourceIdentityRequest) (
	*tfprotov6.UpgradeResourceIdentityResponse, error,
) {
	return lend(ctx, req, s.ProviderServer.UpgradeResourceIdentity)
}

func (s server) ReadResource(ctx context.Context, req *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	return lend(ctx, req, s.ProviderServer.ReadResource)
}

func (s server) PlanResourceChange(ctx context.Context, req *tfprotov6.PlanResourceChangeRequest) (
	*tfprotov6.PlanResourceChangeResponse, error,
) {
	return lend(ctx, req, s.ProviderServer.PlanResourceChange)
}

func (s server) ApplyResourceChange(ctx context.Context, req *tfprotov6.ApplyResourceChangeRequest) (
	*tfprotov6.ApplyResourceChangeResponse, error,
) {
	return lend(ctx, req, s.ProviderServer.ApplyResourceChange)
}

func (s server) ImportResourceState(ctx context.Context, req *tfprotov6.ImportResourceStateRequest) (
	*tfprotov6.ImportResourceStateResponse, error,
) {
	return lend(ctx, req, s.ProviderServer.ImportResourceState)
}

func (s server) MoveResourceState(ctx context.Context, req *tfprotov6.MoveResourceStateRequest) (
	*tfprotov6.MoveResourceStateResponse, error,
) {
	return lend(ctx, req, s.ProviderServer.MoveResourceState)
}

func (s server) ValidateDataResourceConfig(ctx context.Context, req *tfprotov6.ValidateDataResourceConfigRequest) (
	*tfprotov6.ValidateDataResourceConfigResponse, error,
) {
	return lend(ctx, req, s.ProviderServer.ValidateDataResourceConfig)
}

func (s server) ReadDataSource(ctx context.Context, req *tfprotov6.ReadDataSourceRequest) (*tfprotov6.ReadDataSourceResponse, error) {
	return lend(ctx, req, s.ProviderServer.ReadDataSource)
}

func (s server) CallFunction(ctx context.Context, req *tfprotov6.CallFunctionRequest) (*tfprotov6.CallFunctionResponse, error) {
	return lend(ctx, req, s.ProviderServer.CallFunction)
}
