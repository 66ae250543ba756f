package modules_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// value is one value of a module's variable, and words of the message that refuses it; none if it is accepted.
type value struct{ variable, hcl, words string }

// values are the edges of what modules take.
var values = map[string][]value{
	"postgres-auth": slices.Concat(tlsValues, serverValues, poolerValues),
	"postgres-ha":   highlyAvailableValues,
	"pgbouncer":     pooledValues,
	"tenant":        tenantValues,
	"vault-pki":     slices.Concat(authorityValues, clientValues, serverCertificateValues, accessValues),
}

// required are the variables that have no default, with a value for each.
var required = map[string]map[string]string{
	"tenant": {"key": `"acme"`, "tenant": `{ name = "Acme" }`},
}

const (
	tenantKey    = "key must be of lower-case letters"
	tenantYAML   = "YAML reads keys such as no, y and on"
	tenantStage  = "acme: tenant.stage must be"
	tenantAccess = "acme: tenant.roles: access must be"
	tenantRole   = "acme: tenant.roles: a name must be of"
	tenantStore  = "acme: certificates: without a store"
)

var tenantValues = []value{
	{"key", `"a"`, ""},
	{"key", `"` + strings.Repeat("a", 40) + `"`, ""},
	{"key", `"` + strings.Repeat("a", 41) + `"`, tenantKey},
	{"key", `""`, tenantKey},
	{"key", `"Acme"`, tenantKey},
	{"key", `"acme_1"`, tenantKey},
	{"key", `"acme-"`, tenantKey},
	{"key", `"false"`, "key is \"false\": " + tenantYAML},
	{"key", `"acme\n"`, tenantKey},
	{"tenant", `{ name = "A", stage = "leaving" }`, ""},
	{"tenant", `{ name = "A", stage = "gone" }`, tenantStage},
	{"tenant", `{ name = "A", teams = { core = { name = "Core" } }, users = { ada = { email = "a@b.example", team = "core" } } }`, ""},
	{
		"tenant", `{ name = "A", teams = { core = { name = "Core" } }, users = { ada = { email = "a@b.example", team = "edge" } } }`,
		`acme: tenant.users: ada is in team "edge"; tenant.teams has core.`,
	},
	{
		"tenant", `{ name = "A", teams = { core = { name = "Core" } }, users = { ada = { email = "a@b.example", team = null } } }`,
		`acme: tenant.users: ada is in no team; tenant.teams has core.`,
	},
	{
		"tenant", `{ name = "A", teams = { core = null }, users = { ada = null }, roles = { app = null } }`,
		"acme: empty is tenant.teams.core, tenant.users.ada, tenant.roles.app; a role",
	},
	{"tenant", `{ name = "A", teams = { true = { name = "Y" } } }`, "acme: " + tenantYAML},
	{"tenant", `{ name = "A", teams = null, users = null }`, ""},
	{"tenant", `{ name = "A", roles = {} }`, ""},
	{"tenant", `{ name = "A", roles = { app = { access = "admin" } } }`, ""},
	{"tenant", `{ name = "A", roles = { app = { access = "migrator" } } }`, tenantAccess},
	{"tenant", `{ name = "A", roles = { "` + strings.Repeat("r", 20) + `" = {} } }`, ""},
	{"tenant", `{ name = "A", roles = { "` + strings.Repeat("r", 21) + `" = {} } }`, tenantRole},
	{"tenant", `{ name = "A", roles = { "a b" = {} } }`, tenantRole},
	{"certificates", `{ store = { mount = "kv" } }`, ""},
	{"certificates", `{ requests = { app = "…" } }`, ""},
	{"certificates", `{ requests = { other = "…" } }`, tenantStore},
	{"certificates", `{}`, tenantStore},
}

var tlsValues = []value{
	{"min_tls_version", `"TLSv1.2"`, ""},
	{"min_tls_version", `"TLSv1.1"`, "older versions are broken"},
}

const (
	address    = "server.addresses: each must be"
	quotedName = "server.replication_roles and server.local_users: a role's name"
	localUser  = "the name of an operating system's user"
	serverPath = "server.ssl_cert_file, ssl_key_file, ssl_ca_file and ssl_crl_file must be absolute"
	reserved   = "server.reserved_connections must be a whole number"
)

