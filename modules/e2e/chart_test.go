//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestChart renders the charts with values of each kind, and has kubeconform and the API server check what comes of them.
func TestChart(t *testing.T) {
	schemas := schemas(t)
	const (
		brought = "certificates.csi=true,certificates.issuer.name=vault,certificates.server.secret=,certificates.rewind.secret="
		lists   = ",crl.enabled=true,crl.lists={http://lists.example/ca.crl}"
	)
	renders(t, schemas, "postgres-ha", "StatefulSet", values(t), map[string]string{
		"instances=5":                                                                        "",
		"postgresql.parameters.work_mem=5M":                                                  "",
		"standby.host=pg-primary.databases.svc":                                              "",
		"standby.host=A":                                                                     "/standby/host",
		"wal.enabled=true,spread.host=required,spread.zone=none":                             "",
		"crl.enabled=true,crl.lists={http://lists.example/ca.crl}":                           "",
		"certificates.issuer.name=vault,certificates.server.secret=":                         "",
		"certificates.csi=true,certificates.server.secret=,certificates.server.issuer=vault": "",
		brought + lists + ",certificates.authorities.configMap=cm":                           "",
		brought + lists:      "crl.enabled: with certificates of the csi-driver",
		"certificates.csi=1": "/certificates/csi",
		"certificates.csi=true,certificates.server.secret=":                  "certificates.server: name a Secret, or an issuer",
		"networkPolicy.clients[0].cidr=10.0.0.0/8":                           "",
		"storage.growth.maximum=1Ti,storage.growth.step=50Gi,wal.ballast=0M": "",
		"storage.growth.step=0%":                                             "/storage/growth/step",
		"wal.growth.threshold=100":                                           "/wal/growth/threshold",
		"postgresql.parameters.default_transaction_read_only=off":            "invalid propertyName 'default_transaction_read_only'",
		"upgrade.state=done":                                                 "value must be one of 'prepared', 'upgraded', 'confirmed'",
		"upgrade.from=17":                                                    "/upgrade/from",
		"colour=red":                                                         "additional properties 'colour' not allowed",
		"storage.colour=red":                                                 "additional properties 'colour' not allowed",
		"synchronous.mode=maybe":                                             "value must be one of 'on', 'quorum', 'off'",
		"instances=1":                                                        "synchronous.replicas must be less than instances",
		"patroni.retryTimeout=10":                                            "patroni.ttl must be at least",
		"postgresql.parameters.fsync=off":                                    "invalid propertyName 'fsync'",
		"crl.enabled=true":                                                   "/crl",
		"image.digest=sha1:0":                                                "/image/digest",
		"certificates.api.secret=":                                           "certificates.api: name a Secret, or an issuer",
		"networkPolicy.clients[0].podLabels=x":                               "/networkPolicy/clients/0/podLabels",
		"fullnameOverride=" + strings.Repeat("a", 41):                        "/fullnameOverride",
		"postgresql.parameters.ssl_ca_file=/etc/passwd":                      "invalid propertyName 'ssl_ca_file'",
		"bootstrap.administrator=postgres":                                   "/bootstrap/administrator",
		"certificates.authorities.configMap=cm,instances=two":                "/instances",
	})
	renders(t, schemas, "pgbouncer", "Deployment", poolerValues(t), map[string]string{
		"instances=3": "",
		"autoscaling.maximum=4,outside.enabled=true,outside.cidrs={192.0.2.0/24}": "",
		"networkPolicy.clients=null":     "",
		"certificates.issuer.name=vault": "",
		"certificates.csi=true,certificates.issuer.name=vault,certificates.client.secret=": "",
		"certificates.csi=true,certificates.client.secret=":                                "certificates.client: name a Secret, or an issuer",
		"settings.default_pool_size=40":                                                    "",
		"colour=red":                                                                       "additional properties 'colour' not allowed",
		"leader.colour=red":                                                                "additional properties 'colour' not allowed",
		"autoscaling.maximum=1":                                                            "autoscaling.maximum must be at least instances",
		"outside.enabled=true":                                                             "/outside/cidrs",
		"outside.cidrs={everybody}":                                                        "/outside/cidrs/0",
		"settings.auth_type=trust":                                                         "invalid propertyName 'auth_type'",
		"settings.admin_users=me":                                                          "invalid propertyName 'admin_users'",
		"certificates.client.secret=":                                                      "certificates.client: name a Secret, or an issuer",
		"fullnameOverride=" + strings.Repeat("a", 41):                                      "/fullnameOverride",
		"leader.maxLagBytes=-1":                                                            "/leader/maxLagBytes",
		"cluster.name=A":                                                                   "/cluster/name",
		"networkPolicy.clients[0].podLabels=x":                                             "/networkPolicy/clients/0/podLabels",
		"image.tag=,leader.image.digest=" + "sha256:" + "00":                               "/leader/image/digest",
	})
}

