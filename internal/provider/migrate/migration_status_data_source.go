package migrate

import (
	"context"
	"errors"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	resourceschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

var _ datasource.DataSourceWithConfigure = (*migrationStatusDataSource)(nil)

type migrationStatusDataSource struct{ tf.DataSource[backend] }

func newMigrationStatusDataSource() datasource.DataSource { return &migrationStatusDataSource{} }

type migrationStatusModel struct {
	Name           types.String   `tfsdk:"name"`
	SourceDir      types.String   `tfsdk:"source_dir"`
	CurrentVersion types.Int64    `tfsdk:"current_version"`
	LatestVersion  types.Int64    `tfsdk:"latest_version"`
	UpToDate       types.Bool     `tfsdk:"up_to_date"`
	Problems       []string       `tfsdk:"problems"`
	Applied        []appliedModel `tfsdk:"applied"`
	Pending        types.List     `tfsdk:"pending"`
	Drift          types.List     `tfsdk:"drift"`
}

type appliedModel struct {
	Version         types.Int64       `tfsdk:"version"`
	Name            types.String      `tfsdk:"name"`
	SHA256          types.String      `tfsdk:"sha256"`
	AppliedAt       timetypes.RFC3339 `tfsdk:"applied_at"`
	Duration        types.String      `tfsdk:"duration"`
	Role            types.String      `tfsdk:"role"`
	ProviderVersion types.String      `tfsdk:"provider_version"`
	RunID           types.String      `tfsdk:"run_id"`
}

func appliedModelFrom(a migrate.Applied) appliedModel {
	optional := func(text string) types.String {
		if text == "" {
			return types.StringNull()
		}
		return types.StringValue(text)
	}
	return appliedModel{
		Version: types.Int64Value(a.Version), Name: optional(a.Name), SHA256: optional(a.SHA256), AppliedAt: tf.TimeValue(a.At),
		Duration: types.StringValue(a.Duration.String()), Role: optional(a.Role), ProviderVersion: optional(a.ProviderVersion),
		RunID: optional(a.RunID),
	}
}

func (d *migrationStatusDataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_migration_status"
}

func (d *migrationStatusDataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Which migrations a database has, and which it lacks. It changes nothing, and reports what is wrong " +
			"instead of failing.",
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{
				Optional: true, Computed: true, Validators: []validator.String{historyName},
				MarkdownDescription: "Name of the history, as in `brownie_migration`.",
			},
			"source_dir": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
				MarkdownDescription: "Folder with the migrations, as in `brownie_migration`. Default: those that the provider contains.",
			},
			"current_version": schema.Int64Attribute{Computed: true, MarkdownDescription: "The version that the schema has; 0 when " +
				"no migration ever ran."},
			"latest_version": schema.Int64Attribute{Computed: true, MarkdownDescription: "The latest version that the provider, or " +
				"the folder, has."},
			"up_to_date": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether nothing is pending and nothing is " +
				"wrong."},
			"problems": schema.ListAttribute{
				Computed: true, ElementType: types.StringType,
				MarkdownDescription: "What is wrong: edited, missing or out-of-order files, a database that is ahead, a schema that " +
					"is no version, and all that `drift` lists.",
			},
			"drift": schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: describedDrift},
			"applied": schema.ListNestedAttribute{
				Computed: true, MarkdownDescription: "What ran, in ascending order of versions.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"version": schema.Int64Attribute{Computed: true, MarkdownDescription: describedVersion},
					"name":    schema.StringAttribute{Computed: true, MarkdownDescription: describedName},
					"sha256":  schema.StringAttribute{Computed: true, MarkdownDescription: describedSHA256},
					"applied_at": schema.StringAttribute{
						Computed: true, CustomType: timetypes.RFC3339Type{},
						MarkdownDescription: "When it ended.",
					},
					"duration": schema.StringAttribute{
						Computed:            true,
						MarkdownDescription: "How long it ran; `0s` for what was adopted.",
					},
					"role": schema.StringAttribute{Computed: true, MarkdownDescription: "The role that ran it."},
					"provider_version": schema.StringAttribute{
						Computed:            true,
						MarkdownDescription: "The version of the provider that ran it.",
					},
					"run_id": schema.StringAttribute{
						Computed:            true,
						MarkdownDescription: "The run of HCP Terraform that it was part of (`TFC_RUN_ID`), if any.",
					},
				}},
			},
			"pending": tf.Readable(map[string]resourceschema.Attribute{
				"pending": pendingAttribute("What is known and not applied, in the order in which it would run."),
			})["pending"],
		},
	}
}

func (d *migrationStatusDataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model migrationStatusModel
	if resp.Diagnostics.Append(req.Config.Get(ctx, &model)...); resp.Diagnostics.HasError() {
		return
	}
	err := checkName(model.Name, model.SourceDir)
	if err == nil && model.Name.IsNull() {
		var name string
		name, err = migrate.DefaultName(model.SourceDir.ValueString())
		model.Name = types.StringValue(name)
	}
	if err != nil {
		tf.AddError(&resp.Diagnostics, "read", "migration status", "", err)
		return
	}
	engine := migrationModel{Name: model.Name, SourceDir: model.SourceDir}.engine(d.Backend)
	latest, err := engine.Latest()
	var applied []migrate.Applied
	if err == nil {
		applied, err = engine.Applied(ctx)
	}
	if err != nil {
		tf.AddError(&resp.Diagnostics, "read", "migration status", "", err)
		return
	}
	model.CurrentVersion, model.LatestVersion = types.Int64Value(migrate.Current(applied)), types.Int64Value(latest)
	model.Applied = []appliedModel{}
	for _, a := range applied {
		model.Applied = append(model.Applied, appliedModelFrom(a))
	}
	planned, err := engine.Plan(ctx, latest, false)
	if err == nil {
		err = engine.Inspect(ctx, &planned)
	}
	model.Problems = problemsOf(err)
	drift, err := engine.Drift(ctx, applied)
	if err != nil {
		model.Problems = append(model.Problems, err.Error())
	}
	model.Drift = types.ListNull(types.StringType)
	if drift != nil {
		model.Drift = texts(drift)
	}
	model.Problems = append(model.Problems, drift...)
	model.Pending = measuredPending(planned.Steps)
	model.UpToDate = types.BoolValue(len(planned.Steps) == 0 && len(model.Problems) == 0)
	resp.Diagnostics.Append(resp.State.Set(ctx, model)...)
}

func problemsOf(err error) []string {
	var history *migrate.HistoryError
	switch {
	case err == nil:
		return []string{}
	case errors.As(err, &history):
		return history.Problems
	}
	return strings.Split(err.Error(), "\n\n")
}
