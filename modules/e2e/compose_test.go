//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/postgres"
)

// TestCompose runs examples/compose, which needs no Kubernetes, and logs in through both doors.
func TestCompose(t *testing.T) {
	program := strings.Fields(os.Getenv("COMPOSE"))
	if len(program) == 0 {
		t.Skip("NOT RUN: COMPOSE does not name Docker Compose or podman-compose")
	}
	folder := "../../examples/compose"
	tls := filepath.Join(folder, "tls")
	for name, value := range map[string]string{
		"BROWNIE_IMAGES": setting(t, "E2E_IMAGES"), "BROWNIE_TAG": setting(t, "E2E_TAG"), "BROWNIE_PG_PORT": "25432", "BROWNIE_POOLER_PORT": "26432",
	} {
		t.Setenv(name, value)
	}
	compose := func(ctx context.Context, arguments ...string) error {
		arguments = append(append(program[1:], "--file", filepath.Join(folder, "compose.yaml")), arguments...)
		_, err := attempt(ctx, "", program[0], arguments...)
		return err
	}
	_ = compose(t.Context(), "down", "--volumes")
	t.Cleanup(func() {
		_ = compose(context.Background(), "down", "--volumes")
		_ = os.RemoveAll(tls)
	})
	if err := os.MkdirAll(tls, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := compose(t.Context(), "up", "-d"); err != nil {
		t.Fatal(err)
	}
	as := func(role string, port int) postgres.Config {
		file := func(name string) string { return filepath.Join(tls, name) }
		return postgres.Config{
			Host: "localhost", Port: port, Database: database, Username: role, SSLMode: "verify-full",
			SSLRootCert: file("ca.crt"), SSLCert: file("clients/" + role + ".crt"), SSLKey: file("clients/" + role + ".key"),
		}.WithDefaults()
	}
	type session struct{ Role string }
	says := func(role string, port int) {
		t.Helper()
		eventually(t, time.Minute, func(ctx context.Context) error {
			got, version, err := postgres.Login[session](ctx, as(role, port), "SELECT session_user::text AS role")
			if err == nil && (got.Role != role || version != "TLS 1.3") {
				err = fmt.Errorf("the session is %+v, %s", got, version)
			}
			return err
		})
	}
	says(administrator, 25432)
	testdb.Migrate(t, as(administrator, 25432))
	db := postgres.New(as(administrator, 25432))
	defer db.Close()
	for _, statement := range []string{
		`CREATE ROLE pgbouncer LOGIN IN ROLE brownie_pooler`, `CREATE ROLE "acme-app" LOGIN IN ROLE brownie_pooled`,
		`GRANT CONNECT ON DATABASE ` + database + ` TO pgbouncer, "acme-app"`,
	} {
		if _, err := postgres.Query[struct{}](t.Context(), db, statement); err != nil {
			t.Fatal(err)
		}
	}
	says("acme-app", 26432)
}
