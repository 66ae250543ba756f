package migrate_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
	"github.com/longyi-brownie/terraform-provider-brownie/migrations"
)

// gooseFolder is removed when the tests of the package end.
var gooseFolder string

var gooseProgram = sync.OnceValues(func() (program string, err error) {
	if gooseFolder, err = os.MkdirTemp("", "brownie-goose-"); err != nil {
		return "", err
	}
	return devstack.BuildGoose(context.Background(), gooseFolder)
})

// goose runs goose's own program on a history, and returns what it says.
func goose(t *testing.T, database, folder, table string, arguments ...string) string {
	t.Helper()
	to := []string{"-dir", folder, "-table", table, "postgres", testdb.Server(t, database).URL(database)}
	output, err := exec.CommandContext(t.Context(), testdb.Must(gooseProgram())(t), append(to, arguments...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("goose %v: %v\n%s", arguments, err, output)
	}
	return string(output)
}

const platformTable = "brownie.goose_db_version"

// goose's own program reads what ran here, goes on from there, and goes back.
func TestGooseGoesOn(t *testing.T) {
	t.Parallel()
	database, folder := testdb.Empty(t), t.TempDir()
	if err := os.CopyFS(folder, migrations.Files); err != nil {
		t.Fatal(err)
	}
	up(t, database, latest(t)-3)
	if status := goose(t, database, folder, platformTable, "status"); strings.Count(status, "Pending") != 3 {
		t.Errorf("goose's status after version %d:\n%s", latest(t)-3, status)
	}
	goose(t, database, folder, platformTable, "up")
	engine := platform(t, database)
	if plan := testdb.Must(engine.Plan(t.Context(), latest(t), false))(t); plan.From != latest(t) || len(plan.Steps) != 0 {
		t.Errorf("after goose's up: %+v", plan)
	}
	goose(t, database, folder, platformTable, "down")
	goose(t, database, folder, platformTable, "down")
	up(t, database, latest(t))
	if status := goose(t, database, folder, platformTable, "status"); strings.Contains(status, "Pending") {
		t.Errorf("goose's status after all:\n%s", status)
	}
	if without := testdb.Value[int64](t, database, `SELECT count(*) FROM brownie.goose_db_version WHERE version_id > 0
		AND sha256 IS NULL`); without != 0 {
		t.Errorf("%d versions that goose applied have no checksum", without)
	}
}

// What goose's own program has begun goes on here, with every annotation, up and down.
func TestWhatGooseBeganGoesOn(t *testing.T) {
	t.Parallel()
	database, folder := testdb.Empty(t), t.TempDir()
	testdb.Exec(t, database, "CREATE SCHEMA brownie")
	for i, text := range []string{
		"-- +goose Up\nCREATE TABLE a (n int);\n-- +goose Down\nDROP TABLE a;\n",
		"-- +goose Up\n-- +goose StatementBegin\nCREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$\nBEGIN\n  RETURN 1;\nEND $$;\n" +
			"-- +goose StatementEnd\nINSERT INTO a VALUES (f()); -- one\n-- +goose Down\nDROP FUNCTION f;\n",
		"-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY a_n ON a (n);\nVACUUM a;\n-- +goose Down\nDROP INDEX " +
			"CONCURRENTLY a_n;\n",
		"-- +goose Up\nINSERT INTO a VALUES (4);\n-- +goose Down\nDELETE FROM a WHERE n = 4;\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%05d_step.sql", i+1)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const table = "brownie.goose_db_version_app"
	goose(t, database, folder, table, "up-to", "2")
	engine := migrate.New(testdb.DB(t, database), migrate.Source{Name: "app", Files: os.DirFS(folder)}, migrate.Options{})
	for range 2 {
		if _, err := engine.Up(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		if rows := testdb.Value[string](t, database, `SELECT string_agg(n::text, ' ' ORDER BY n) FROM a`); rows != "1 4" {
			t.Errorf("rows: %q", rows)
		}
		goose(t, database, folder, table, "down")
		plan := testdb.Must(engine.Plan(t.Context(), 2, true))(t)
		if _, err := engine.Run(t.Context(), plan); err != nil {
			t.Fatal(err)
		}
		if status := goose(t, database, folder, table, "status"); strings.Count(status, "Pending") != 2 {
			t.Errorf("goose's status:\n%s", status)
		}
	}
	goose(t, database, folder, table, "down-to", "0")
	if plan := testdb.Must(engine.Plan(t.Context(), 4, false))(t); plan.From != 0 || len(plan.Steps) != 4 {
		t.Errorf("after goose went down: %+v", plan)
	}
}