var serverValues = []value{
	{"server", `{ addresses = [] }`, "server.addresses is empty"},
	{"server", `{ addresses = ["all", "samenet", "samehost", "0.0.0.0/0", "127.0.0.1/32", "2001:DB8::/32"] }`, ""},
	{"server", `{ addresses = ["trust"] }`, address},
	{"server", `{ addresses = ["all trust #"] }`, address},
	{"server", `{ addresses = ["all\n"] }`, address},
	{"server", `{ addresses = ["10.0.0.1"] }`, address},
	{"server", `{ addresses = ["10.0.0.1/8"] }`, address},
	{"server", `{ addresses = ["010.0.0.0/8"] }`, address},
	{"server", `{ addresses = [null] }`, address},
	{"server", `{ replication_roles = ["/^.*$"] }`, quotedName},
	{"server", `{ replication_roles = ["standby\nhost all all all trust"] }`, quotedName},
	{"server", `{ replication_roles = [""] }`, quotedName},
	{"server", `{ replication_roles = [null] }`, quotedName},
	{"server", `{ replication_roles = ["` + strings.Repeat("é", 32) + `"] }`, quotedName}, // 64 bytes
	{"server", `{ replication_roles = ["a` + strings.Repeat("é", 31) + `"] }`, ""},
	{"server", `{ local_users = { postgres = ["/^.*$"] } }`, quotedName},
	{"server", `{ local_users = { "/^.*$" = ["postgres"] } }`, localUser},
	{"server", `{ local_users = { "a\nb" = ["postgres"] } }`, localUser},
	{"server", `{ local_users = { "" = ["postgres"] } }`, localUser},
	{"server", `{ ssl_key_file = "/a\nssl = off" }`, serverPath},
	{"server", `{ ssl_cert_file = "server.crt" }`, serverPath},
	{"server", `{ ssl_ca_file = "" }`, serverPath},
	{"server", `{ ssl_crl_file = "" }`, serverPath},
	{"server", `{ ssl_crl_file = "/it's/a \\ list" }`, ""},
	{"server", `{ reserved_connections = -1 }`, reserved},
	{"server", `{ reserved_connections = 1.5 }`, reserved},
	{"server", `{ reserved_connections = 1001 }`, reserved},
	{"server", `{ reserved_connections = 1000 }`, ""},
}

const (
	identity     = "pooler.common_name, admin_users and stats_users: a name has"
	reservedName = "pooler.common_name must be a role of the pooler's own"
	databaseName = "pooler.databases and auth_dbname: a database's name has"
	host         = "host must be one host name or IP address"
	port         = "a port is a whole number from 1 to 65535"
	poolerPath   = "pooler.auth_file and the paths of its certificates"
	poolSize     = "pooler.max_client_conn and default_pool_size must be whole numbers"
)

// pooler is one with a server, and with more.
func pooler(more string) string { return `{ fallback = { host = "db.example" }, ` + more + ` }` }

