package modules_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the chart carries of the module postgres-auth")

// TestAccChartAccess: without Terraform the chart gives the members the same files as with it.
func TestAccChartAccess(t *testing.T) {
	acceptance(t)
	f := copied(t, "", nil)
	for _, name := range []string{"access.tf", "variables.tf", "patterns.tf"} {
		text, err := os.ReadFile(filepath.Join("postgres-ha", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(f.dir, name), []byte(strings.ReplaceAll(string(text), `"../postgres-auth"`, `"./postgres-auth"`)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]string{"pg_hba.conf": "pg_hba_conf", "pg_ident.conf": "pg_ident_conf", "server.conf": "postgresql_conf"}
	var config strings.Builder
	for _, output := range files {
		config.WriteString("output \"" + output + "\" {\n  value = module.access." + output + "\n}\n")
	}
	f.write(config.String())
	f.initialize()
	f.must("apply", "-auto-approve", "-input=false")
	rendered := map[string]struct{ Value string }{}
	if err := json.Unmarshal([]byte(f.must("output", "-json")), &rendered); err != nil {
		t.Fatal(err)
	}
	for name, output := range files {
		path, want := filepath.Join("postgres-ha", "chart", "files", name), rendered[output].Value
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || want == "" || string(got) != want {
			t.Errorf("%s is not what postgres-auth renders (%v); go test ./modules -run %s -update writes it:\n%s", path, err, t.Name(), want)
		}
	}
}

// TestOwnSettings: the module and its chart keep the same settings to themselves.
func TestOwnSettings(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("postgres-ha/chart/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties struct {
			PostgreSQL struct {
				Properties struct {
					Parameters struct {
						PropertyNames struct{ Not struct{ Pattern string } }
					}
				}
			} `json:"postgresql"`
		}
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	chart := schema.Properties.PostgreSQL.Properties.Parameters.PropertyNames.Not.Pattern
	patterns, err := os.ReadFile("postgres-ha/patterns.tf")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(patterns), "own_setting_pattern = join(\"\", [")
	list, _, _ := strings.Cut(after, "])")
	module := strings.NewReplacer("\n", "", "    ", "", "  ", "", `",`, "", `"`, "", `\\`, `\`).Replace(list)
	if chart == "" || module != chart {
		t.Errorf("the module has %s\nthe chart has  %s", module, chart)
	}
}

const (
	peerWords = "network.clients and network.egress: each peer"
	pemWords  = "certificates: each kind has the name"
)

var highlyAvailableValues = []value{
	{"name", `"a-1"`, ""},
	{"name", `"1a"`, "name has 1 to 40"},
	{"name", `"` + strings.Repeat("a", 41) + `"`, "name has 1 to 40"},
	{"namespace", `{ name = "A" }`, "namespace.name has 1 to 63"},
	{"instances", `10`, "instances must be a whole number"},
	{"instances", `2.5`, "instances must be a whole number"},
	{"instances", `1`, "instances must be more than synchronous.replicas"},
	{"synchronous", `{ replicas = 3, mode = "off" }`, ""},
	{"synchronous", `{ replicas = 0 }`, "synchronous.replicas must be"},
	{"synchronous", `{ mode = "yes" }`, "synchronous.mode must be"},
	{"image", `{ repository = "A b" }`, "image.repository and image.tag"},
	{"image", `{ tag = "" }`, "image.repository and image.tag"},
	{"image", `{ digest = "sha256:` + strings.Repeat("0", 64) + `" }`, ""},
	{"image", `{ digest = "sha1:0" }`, "image.digest must be null"},
	{"image", `{ pull_policy = "Sometimes" }`, "image.pull_policy must be"},
	{"parameters", `{ work_mem = "5MB", "auto_explain.log_min_duration" = "1s" }`, ""},
	{"parameters", `{ ssl = "off" }`, "parameters: each must be"},
	{"parameters", `{ "pgaudit.log" = "none" }`, "parameters: each must be"},
	{"parameters", `{ "a b" = "1" }`, "parameters: each must be"},
	{"parameters", `{ work_mem = null }`, "parameters: each must be"},
	{"audit", `"all, -misc"`, ""},
	{"audit", `"ddl\nx"`, "audit must be a list"},
	{"bootstrap", `{ database = "postgres" }`, "bootstrap.database has"},
	{"bootstrap", `{ database = "a'b" }`, "bootstrap.database has"},
	{"bootstrap", `{ administrator = "rewind" }`, "bootstrap.administrator has"},
	{"bootstrap", `{ administrator = "*" }`, "bootstrap.administrator has"},
	{"timing", `{ ttl = 19 }`, "timing: whole numbers"},
	{"timing", `{ loop_wait = 1.5 }`, "timing: whole numbers"},
	{"timing", `{ retry_timeout = 10 }`, "timing.ttl must be at least"},
	{"timing", `{ retry_timeout = 10, ttl = 21 }`, ""},
	{"storage", `{ size = "big" }`, "storage.size must be"},
	{"wal", `{ size = "1.5Ti" }`, ""},
	{"wal", `{ size = "-1Gi" }`, "wal.size must be"},
	{"resources", `{ requests = { gpu = "1" } }`, "resources: requests and limits"},
	{"resources", `{ limits = { memory = "much" } }`, "resources: requests and limits"},
	{"resources", `{ shared_memory = "" }`, "resources: requests and limits"},
	{"scheduling", `{ host = "maybe" }`, "scheduling.host and scheduling.zone"},
	{"certificates", `{ issuer = { name = "x" }, api = { secret = "y" } }`, ""},
	{"certificates", `{ server = { secret = "x", issuer = "y" } }`, pemWords},
	{"certificates", `{ server = { secret = "A_b" } }`, pemWords},
	{"certificates", `{ issuer = { name = "x", kind = "Thing" } }`, "certificates.issuer.kind must be"},
	{"certificates", `{ duration = "30d" }`, "certificates.duration and"},
	{"revocation", `{ lists = ["http://lists.example/ca.crl"] }`, ""},
	{"revocation", `{}`, "revocation needs mounts or lists"},
	{"revocation", `{ mounts = ["pki"] }`, "must be URLs"},
	{"revocation", `{ lists = ["http://a/b"], interval = "1" }`, "revocation.interval and"},
	{"network", `{ clients = [{ cidr = "10.0.0.0/8" }, { pod_labels = { a = "b" }, namespace_labels = { c = "d" } }] }`, ""},
	{"network", `{ clients = [{}] }`, peerWords},
	{"network", `{ clients = [{ pod_labels = {} }] }`, peerWords},
	{"network", `{ clients = [{ cidr = "10.0.0.0" }] }`, peerWords},
	{"network", `{ egress = [{ to = { cidr = "10.0.0.0/8", pod_labels = { a = "b" } }, ports = [80] }] }`, peerWords},
	{"network", `{ egress = [{ to = { cidr = "10.0.0.0/8" }, ports = [] }] }`, "network: ports are whole numbers"},
	{"network", `{ api_server = { ports = [0] } }`, "network: ports are whole numbers"},
	{"network", `{ api_server = { cidrs = [] } }`, "network.api_server.cidrs must name"},
	{"timeout", `59`, "timeout must be a whole number"},
}
