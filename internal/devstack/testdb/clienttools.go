package testdb

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
)

// allowMissing is the variable with which a machine says that it has no client programs. tools/test.sh knows a test that was
// skipped for that by the variable's name.
const allowMissing = "BROWNIE_ALLOW_MISSING_CLIENT_TOOLS"

var clientTools = sync.OnceValues(func() (string, error) { return devstack.ClientTools(context.Background()) })

// ClientTools is the folder of PostgreSQL's client programs (pg_dump, pg_restore, psql). Where there are none the test fails, or
// is skipped if BROWNIE_ALLOW_MISSING_CLIENT_TOOLS is set.
func ClientTools(t testing.TB) string {
	t.Helper()
	folder, err := clientTools()
	missing(t, err)
	return folder
}

// PgBackRest is the folder of PostgreSQL's client programs where pgBackRest is among them. Where it is not, the same holds.
func PgBackRest(t testing.TB) string {
	t.Helper()
	folder := ClientTools(t)
	_, err := os.Stat(filepath.Join(folder, "pgbackrest"))
	missing(t, err)
	return folder
}

func missing(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv(allowMissing) != "":
		t.Skipf("NOT RUN: %s (%s is set)", err, allowMissing)
	default:
		t.Fatalf("%s. A machine that cannot have them may set %s, and the test does not run", err, allowMissing)
	}
}