var poolerValues = []value{
	{"pooler", `null`, ""},
	{"pooler", `{}`, "pooler: name the server in databases"},
	{"pooler", pooler(`common_name = "a b"`), identity},
	{"pooler", pooler(`common_name = "a\nauth_type = trust"`), identity},
	{"pooler", pooler(`common_name = "/^.*$"`), identity},
	{"pooler", pooler(`common_name = "*.example.com"`), identity},
	{"pooler", pooler(`common_name = "` + strings.Repeat("a", 64) + `"`), identity},
	{"pooler", pooler(`common_name = "` + strings.Repeat("a", 63) + `"`), ""},
	{"pooler", pooler(`common_name = "_Pooler.eu-1@a"`), ""},
	{"pooler", pooler(`common_name = "Current_User"`), reservedName},
	{"pooler", pooler(`common_name = "postgres"`), reservedName},
	{"pooler", pooler(`common_name = "pg_bouncer"`), reservedName},
	{"pooler", pooler(`common_name = "brownie_pooled"`), reservedName},
	{"pooler", pooler(`common_name = "brownie_granter"`), reservedName},
	{"pooler", pooler(`common_name = "brownie_connect_x"`), reservedName},
	{"pooler", pooler(`admin_users = ["a\"b"]`), identity},
	{"pooler", pooler(`admin_users = ["a,b"]`), identity},
	{"pooler", pooler(`admin_users = [null]`), identity},
	{"pooler", pooler(`stats_users = ["a\n"]`), identity},
	{"pooler", pooler(`admin_users = ["a"], stats_users = ["a"]`), "name nobody twice"},
	{"pooler", `{ databases = { "a b" = { host = "db.example" } } }`, databaseName},
	{"pooler", `{ databases = { "*" = { host = "db.example" } } }`, databaseName},
	{"pooler", `{ databases = { pgbouncer = { host = "db.example" } } }`, databaseName},
	{"pooler", `{ databases = { a = { host = "db.example", dbname = "b'" } } }`, databaseName},
	{"pooler", `{ databases = { a = { host = "db.example", dbname = "" } } }`, databaseName},
	{"pooler", pooler(`auth_dbname = "a\n"`), databaseName},
	{"pooler", `{ databases = { a = { host = "db.example user=postgres" } } }`, host},
	{"pooler", `{ databases = { a = { host = "" } } }`, host},
	{"pooler", `{ fallback = { host = "/run/postgresql" } }`, host},
	{"pooler", `{ fallback = { host = "a,b" } }`, host},
	{"pooler", `{ fallback = { host = "::1", port = 65535 } }`, ""},
	{"pooler", `{ fallback = { host = "db.example", port = 1.5 } }`, port},
	{"pooler", `{ databases = { a = { host = "db.example", port = 0 } } }`, port},
	{"pooler", pooler(`listen_port = 65536`), port},
	{"pooler", pooler(`listen_addr = "*\nauth_type = trust"`), "pooler.listen_addr must be"},
	{"pooler", pooler(`client_tls_key_file = "/a\nauth_type = trust"`), poolerPath},
	{"pooler", pooler(`server_tls_ca_file = "/a b"`), poolerPath},
	{"pooler", pooler(`auth_file = "users"`), poolerPath},
	{"pooler", pooler(`pool_mode = "query"`), "pooler.pool_mode must be"},
	{"pooler", pooler(`default_pool_size = 0`), poolSize},
	{"pooler", pooler(`reserve_pool_size = -1`), poolSize},
	{"pooler", pooler(`max_db_connections = 0.5`), poolSize},
	{"pooler", pooler(`max_prepared_statements = 1000000`), poolSize},
}

var authorityValues = []value{
	{"root", `{ mount = "/pki" }`, "root.mount must be a path"},
	{"root", `{ mount = "company/root" }`, ""},
	{"root", `{ existing_issuer = "" }`, "root.existing_issuer must be null, or"},
	{"root", `{ additional_mounts = ["pki-root"] }`, "root.additional_mounts: each must be a path other than root.mount"},
	{"root", `{ additional_mounts = ["a/"] }`, "root.additional_mounts: each must be a path other than root.mount"},
	{"root", `{ additional_mounts = [null] }`, "root.additional_mounts: each must be a path other than root.mount"},
	{"root", `{ ttl = "100" }`, "root.ttl must be a whole number of hours"},
	{"root", `{ key_type = "dsa" }`, "root.key_type must be"},
	{"root", `{ key_type = "rsa", key_bits = 1024 }`, "root.key_type must be"},
	{"root", `{ key_type = "rsa", key_bits = 4096 }`, ""},
	{"issuing", `{ mount = "p*ki" }`, "issuing.mount must be a path"},
	{"issuing", `{ mount = "pki-root" }`, "issuing.mount and root.mount must differ"},
	{"issuing", `{ mount = "pki-root", existing_issuer = "default" }`, ""},
	{"issuing", `{ existing_issuer = "" }`, "issuing.existing_issuer must be null, or"},
	{"issuing", `{ ttl = "87600h" }`, ""},
	{"issuing", `{ ttl = "87601h" }`, "issuing.ttl must not be longer than root.ttl"},
	{"issuing", `{ ttl = "1h30m" }`, "issuing.ttl must be a whole number of hours"},
	{"issuing", `{ ttl = "9999999h" }`, "issuing.ttl must be a whole number of hours"},
	{"issuing", `{ key_bits = 128 }`, "issuing.key_type must be"},
	{"crl", `{ expiry = "24h", rebuild_after = "12h" }`, ""},
	{"crl", `{ expiry = "24h", rebuild_after = "13h" }`, "crl.rebuild_after must be at most half"},
	{"crl", `{ expiry = "72" }`, "crl: each must be a whole number of hours"},
	{"crl", `{ expiry = "59m" }`, "crl.expiry must be at least"},
	{"address", `"https://vault.example:8200/v1"`, "address must be a URL without a path"},
}

