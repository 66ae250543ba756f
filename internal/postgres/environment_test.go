package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// ignored are libpq's variables that do not count (PostgreSQL manual, section 32.15), and those that only pgx knows. The guide
// "Connect to your PostgreSQL" lists the others.
var ignored = []string{
	"PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE", "PGOPTIONS", "PGAPPNAME", "PGTZ", "PGTARGETSESSIONATTRS", "PGSSLPASSWORD",
	"PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION", "PGSSLSNI", "PGSSLCERTMODE", "PGSSLCRL", "PGSSLCRLDIR", "PGSSLCOMPRESSION",
	"PGREQUIRESSL", "PGREQUIREPEER", "PGGSSENCMODE", "PGKRBSRVNAME", "PGGSSLIB", "PGGSSDELEGATION", "PGLOADBALANCEHOSTS",
	"PGMINPROTOCOLVERSION", "PGMAXPROTOCOLVERSION", "PGCLIENTENCODING", "PGDATESTYLE", "PGGEQO", "PGSYSCONFDIR", "PGLOCALEDIR",
}

// described is all that decides how a configuration connects. Functions have no other description than whether they are there.
func described(t *testing.T, c Config) string {
	t.Helper()
	c, err := c.WithEnvironment(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := c.WithDefaults().poolConfig()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	value := reflect.ValueOf(pool.ConnConfig.Config)
	for i := range value.NumField() {
		if field := value.Type().Field(i); field.Type.Kind() == reflect.Func {
			fmt.Fprintf(&text, "%s=%v ", field.Name, !value.Field(i).IsNil())
		} else if field.Name != "TLSConfig" && field.Name != "Fallbacks" {
			fmt.Fprintf(&text, "%s=%v ", field.Name, value.Field(i))
		}
	}
	first := pool.ConnConfig
	for _, each := range first.Fallbacks {
		fmt.Fprintf(&text, "%s:%d %t ", each.Host, each.Port, each.TLSConfig != nil)
	}
	return text.String() + fmt.Sprint(first.TLSConfig.ServerName, first.TLSConfig.InsecureSkipVerify, len(first.TLSConfig.Certificates))
}

func TestOtherVariablesChangeNothing(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	config := Config{Host: "db-0,db-1", Username: "u"}
	before := described(t, config)
	if os.Getenv(tell) != "" {
		fmt.Println(tell + before)
		return
	}
	for _, name := range ignored {
		// A process of its own, since the library looks at the environment when the process starts.
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), tell+"=1", name+"=absurd")
		output, err := child.CombinedOutput()
		_, after, _ := strings.Cut(string(output), tell)
		if after, _, _ = strings.Cut(after, "\n"); after != before {
			t.Errorf("%s changes the connection: %v\n%s\n%s", name, err, before, output)
		}
	}
}

// tell makes a child process of a test tell how it would connect.
const tell = "BROWNIE_TELL"

func TestVariablesThatCount(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		value string
		takes func(Config) any
		want  any
	}{
		"PGHOST":            {"other", func(c Config) any { return c.Host }, "other"},
		"PGPORT":            {"7777", func(c Config) any { return c.Port }, 7777},
		"PGDATABASE":        {"other", func(c Config) any { return c.Database }, "other"},
		"PGUSER":            {"other", func(c Config) any { return c.Username }, "other"},
		"PGPASSWORD":        {"other", func(c Config) any { return c.Password }, "other"},
		"PGPASSFILE":        {"/other", func(c Config) any { return c.PassFile }, "/other"},
		"PGCONNECT_TIMEOUT": {"3", func(c Config) any { return c.ConnectTimeout }, 3 * time.Second},
		"PGSSLMODE":         {"require", func(c Config) any { return c.SSLMode }, "require"},
		"PGSSLROOTCERT":     {"other", func(c Config) any { return c.SSLRootCert }, "other"},
		"PGSSLCERT":         {"other", func(c Config) any { return c.SSLCert }, "other"},
		"PGSSLKEY":          {"other", func(c Config) any { return c.SSLKey }, "other"},
		"PGSSLNEGOTIATION":  {"direct", func(c Config) any { return c.SSLNegotiation }, "direct"},
		"PGCHANNELBINDING":  {"require", func(c Config) any { return c.ChannelBinding }, "require"},
		"PGREQUIREAUTH":     {"!password", func(c Config) any { return c.RequireAuth }, "!password"},
	} {
		got, err := Config{}.WithEnvironment(func(asked string) string { return map[string]string{name: test.value}[asked] })
		if taken := test.takes(got); err != nil || taken != test.want {
			t.Errorf("%s: got %v, %v; want %v", name, taken, err, test.want)
		}
	}
}

func TestVariablesThatAreWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ value, attribute, says string }{
		"PGCONNECT_TIMEOUT": {"soon", "connect_timeout", `PGCONNECT_TIMEOUT, which is "soon"`},
		"PGSSLNEGOTIATION":  {"x", "", `PGSSLNEGOTIATION is "x"; it must be one of postgres, direct`},
		"PGCHANNELBINDING":  {"x", "", `PGCHANNELBINDING is "x"`},
		"PGREQUIREAUTH":     {"md5,!x", "", `PGREQUIREAUTH names the method "x"`},
		"PGSERVICE":         {"prod", "host", "PGSERVICE is set, which the provider does not follow"},
	} {
		config, err := Config{}.WithEnvironment(func(asked string) string { return map[string]string{name: test.value}[asked] })
		if err == nil {
			err = config.WithDefaults().Validate()
		}
		var wrong *ConfigError
		if !errors.As(err, &wrong) || wrong.Attribute != test.attribute || !strings.Contains(wrong.Error(), test.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	weak := Config{Host: "db", SSLMode: "prefer", SSLNegotiation: "direct"}.WithDefaults().Validate()
	if !strings.Contains(fmt.Sprint(weak), "PGSSLNEGOTIATION") {
		t.Errorf("direct with prefer: %v", weak)
	}
}

func TestPasswordFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pgpass")
	const content = "# comment\nother:*:*:u:no\ndb-1:5432:*:u:a\\:b\\\\c\nlocalhost:*:d:*:socket\n*:*:never:u:no\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{"db-1": `a:b\c`, "/run/postgresql": "socket", "db-2": ""} {
		config := Config{Host: host, Username: "u", Database: "d", PassFile: file}.WithDefaults()
		if pool, err := config.poolConfig(); err != nil || pool.ConnConfig.Password != want {
			t.Errorf("%s: got %v, %v", host, pool, err)
		}
		config.Password = "given"
		if pool, err := config.poolConfig(); err != nil || pool.ConnConfig.Password != "given" {
			t.Errorf("%s: the file replaced the password: %v", host, err)
		}
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	db := New(Config{Host: "db-1", Username: "u", Database: "d", PassFile: file}.WithDefaults())
	if pool, err := db.config.poolConfig(); err != nil || pool.ConnConfig.Password != "" {
		t.Errorf("a file that others may read was used: %v", err)
	}
	if remedy := db.connectRemedy(codeInvalidPassword); !strings.Contains(remedy, "chmod 0600") {
		t.Errorf("got %q", remedy)
	}
}
