package cluster

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/cluster"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

var _ datasource.DataSourceWithConfigure = (*dataSource)(nil)

type dataSource struct{ tf.DataSource[backend] }

func newDataSource() datasource.DataSource { return &dataSource{} }

type model struct {
	Patroni *patroniModel `tfsdk:"patroni"`
	Name    types.String  `tfsdk:"name"`
	Paused  types.Bool    `tfsdk:"paused"`
	Members []memberModel `tfsdk:"members"`
}

type patroniModel struct {
	URLs       []string `tfsdk:"urls"`
	CACert     string   `tfsdk:"ca_cert"`
	ClientCert string   `tfsdk:"client_cert"`
	ClientKey  string   `tfsdk:"client_key"`
}

type memberModel struct {
	Name                types.String  `tfsdk:"name"`
	Host                types.String  `tfsdk:"host"`
	Role                types.String  `tfsdk:"role"`
	State               types.String  `tfsdk:"state"`
	Timeline            types.Int64   `tfsdk:"timeline"`
	LagBytes            types.Int64   `tfsdk:"lag_bytes"`
	LagSeconds          types.Float64 `tfsdk:"lag_seconds"`
	Synchronous         types.Bool    `tfsdk:"synchronous"`
	CertificateNotAfter types.String  `tfsdk:"certificate_not_after"`
}

func (d *dataSource) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_cluster"
}

func (d *dataSource) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "The servers that replicate the database: who leads, how far the others are, and when their certificates " +
			"expire. With `patroni`, from its REST API; without, from the server that accepts writes, which knows the replicas that " +
			"stream from it right now. That needs the right of `pg_read_all_stats`; without it, states and lags are null, with a " +
			"warning.",
		Attributes: map[string]schema.Attribute{
			"patroni": schema.SingleNestedAttribute{
				Optional: true, Attributes: patroniAttributes(),
				MarkdownDescription: "Patroni's REST API, over mutual TLS. The certificate may give orders there, too: Patroni tells " +
					"clients apart by their authority only. Default: PostgreSQL alone is asked.",
			},
			"name": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Patroni's scope, which PostgreSQL knows as `cluster_name`; null when there is none.",
			},
			"paused": schema.BoolAttribute{
				Computed: true,
				MarkdownDescription: "Whether Patroni is paused, so that nobody replaces a leader that fails; null without " +
					"`patroni`.",
			},
			"members": schema.ListNestedAttribute{
				Computed: true, NestedObject: schema.NestedAttributeObject{Attributes: memberAttributes()},
				MarkdownDescription: "The leader first, then the others by name.",
			},
		},
	}
}

func patroniAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"urls": schema.ListAttribute{
			Required: true, ElementType: types.StringType,
			Validators: []validator.List{listvalidator.SizeAtLeast(1), listvalidator.ValueStringsAre(httpsURL)},
			MarkdownDescription: "Where it is, on one member or more, such as `https://pg-0.pg-members.databases.svc:8008`. They are " +
				"asked in this order until one answers.",
		},
		"ca_cert": schema.StringAttribute{
			Required:            true,
			MarkdownDescription: "Authorities that may sign the API's certificates: PEM text or the path of a PEM file.",
		},
		"client_cert": schema.StringAttribute{
			Required:            true,
			MarkdownDescription: "Certificate to ask with, with its chain: PEM text or the path of a PEM file.",
		},
		"client_key": schema.StringAttribute{
			Required: true, Validators: []validator.String{tf.KeyFile},
			MarkdownDescription: "Path of the PEM file with the private key of `client_cert`. Only a path, because arguments are " +
				"stored in the state.",
		},
	}
}

func memberAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"name": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "Name in Patroni; without `patroni`, a replica's `application_name`, and null for the leader.",
		},
		"host": schema.StringAttribute{Computed: true, MarkdownDescription: "Name or address; null on a unix socket."},
		"role": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "`leader`, `replica`, or `standby_leader`, the first of a cluster that follows another one.",
		},
		"state": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "What it does, such as `running` for a leader and `streaming` for a replica.",
		},
		"timeline": schema.Int64Attribute{
			Computed:            true,
			MarkdownDescription: "Timeline of the write-ahead log, which each new leader begins; null when it is not known.",
		},
		"lag_bytes": schema.Int64Attribute{
			Computed: true,
			MarkdownDescription: "How much of the leader's write-ahead log the replica has not replayed; null for a leader and where " +
				"it is not known.",
		},
		"lag_seconds": schema.Float64Attribute{
			Computed: true,
			MarkdownDescription: "How far behind that is, in seconds: 0 when nothing is missing; with `patroni`, the age of the last " +
				"transaction that was replayed; without, `replay_lag` of `pg_stat_replication`.",
		},
		"synchronous": schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether commits may wait for this replica."},
		"certificate_not_after": schema.StringAttribute{
			Computed: true,
			MarkdownDescription: "When the certificate expires that its PostgreSQL shows, in RFC 3339; null where it cannot be reached " +
				"from here, speaks no TLS, or, without `patroni`, for replicas.",
		},
	}
}

const wantsURL = "it must be such as https://pg-0.example:8008, since the certificate must not go elsewhere"

var httpsURL = tf.Check(wantsURL, func(value string) string {
	if !strings.HasPrefix(value, "https://") {
		return "is no https:// URL"
	}
	return ""
})

func (d *dataSource) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m model
	if resp.Diagnostics.Append(req.Config.Get(ctx, &m)...); resp.Diagnostics.HasError() {
		return
	}
	found, err := d.read(ctx, m.Patroni)
	switch {
	case errors.Is(err, cluster.ErrNoStatistics):
		tf.AddWarning(&resp.Diagnostics, "Cluster is known in part", "cluster", "", err)
	case err != nil:
		tf.AddError(&resp.Diagnostics, "read", "cluster", "", err)
		return
	}
	m.Name, m.Members = tf.TextOrNull(found.Name), []memberModel{}
	if m.Patroni != nil {
		m.Paused = types.BoolValue(found.Paused)
	}
	for _, one := range found.Members {
		m.Members = append(m.Members, translate(one))
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
}

func (d *dataSource) read(ctx context.Context, p *patroniModel) (cluster.Cluster, error) {
	if p == nil {
		return cluster.ReadFromPostgreSQL(ctx, d.Backend.db)
	}
	patroni := cluster.Patroni{URLs: p.URLs}
	for _, file := range []struct {
		attribute, value string
		text             *[]byte
	}{
		{"ca_cert", p.CACert, &patroni.Authorities},
		{"client_cert", p.ClientCert, &patroni.Certificate},
		{"client_key", p.ClientKey, &patroni.Key},
	} {
		var err error
		*file.text, err = postgres.PEMOrFile(file.attribute, file.value)
		if wrong, ok := errors.AsType[*postgres.ConfigError](err); ok {
			return cluster.Cluster{}, problem.New("patroni."+wrong.Attribute+" "+wrong.Problem, "").On("patroni")
		}
	}
	return cluster.ReadFromPatroni(ctx, patroni)
}

func translate(m cluster.Member) memberModel {
	translated := memberModel{
		Name: types.StringPointerValue(m.Name), Host: types.StringPointerValue(m.Host), Role: types.StringValue(m.Role),
		State: types.StringPointerValue(m.State), Timeline: types.Int64PointerValue(m.Timeline),
		LagBytes: types.Int64PointerValue(m.LagBytes), LagSeconds: types.Float64PointerValue(m.LagSeconds),
		Synchronous: types.BoolValue(m.Synchronous),
	}
	if m.CertificateNotAfter != nil {
		translated.CertificateNotAfter = types.StringValue(m.CertificateNotAfter.UTC().Format(time.RFC3339))
	}
	return translated
}
