package modules_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the charts carry of the module postgres-auth")

// charts are the modules with a chart, and what its files are in postgres-auth.
var charts = map[string]map[string]string{
	"postgres-ha": {"pg_hba.conf": "pg_hba_conf", "pg_ident.conf": "pg_ident_conf", "server.conf": "postgresql_conf"},
	"pgbouncer":   {"pgbouncer.ini": "pgbouncer_ini"},
}

// TestAccChartAccess: without Terraform a chart gives its pods the same files as with it.
func TestAccChartAccess(t *testing.T) {
	acceptance(t)
	for module, files := range charts {
		t.Run(module, func(t *testing.T) {
			t.Parallel()
			f := copied(t, "", nil)
			for _, name := range []string{"access.tf", "variables.tf", "patterns.tf"} {
				text, err := os.ReadFile(filepath.Join(module, name))
				if err == nil {
					err = os.WriteFile(filepath.Join(f.dir, name), []byte(strings.ReplaceAll(string(text), `"../postgres-auth"`, `"./postgres-auth"`)), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
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
				path, want := filepath.Join(module, "chart", "files", name), rendered[output].Value
				if *update {
					if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				got, err := os.ReadFile(path)
				if err != nil || want == "" || string(got) != want {
					t.Errorf("%s is not what postgres-auth renders (%v); go test ./modules -run TestAccChartAccess -update writes it:\n%s", path, err, want)
				}
			}
		})
	}
}

// TestOwnImages: a chart takes our own program, which its arguments belong to, in the chart's own version, and so does its module.
func TestOwnImages(t *testing.T) {
	t.Parallel()
	for module := range charts {
		version := regexp.MustCompile(`(?m)^version: (\S+)$`)
		chart, err := os.ReadFile(filepath.Join(module, "chart", "Chart.yaml"))
		if err != nil || !version.Match(chart) {
			t.Fatalf("%s: the chart has no version: %v", module, err)
		}
		is := regexp.QuoteMeta(string(version.FindSubmatch(chart)[1]))
		for file, image := range map[string]string{
			"chart/values.yaml": `/brownie-[a-z]+\n +tag: "` + is + `"\n`,
			"variables.tf":      `/brownie-[a-z]+"\)\n +tag += optional\(string, "` + is + `"\)\n`,
		} {
			text, err := os.ReadFile(filepath.Join(module, file))
			if err != nil || !regexp.MustCompile(image).Match(text) {
				t.Errorf("%s/%s: the image of our program has another tag than the chart's version: %v", module, file, err)
			}
		}
	}
}

// TestOwnSettings: a module and its chart keep the same settings to themselves.
func TestOwnSettings(t *testing.T) {
	t.Parallel()
	type settings struct {
		PropertyNames struct{ Not struct{ Pattern string } }
	}
	for module := range charts {
		text, err := os.ReadFile(filepath.Join(module, "chart", "values.schema.json"))
		if err != nil {
			t.Fatal(err)
		}
		var schema struct {
			Properties struct {
				Settings   settings
				PostgreSQL struct{ Properties struct{ Parameters settings } } `json:"postgresql"`
			}
		}
		if err := json.Unmarshal(text, &schema); err != nil {
			t.Fatal(err)
		}
		chart := schema.Properties.Settings.PropertyNames.Not.Pattern + schema.Properties.PostgreSQL.Properties.Parameters.PropertyNames.Not.Pattern
		patterns, err := os.ReadFile(filepath.Join(module, "patterns.tf"))
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(patterns), "own_setting_pattern = join(\"\", [")
		list, _, _ := strings.Cut(after, "])")
		own := strings.NewReplacer("\n", "", "    ", "", "  ", "", `",`, "", `"`, "", `\\`, `\`).Replace(list)
		if chart == "" || own != chart {
			t.Errorf("the module %s has %s\nits chart has  %s", module, own, chart)
		}
	}
}

// TestCommonTemplates: what charts have in common has one source.
func TestCommonTemplates(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("postgres-ha/chart/templates/_common.tpl")
	if err != nil {
		t.Fatal(err)
	}
	for module := range charts {
		if got, err := os.ReadFile(filepath.Join(module, "chart", "templates", "_common.tpl")); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the chart of %s has another _common.tpl (%v): run make generate", module, err)
		}
	}
}
