package provider_test

import (
	"fmt"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/provider/acctest"
)

func inKubernetes(arguments string) string {
	return fmt.Sprintf("provider \"brownie\" {\n  connect_timeout = \"1s\"\n  kubernetes = {\n    %s\n  }\n}\n", arguments)
}

const primary = "namespace = \"db\"\n    service = \"pg-primary\"\n    "

func TestAccBadKubernetesArguments(t *testing.T) {
	for name, test := range map[string]struct{ arguments, says string }{
		"no service":           {`namespace = "db"`, `attribute "service" is required`},
		"service":              {"namespace = \"db\"\n" + `service = "pg-primary.db.svc"`, "kubernetes.service is \"pg-primary.db.svc\": it must be a name"},
		"two kubeconfigs":      {primary + `config_path = "a"` + "\n" + `config_paths = ["b"]`, `"kubernetes.config_paths" cannot be specified when`},
		"host":                 {primary + `host = "http://u:pw@10.0.0.1"`, "kubernetes.host is no such URL: it must be a URL that begins with https://"},
		"key alone":            {primary + `client_key = "-----BEGIN PRIVATE KEY-----"`, `"kubernetes.client_certificate" must be specified`},
		"certificate alone":    {primary + `client_certificate = "-----BEGIN CERTIFICATE-----"`, `"kubernetes.client_key" must be specified`},
		"path of a CA":         {primary + `cluster_ca_certificate = "ca.pem"`, "kubernetes.cluster_ca_certificate holds no PEM text"},
		"token and program":    {primary + "token = \"x\"\n" + program("client.authentication.k8s.io/v1"), `"kubernetes.exec" cannot be specified when`},
		"version of a program": {primary + program("v1"), `"client.authentication.k8s.io/v1"`},
		"no check and a CA": {
			primary + "insecure = true\n" + `cluster_ca_certificate = "-----BEGIN CERTIFICATE-----"`,
			"insecure cannot be combined with cluster_ca_certificate",
		},
	} {
		t.Run(name, func(t *testing.T) {
			resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{{
				Config: inKubernetes(test.arguments) + acctest.Acme, PlanOnly: true, ExpectError: acctest.Says(test.says),
			}}})
		})
	}
	t.Run("several hosts", func(t *testing.T) {
		resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{{
			Config: `provider "brownie" {
  host       = "a.test,b.test"
  kubernetes = { namespace = "db", service = "pg-primary" }
}
` + acctest.Acme,
			PlanOnly: true, ExpectError: acctest.Says(`provider argument "host" must be one name`),
		}}})
	})
}

func program(version string) string {
	return fmt.Sprintf("exec = { api_version = %q, command = \"aws\" }", version)
}

// A cluster that the same configuration makes is not known while it is planned.
func TestAccUnknownKubernetes(t *testing.T) {
	const cluster = "resource \"terraform_data\" \"cluster\" { input = \"of the cluster\" }\n"
	for unknown, arguments := range map[string]string{
		"token":     primary + "host = \"https://10.0.0.1\"\n    token = terraform_data.cluster.output",
		"namespace": "service = \"pg-primary\"\n    namespace = terraform_data.cluster.output",
		"exec": primary + "host = \"https://10.0.0.1\"\n" +
			`exec = { api_version = "client.authentication.k8s.io/v1", command = "aws", args = [terraform_data.cluster.output] }`,
	} {
		t.Run(unknown, func(t *testing.T) {
			resource.ParallelTest(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{
				{Config: cluster + inKubernetes(arguments) + acctest.Platform, PlanOnly: true, ExpectNonEmptyPlan: true},
				{
					Config:      cluster + inKubernetes(arguments) + `data "brownie_organizations" "all" {}`,
					PlanOnly:    true,
					ExpectError: acctest.Says(`provider argument "kubernetes.` + unknown + `" is not known yet`),
				},
			}})
		})
	}
}

// With kubernetes, PGHOST does not count, nor does this machine resolve the name of the server.
func TestAccKubernetesIsTheOnlyWay(t *testing.T) {
	t.Setenv("PGHOST", "elsewhere.invalid") // so this test cannot be parallel
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: acctest.Factories, Steps: []resource.TestStep{{
		Config: inKubernetes(primary+"host = \"https://127.0.0.1:1\"\n    token = \"secret-of-the-test\"") + `data "brownie_organizations" "all" {}`,
		ExpectError: acctest.Says(`cannot connect to PostgreSQL at pg-primary.db.svc, port 5432, as role "brownie-terraform", database ` +
			`"brownie_metadata": the Kubernetes API server 127.0.0.1:1 cannot be asked: dial tcp 127.0.0.1:1: connect: connection refused ` +
			`(waited 1.0 s). Correct the provider argument kubernetes`),
	}}})
}
