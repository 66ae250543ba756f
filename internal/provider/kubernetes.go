package provider

import (
	"context"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/objectvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/portforward"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/tf"
)

type kubernetesModel struct {
	Namespace            types.String `tfsdk:"namespace"`
	Service              types.String `tfsdk:"service"`
	ConfigPath           types.String `tfsdk:"config_path"`
	ConfigPaths          []string     `tfsdk:"config_paths"`
	ConfigContext        types.String `tfsdk:"config_context"`
	Host                 types.String `tfsdk:"host"`
	Token                types.String `tfsdk:"token"`
	ClusterCACertificate types.String `tfsdk:"cluster_ca_certificate"`
	ClientCertificate    types.String `tfsdk:"client_certificate"`
	ClientKey            types.String `tfsdk:"client_key"`
	Insecure             types.Bool   `tfsdk:"insecure"`
	TLSServerName        types.String `tfsdk:"tls_server_name"`
	ProxyURL             types.String `tfsdk:"proxy_url"`
	Exec                 *execModel   `tfsdk:"exec"`
}

type execModel struct {
	APIVersion types.String      `tfsdk:"api_version"`
	Command    types.String      `tfsdk:"command"`
	Args       []string          `tfsdk:"args"`
	Env        map[string]string `tfsdk:"env"`
}