const (
	clientName = "clients: a name has 1 to 63 lower-case letters"
	clientKey  = "clients: each must be an object, and key_type"
)

var clientValues = []value{
	{"clients", `{ a = {}, _ = {}, "a.b-c_d" = {}, ` + strings.Repeat("a", 63) + ` = {} }`, ""},
	{"clients", `{ "*" = {} }`, clientName},
	{"clients", `{ Acme = {} }`, clientName},
	{"clients", `{ "ops@acme" = {} }`, clientName},
	{"clients", `{ "a/b" = {} }`, clientName},
	{"clients", `{ "a..b" = {} }`, clientName},
	{"clients", `{ ` + strings.Repeat("a", 64) + ` = {} }`, clientName},
	{"clients", `{ server-x = {} }`, `clients: a name must not begin with "server-"`},
	{"clients", `{ acme-app = null }`, clientKey},
	{"clients", `{ acme-app = { key_type = "dsa" } }`, clientKey},
	{"clients", `{ acme-app = { key_bits = 17 } }`, "clients: key_bits must be 256"},
	{"clients", `{ acme-app = { key_type = "any" }, b = { key_type = "rsa", key_bits = 2048 } }`, ""},
	{"clients", `{ acme-app = { issuance = "vault" } }`, `clients: issuance must be "terraform" or "self"`},
	{"clients", `{ acme-app = { issuance = "self" } }`, ""},
	{"clients", `{ acme-app = { ttl = "721h" } }`, "clients: ttl must not be longer than max_ttl"},
	{"clients", `{ acme-app = { max_ttl = "43800h" } }`, "clients: max_ttl must be shorter than issuing.ttl"},
	{"clients", `{ acme-app = { ttl = "7d" } }`, "clients: ttl and max_ttl must each be a whole number"},
}

// serving is one server with more than its domain.
func serving(more string) string { return `{ postgres = { domains = ["db.example"], ` + more + ` } }` }

var serverCertificateValues = []value{
	{"servers", `{ "db.example" = { domains = ["db.example"] } }`, "servers: a key has 1 to 52 lower-case letters"},
	{"servers", `{ postgres = { domains = [] } }`, "servers: domains must name at least one host"},
	{"servers", `{ postgres = { domains = null } }`, "servers: domains must name at least one host"},
	{"servers", `{ postgres = { domains = ["*.example"] } }`, "servers: domains must name at least one host"},
	{"servers", `{ postgres = null }`, "servers: each must be an object, and key_type"},
	{"servers", serving(`key_type = "rsa", key_bits = 1024`), "servers: key_bits must be 256"},
	{"servers", serving(`ttl = "3000h"`), "servers: ttl must not be longer than max_ttl"},
	{"servers", serving(`max_ttl = "50000h"`), "servers: max_ttl must be shorter than issuing.ttl"},
	{"servers", serving(`ttl = "1"`), "servers: ttl and max_ttl must each be a whole number"},
}

// workspace is a login of one workspace, with more in it or beside it.
func workspace(parts, beside string) string {
	return `{ workspaces = { prod = { ` + parts + ` } }` + beside + ` }`
}

const (
	names = `organization = "acme", project = "p", workspace = "prod"`
	exact = "jwt.workspaces: organization, project and workspace must be exact names"
)

