package devstack

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// What devstack renders is what the module renders, byte by byte: for values, for the lack of them, and for those that
// devstack itself gives.
func TestAccConfigurationAsTerraform(t *testing.T) {
	if os.Getenv("TF_ACC") == "" {
		t.Skip("Acceptance tests run with TF_ACC=1, as make test does")
	}
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS("../../modules/postgres-auth")); err != nil {
		t.Fatal(err)
	}
	terraform(t, folder, "init", "-input=false")
	for name, variables := range map[string]string{
		"defaults":          `{}`,
		"default pooler":    `{"pooler": {"fallback": {"host": "db.example"}}}`,
		"server's defaults": `{"server": {}, "pooler": {"databases": {"a": {"host": "b"}, "0": {"host": "c", "dbname": "d"}}}}`,
		"everything": `{
			"min_tls_version": "TLSv1.2",
			"server": {
				"addresses": ["10.0.0.0/8", "samenet"], "replication_roles": ["standby", "quo\"te, \\ ${ü} %{"], "log_connections": false,
				"local_users": {"postgres": ["postgres", "b"], "\"o'x": ["ü"]}, "ssl_crl_file": "/it's/a \\ list",
				"ssl_ca_file": "/ca", "reserved_connections": 7
			},
			"pooler": {
				"common_name": "p", "fallback": {"host": "::1", "port": 1}, "admin_users": ["a"], "stats_users": ["b", "c"],
				"auth_dbname": "d",
				"max_prepared_statements": 100, "min_pool_size": 1, "log_connections": false, "pool_mode": "session"
			}
		}`,
		"as devstack": `{
			"server": {
				"addresses": ["127.0.0.1/32", "::1/128"], "ssl_ca_file": "/tmp/x/ca.crt", "ssl_cert_file": "/tmp/x/server.crt",
				"ssl_key_file": "/tmp/x/server.key"
			},
			"pooler": {"fallback": {"host": "127.0.0.1", "port": 5432}, "listen_addr": "127.0.0.1", "listen_port": 6432,
				"admin_users": ["postgres"]}
		}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(folder, "terraform.tfvars.json"), []byte(variables), 0o600); err != nil {
				t.Fatal(err)
			}
			terraform(t, folder, "apply", "-auto-approve", "-input=false")
			want := map[string]struct{ Value string }{}
			if err := json.Unmarshal(terraform(t, folder, "output", "-json"), &want); err != nil {
				t.Fatal(err)
			}
			configured, err := configure(fromJSON(t, variables))
			if err != nil {
				t.Fatal(err)
			}
			for output, file := range map[string]string{
				"pg_hba_conf": "pg_hba.conf", "pg_ident_conf": "pg_ident.conf", "postgresql_conf": "postgresql.conf",
				"pgbouncer_ini": "pgbouncer.ini", "pgbouncer_userlist": "userlist.txt",
			} {
				if strings.HasPrefix(output, "pgbouncer") && configured["pooler"].IsNull() {
					continue
				}
				got, err := configured.render(file)
				if err != nil {
					t.Fatal(err)
				}
				if got == "" || got != want[output].Value {
					t.Errorf("%s: devstack renders\n%s\nTerraform renders\n%s", file, got, want[output].Value)
				}
			}
		})
	}
}

func fromJSON(t *testing.T, text string) map[string]cty.Value {
	t.Helper()
	kind, err := ctyjson.ImpliedType([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	value, err := ctyjson.Unmarshal([]byte(text), kind)
	if err != nil {
		t.Fatal(err)
	}
	return value.AsValueMap()
}

func terraform(t *testing.T, folder string, arguments ...string) []byte {
	t.Helper()
	program := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if program == "" {
		program = "terraform"
	}
	cmd := exec.Command(program, append(arguments, "-no-color")...)
	cmd.Dir = folder
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("terraform %s: %s\n%s", arguments[0], err, output)
	}
	return output
}

// A name that the module does not have is a mistake of devstack's, which must not be passed over.
func TestConfigurationOfUnknownVariable(t *testing.T) {
	for name, given := range map[string]map[string]cty.Value{
		"no variable sever": {"sever": cty.EmptyObjectVal},
		"variable server":   {"server": cty.StringVal("x")},
	} {
		if _, err := configure(given); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
