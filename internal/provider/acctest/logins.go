package acctest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

// AsRole is how a role logs in to a database of a server, as libpq's environment variables.
func AsRole(t *testing.T, server *devstack.Postgres, database, role string) []string {
	t.Helper()
	certificate, err := server.ClientCertificate(role)
	if err != nil {
		t.Fatal(err)
	}
	return []string{
		"PGHOST=" + server.Host(), "PGPORT=" + strconv.Itoa(server.Port()), "PGDATABASE=" + database, "PGUSER=" + role,
		"PGSSLMODE=verify-full",
		"PGSSLROOTCERT=" + server.CAFile(), "PGSSLCERT=" + certificate.CertFile, "PGSSLKEY=" + certificate.KeyFile,
	}
}

// ConnectAs logs in as a role.
func ConnectAs(t *testing.T, server *devstack.Postgres, database, role string) (*pgx.Conn, error) {
	t.Helper()
	var settings []string
	for _, variable := range AsRole(t, server, database, role) {
		name, value, _ := strings.Cut(strings.TrimPrefix(variable, "PG"), "=")
		settings = append(settings, fmt.Sprintf("%s='%s'", strings.Replace(strings.ToLower(name), "database", "dbname", 1), value))
	}
	conn, err := pgx.Connect(t.Context(), strings.Join(settings, " "))
	if err == nil {
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
	}
	return conn, err
}