var accessValues = []value{
	{"store", `{ prefix = "*" }`, "store.mount and store.prefix must be paths"},
	{"policy_prefix", `"a/b"`, "policy_prefix has lower-case letters"},
	{"jwt", workspace(names, ``), ""},
	{"jwt", workspace(`organization = "acme", project = "*", workspace = "prod"`, ``), exact},
	{"jwt", workspace(`organization = "acme", project = "p", workspace = "prod:run_phase"`, ``), exact},
	{"jwt", workspace(`organization = "acme", project = null, workspace = "prod"`, ``), exact},
	{"jwt", `{ workspaces = { prod = null } }`, exact},
	{"jwt", workspace(names+`, run_phase = "destroy"`, ``), "jwt.workspaces: run_phase must be"},
	{"jwt", `{ workspaces = {} }`, "jwt.workspaces is empty"},
	{"jwt", `{ workspaces = null }`, "jwt.workspaces is empty"},
	{"jwt", `{ workspaces = { "a/b" = { ` + names + ` } } }`, "jwt.workspaces: the name of a role has"},
	{"jwt", workspace(names, `, token_ttl = "3h"`), "jwt.token_ttl must not be longer than jwt.token_max_ttl"},
	{"jwt", workspace(names, `, token_ttl = "1d"`), "jwt.token_ttl and jwt.token_max_ttl must each be a whole number"},
	{"jwt", workspace(names, `, jwt_validation_pubkeys = []`), "jwt.jwt_validation_pubkeys must be null"},
}

// TestAccRefusedValues has Terraform judge all values of a module in one plan, in which each is given to the module once. It
// takes the module's variables only, so that it needs no provider.
func TestAccRefusedValues(t *testing.T) {
	acceptance(t)
	for _, module := range modules(t) {
		values := values[module]
		t.Run(module, func(t *testing.T) {
			t.Parallel()
			messages, rules := judge(t, module, values)
			for i, v := range values {
				switch got := messages[i]; {
				case v.words == "" && len(got) > 0:
					t.Errorf("%s = %s is refused: %s", v.variable, v.hcl, got)
				case v.words != "" && (len(got) != 1 || !strings.Contains(got[0], v.words)):
					t.Errorf("%s = %s: the messages are %q; one is expected, with %q", v.variable, v.hcl, got, v.words)
				}
			}
			if n := validations(t, module); len(rules) != n {
				t.Errorf("the values try %d of the module's %d validations", len(rules), n)
			}
		})
	}
}

// judge returns the messages for each value, on one line each, and the validations that they come from.
func judge(t *testing.T, module string, values []value) (messages map[int][]string, rules map[string]bool) {
	t.Helper()
	var config strings.Builder
	for i, v := range values {
		// What comes from a variable of the root is unknown at first, so that Terraform does not stop after a part of them.
		fmt.Fprintf(&config, "variable \"value_%d\" {\n  default = %s\n}\n", i, v.hcl)
		fmt.Fprintf(&config, "module \"value_%d\" {\n  source = \"./module\"\n  %s = var.value_%[1]d\n", i, v.variable)
		for name, needed := range required[module] {
			if name != v.variable {
				fmt.Fprintf(&config, "  %s = %s\n", name, needed)
			}
		}
		config.WriteString("}\n")
	}
	f := folder{t, t.TempDir(), os.Environ()}
	_ = os.Mkdir(filepath.Join(f.dir, "module"), 0o700)
	for _, name := range []string{"variables.tf", "patterns.tf"} {
		text, err := os.ReadFile(filepath.Join(module, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(f.dir, "module", name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f.write(config.String())
	f.initialize()
	output, _ := f.terraform("plan", "-json", "-input=false")
	messages, rules = map[int][]string{}, map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewBufferString(output)); lines.Scan(); {
		var line struct {
			Diagnostic struct {
				Detail  string
				Snippet struct{ Context string }
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Diagnostic.Detail == "" {
			continue
		}
		message, rule, _ := strings.Cut(line.Diagnostic.Detail, "This was checked by the validation rule at ")
		rules[rule] = true
		var i int
		if _, err := fmt.Sscanf(line.Diagnostic.Snippet.Context, `module "value_%d"`, &i); err != nil {
			t.Fatalf("a diagnostic of no module: %s", lines.Text())
		}
		messages[i] = append(messages[i], strings.Join(strings.Fields(message), " "))
	}
	return messages, rules
}

// validations counts those of a module's variables.
func validations(t *testing.T, module string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(module, "variables.tf"))
	if err != nil {
		t.Fatal(err)
	}
	return len(regexp.MustCompile(`(?m)^ {2}validation \{$`).FindAll(text, -1))
}
