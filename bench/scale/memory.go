package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/hashicorp/terraform-plugin-log/tfsdklog"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/longyi-brownie/terraform-provider-brownie/bench/internal/benchmark"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider"
)

// memoryLimit is the most memory that the provider may need at once, in MiB.
const memoryLimit = 150

// childVariable makes the process a provider that refreshes and plans rows, as many organizations as it says.
const childVariable = "BROWNIE_BENCH_PLAN"

const rowsSQL = `
	WITH o AS (
		INSERT INTO public.organizations (name, slug)
		SELECT 'Organization ' || i, 'organization-' || i FROM generate_series(1, $1::integer) i
		RETURNING id, slug
	), t AS (
		INSERT INTO public.teams (organization_id, org_id, name, slug) SELECT id, id, 'Core', 'core' FROM o RETURNING id, organization_id
	)
	INSERT INTO public.users (organization_id, org_id, team_id, email, username, role)
	SELECT t.organization_id, t.organization_id, t.id, t.id || '-' || i || '@example.com', t.id || '-' || i, 'MEMBER'
	FROM t, generate_series(1, 2) i`

// memory measures what the provider's process needs for a plan without changes, by the number of rows.
func memory(ctx context.Context, r *benchmark.Report, server *devstack.Postgres) error {
	r.Section("Memory and time of a plan without changes")
	r.Text("Organizations with one team and two users each are read and planned by a provider process, ten at once.")
	table := [][]string{{"organizations", "rows", "time", "time per row", "peak memory"}}
	for _, n := range []int{*organizations / 10, *organizations} {
		database := fmt.Sprintf("scale_rows_%d", n)
		config, err := newDatabase(ctx, server, database)
		if err != nil {
			return err
		}
		admin, err := pgx.Connect(ctx, server.URL(database))
		if err != nil {
			return err
		}
		_, err = admin.Exec(ctx, rowsSQL, n)
		if err := errors.Join(err, admin.Close(ctx)); err != nil {
			return err
		}
		program, err := os.Executable()
		if err != nil {
			return err
		}
		command := exec.CommandContext(ctx, program)
		command.Env = append(append(os.Environ(), environment(config, config.Port)...),
			childVariable+"="+server.URL(database), "TF_LOG_SDK=off", "GOGC=400", "GOMEMLIMIT=110MiB")
		var output bytes.Buffer
		command.Stdout, command.Stderr = &output, os.Stderr
		start := time.Now()
		if err := command.Run(); err != nil {
			return err
		}
		took := time.Since(start)
		peak, err := strconv.Atoi(strings.TrimSpace(output.String()))
		if err != nil {
			return err
		}
		benchmark.Progress("%d organizations: %s, %d MiB", n, took, peak>>10)
		table = append(table, []string{
			strconv.Itoa(n), strconv.Itoa(4 * n), benchmark.Seconds(took), perObject(took, 4*n), fmt.Sprintf("%d MiB", peak>>10),
		})
		r.Limit(fmt.Sprintf("MiB with %d organizations", n), float64(peak>>10), memoryLimit)
	}
	r.Table(table...)
	return nil
}

// child refreshes and plans all rows of a database as Terraform does, and prints its peak memory in KiB.
func child(ctx context.Context, url string) error {
	admin, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close(ctx) }()
	server := provider.NewServer("bench")
	schemas, err := server.GetProviderSchema(ctx, &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		return err
	}
	empty, err := objectOf(schemas.Provider, nil)
	if err != nil {
		return err
	}
	configured, err := server.ConfigureProvider(ctx, &tfprotov6.ConfigureProviderRequest{Config: &empty})
	if err := firstError(err, configured.Diagnostics); err != nil {
		return err
	}
	for _, kind := range []string{"organization", "team", "user"} {
		schema := schemas.ResourceSchemas["brownie_"+kind]
		rows, err := admin.Query(ctx, "SELECT id::text FROM public."+kind+"s ORDER BY id")
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		var group errgroup.Group
		group.SetLimit(parallelism)
		for _, id := range ids {
			group.Go(func() error { return refreshAndPlan(ctx, server, "brownie_"+kind, schema, id) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Println(strings.Fields(rest)[0])
	return nil
}

// request is a context with loggers, as the plugin protocol's server makes one for each request.
func request(ctx context.Context) context.Context {
	ctx = tfsdklog.NewRootSDKLogger(ctx, tfsdklog.WithStderrFromInit())
	for _, subsystem := range []string{"framework", "proto"} {
		ctx = tfsdklog.NewSubsystem(ctx, subsystem) //nolint:fatcontext // That is what is measured.
	}
	for _, field := range []string{"tf_req_id", "tf_provider_addr", "tf_proto_version", "tf_rpc", "tf_resource_type"} {
		ctx = tfsdklog.SetField(ctx, field, field) //nolint:fatcontext // That is what is measured.
	}
	return ctx
}

func refreshAndPlan(ctx context.Context, server tfprotov6.ProviderServer, kind string, schema *tfprotov6.Schema, id string) error {
	state, err := objectOf(schema, map[string]tftypes.Value{"id": tftypes.NewValue(tftypes.String, id)})
	if err != nil {
		return err
	}
	read, err := server.ReadResource(request(ctx), &tfprotov6.ReadResourceRequest{TypeName: kind, CurrentState: &state})
	if err := firstError(err, read.Diagnostics); err != nil {
		return err
	}
	value, err := read.NewState.Unmarshal(schema.ValueType())
	if err != nil {
		return err
	}
	var attributes map[string]tftypes.Value
	if err := value.As(&attributes); err != nil {
		return err
	}
	for _, attribute := range schema.Block.Attributes {
		if attribute.Computed && !attribute.Optional {
			delete(attributes, attribute.Name)
		}
	}
	config, err := objectOf(schema, attributes)
	if err != nil {
		return err
	}
	validated, err := server.ValidateResourceConfig(request(ctx), &tfprotov6.ValidateResourceConfigRequest{TypeName: kind, Config: &config})
	if err := firstError(err, validated.Diagnostics); err != nil {
		return err
	}
	planned, err := server.PlanResourceChange(request(ctx), &tfprotov6.PlanResourceChangeRequest{
		TypeName: kind, PriorState: read.NewState, ProposedNewState: read.NewState, Config: &config,
	})
	if err := firstError(err, planned.Diagnostics); err != nil {
		return err
	}
	if !bytes.Equal(planned.PlannedState.MsgPack, read.NewState.MsgPack) {
		return fmt.Errorf("%s %s: the plan has changes", kind, id)
	}
	return nil
}

// objectOf has the values, and null for all others.
func objectOf(schema *tfprotov6.Schema, values map[string]tftypes.Value) (tfprotov6.DynamicValue, error) {
	object := map[string]tftypes.Value{}
	for _, attribute := range schema.Block.Attributes {
		if value, ok := values[attribute.Name]; ok {
			object[attribute.Name] = value
		} else {
			object[attribute.Name] = tftypes.NewValue(attribute.ValueType(), nil)
		}
	}
	return tfprotov6.NewDynamicValue(schema.ValueType(), tftypes.NewValue(schema.ValueType(), object))
}

func firstError(err error, diagnostics []*tfprotov6.Diagnostic) error {
	for _, d := range diagnostics {
		if err == nil && d.Severity == tfprotov6.DiagnosticSeverityError {
			err = fmt.Errorf("%s: %s", d.Summary, d.Detail)
		}
	}
	return err
}