var (
	kubernetesName = tf.Matching(regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`),
		"it must be a name of Kubernetes: lower-case letters, digits and hyphens, at most 63 of them")
	apiServer = tf.Check("it must be a URL that begins with https://, such as \"https://10.0.0.1:6443\"", func(value string) string {
		if parsed, err := url.Parse(value); err != nil || parsed.Scheme != "https" || parsed.Host == "" || parsed.User != nil {
			return "is no such URL" // What people paste may hold a password.
		}
		return ""
	})
	pemText = tf.Check("it must be PEM text, as file(…) or base64decode(…) returns", func(value string) string {
		if !strings.Contains(value, "-----BEGIN ") {
			return "holds no PEM text"
		}
		return ""
	})
)

// beside is another attribute of the same object.
func beside(name string) path.Expression { return path.MatchRelative().AtParent().AtName(name) }

func kubernetesAttribute() schema.Attribute {
	text := func(description string, validators ...validator.String) schema.StringAttribute {
		return schema.StringAttribute{Optional: true, Validators: validators, MarkdownDescription: description}
	}
	secret := text("Token to log in with, such as that of a service account.", stringvalidator.ConflictsWith(beside("exec")))
	secret.Sensitive = true
	key := text("PEM text of the unencrypted private key of `client_certificate`.", pemText,
		stringvalidator.AlsoRequires(beside("client_certificate")))
	key.Sensitive = true
	named := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Required: true, Validators: []validator.String{kubernetesName}, MarkdownDescription: description}
	}
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Reach a server inside a Kubernetes cluster from outside, through the API server, as `kubectl port-forward` " +
			"does, without a port on this machine. Each connection goes to a pod that is ready behind the Service, so that it " +
			"follows a failover; while none is, it waits up to `connect_timeout`. `port` is the Service's. `host` is then no way to the " +
			"server but the name that its certificate must have. The login needs a Role of that namespace (guide *Connecting*). " +
			"The arguments are called as those of the Kubernetes provider. Without `config_path`, " +
			"`config_paths` and `host`, the cluster is that of `KUBE_CONFIG_PATHS` or `KUBE_CONFIG_PATH`, else the one that Terraform " +
			"runs in, with the pod's service account.",
		Attributes: map[string]schema.Attribute{
			"namespace": named("Namespace of the Service."),
			"service":   named("The primary's Service, such as `pg-primary` of the module `postgres-ha`."),
			"config_path": text("Path of a kubeconfig file; `~/` is the home folder.",
				stringvalidator.ConflictsWith(beside("config_paths"))),
			"config_paths": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				Validators:          []validator.List{listvalidator.SizeAtLeast(1), listvalidator.NoNullValues()},
				MarkdownDescription: "Paths of kubeconfig files, of which the first that says something counts.",
			},
			"config_context":         text("Context of the kubeconfig. Default: its current one."),
			"host":                   text("URL of the API server. This and what follows count more than the kubeconfig.", apiServer),
			"token":                  secret,
			"cluster_ca_certificate": text("PEM text of the certificate authorities that may sign the API server's certificate.", pemText),
			"client_certificate": text("PEM text of the certificate to log in with.", pemText,
				stringvalidator.AlsoRequires(beside("client_key"))),
			"client_key":      key,
			"insecure":        schema.BoolAttribute{Optional: true, MarkdownDescription: "Do not check the API server's certificate."},
			"tls_server_name": text("The name that the API server's certificate must have. Default: that in its URL."),
			"proxy_url":       text("URL of a proxy on the way to the API server. Default: `HTTPS_PROXY`."),
			"exec": schema.SingleNestedAttribute{
				Optional: true, Validators: []validator.Object{objectvalidator.ConflictsWith(beside("token"))},
				MarkdownDescription: "A program that prints credentials, such as `aws eks get-token`.",
				Attributes: map[string]schema.Attribute{
					"api_version": schema.StringAttribute{
						Required: true, MarkdownDescription: "`client.authentication.k8s.io/v1` or `client.authentication.k8s.io/v1beta1`.",
						Validators: []validator.String{
							stringvalidator.OneOf("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"),
						},
					},
					"command": schema.StringAttribute{Required: true, MarkdownDescription: "Name or path of the program."},
					"args":    schema.ListAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: "Its arguments."},
					"env": schema.MapAttribute{
						Optional: true, Sensitive: true, ElementType: types.StringType,
						MarkdownDescription: "Environment variables for it, besides those of Terraform.",
					},
				},
			},
		},
	}
}

// kubernetesConfig translates the attribute, and names what of it is unknown.
func kubernetesConfig(ctx context.Context, object types.Object, diags *diag.Diagnostics) (config portforward.Config, unknown []string) {
	if object.IsUnknown() {
		return config, []string{"kubernetes"}
	}
	attributes := object.Attributes()
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if value, err := attributes[name].ToTerraformValue(ctx); err != nil || !value.IsFullyKnown() {
			unknown = append(unknown, "kubernetes."+name)
		}
	}
	if len(unknown) > 0 {
		return config, unknown
	}
	var m kubernetesModel
	if diags.Append(object.As(ctx, &m, basetypes.ObjectAsOptions{})...); diags.HasError() {
		return config, nil
	}
	if m.Insecure.ValueBool() && !m.ClusterCACertificate.IsNull() {
		diags.AddAttributeError(path.Root("kubernetes").AtName("insecure"), "Cannot configure the provider",
			"insecure cannot be combined with cluster_ca_certificate, which says whom to trust: remove one of them.")
	}
	config = portforward.Config{
		Namespace: m.Namespace.ValueString(), Service: m.Service.ValueString(),
		ConfigPaths: m.ConfigPaths, ConfigContext: m.ConfigContext.ValueString(),
		Host: m.Host.ValueString(), Token: m.Token.ValueString(), CACertificate: m.ClusterCACertificate.ValueString(),
		ClientCertificate: m.ClientCertificate.ValueString(), ClientKey: m.ClientKey.ValueString(), Insecure: m.Insecure.ValueBool(),
		ProxyURL: m.ProxyURL.ValueString(), TLSServerName: m.TLSServerName.ValueString(),
	}
	switch {
	case !m.ConfigPath.IsNull():
		config.ConfigPaths = []string{m.ConfigPath.ValueString()}
	case m.ConfigPaths == nil && m.Host.IsNull():
		config.ConfigPaths = filepath.SplitList(os.Getenv("KUBE_CONFIG_PATHS"))
		if file := os.Getenv("KUBE_CONFIG_PATH"); file != "" && len(config.ConfigPaths) == 0 {
			config.ConfigPaths = []string{file}
		}
	}
	if m.Exec != nil {
		config.Exec = &portforward.Exec{
			APIVersion: m.Exec.APIVersion.ValueString(), Command: m.Exec.Command.ValueString(), Args: m.Exec.Args, Env: m.Exec.Env,
		}
	}
	return config, nil
}