// renders gives a chart further values, each with words of what refuses them, or none.
func renders(t *testing.T, schemas, chart, kind string, values object, cases map[string]string) {
	t.Helper()
	for set, words := range cases {
		output, err := attempt(t.Context(), "", setting(t, "HELM"), "template", release, "../"+chart+"/chart", "--kube-version=1.33.0",
			"--values="+file(t, values), "--set="+set)
		switch {
		case words == "" && (err != nil || !strings.Contains(output, "kind: "+kind)):
			t.Errorf("%s: %s: %v", chart, set, err)
		case words != "" && (err == nil || !strings.Contains(err.Error(), words)):
			t.Errorf("%s: %s: want %q, got %v", chart, set, words, err)
		}
		if words != "" {
			continue
		}
		// Custom resources have no schema there.
		result, err := attempt(t.Context(), output, setting(t, "KUBECONFORM"), "-strict", "-summary", "-skip=Certificate",
			"-schema-location="+schemas+"/{{.ResourceKind}}{{.KindSuffix}}.json")
		if err != nil || !strings.Contains(result, "Invalid: 0, Errors: 0") || strings.Contains(result, "Valid: 0,") {
			t.Errorf("%s: %s: %s %v", chart, set, result, err)
		}
		// Not every cluster has cert-manager.
		if !strings.Contains(output, "cert-manager.io/v1") {
			if _, err := attempt(t.Context(), output, "kubectl", "--namespace=default", "create", "--dry-run=server", "--validate=strict", "--filename=-"); err != nil {
				t.Errorf("%s: %s: %v", chart, set, err)
			}
		}
	}
}

// schemas is a folder with what the API server says of its kinds of objects, as JSON schemas that allow no other property.
func schemas(t *testing.T) string {
	t.Helper()
	var api struct{ Definitions map[string]object }
	if err := json.Unmarshal([]byte(mustKubectl(t, "get", "--raw", "/openapi/v2")), &api); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, schema object) {
		text, err := json.Marshal(schema)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".json"), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, definition := range api.Definitions {
		// OpenAPI calls them strings; YAML has numbers, too.
		if definition["format"] == "int-or-string" || strings.HasSuffix(name, ".Quantity") {
			delete(definition, "type")
		}
		if _, ok := definition["properties"]; ok {
			definition["additionalProperties"] = false
		}
		kinds, _ := definition["x-kubernetes-group-version-kind"].([]any)
		for _, kind := range kinds {
			is, _ := kind.(map[string]any)
			file := strings.ToLower(fmt.Sprint(is["kind"]))
			if group, _, _ := strings.Cut(fmt.Sprint(is["group"]), "."); group != "" {
				file += "-" + group
			}
			write(fmt.Sprintf("%s-%s", file, is["version"]), object{"$ref": "definitions.json#/definitions/" + name})
		}
	}
	write("definitions", object{"definitions": api.Definitions})
	return dir
}
