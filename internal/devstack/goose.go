package devstack

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// BuildGoose builds goose's own program into a folder, in the version that tools/go.mod names and with the driver for PostgreSQL
// only. It needs the checkout, since it is for comparisons in tests and benchmarks.
func BuildGoose(ctx context.Context, folder string) (program string, err error) {
	module, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	program = filepath.Join(folder, "goose")
	build := exec.CommandContext(ctx, "go", "build", "-modfile=tools/go.mod", "-o", program,
		"-tags=no_clickhouse no_duckdb no_libsql no_mssql no_mysql no_spanner no_sqlite3 no_turso no_vertica no_ydb",
		"github.com/pressly/goose/v3/cmd/goose")
	build.Dir = filepath.Dir(strings.TrimSpace(string(module)))
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build goose: %w\n%s", err, output)
	}
	return program, nil
}
