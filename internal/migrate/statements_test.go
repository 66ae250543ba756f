package migrate_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
)

// A statement ends where PostgreSQL says it does.
func TestStatementsAreSplit(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	files := fstest.MapFS{
		"0001_function.sql": file("CREATE TABLE t (n int UNIQUE, s text);\n" + // no StatementBegin
			"CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$\nBEGIN\n  PERFORM 1;\n  RETURN 2;\nEND $$;\n/* one; */ SELECT " +
			"f(); INSERT INTO t VALUES (1, 'a;\n');"),
		"0002_atomic.sql": file("CREATE FUNCTION g() RETURNS void LANGUAGE sql BEGIN ATOMIC\n  SELECT 1;\n  SELECT 2;\nEND;\nSELECT g();"),
		"0003_alone.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY i ON t (n); VACUUM t;\n" +
			"-- +goose StatementBegin\nSELECT set_config('a.b', 'c', true); INSERT INTO t VALUES (2, current_setting('a.b'));\n-- " +
			"+goose StatementEnd\n")},
	}
	engine := newEngine(t, database, files)
	testdb.Must(engine.Up(t.Context(), 3))(t)
	if rows := testdb.Value[string](t, database, `SELECT string_agg(n || s, ' ' ORDER BY n) FROM t`); rows != "1a;\n 2c" {
		t.Errorf("the rows are %q", rows)
	}
	for sql, line := range map[string]string{
		"SELECT 1;\n\nINSERT INTO t VALUES (3); INSERT\nINTO t VALUES (1);": "line 4: duplicate key", // without a position
		"SELECT 1;\nSELECT 'é', 1;\nSELECT\n  wrong;":                       "line 5: column \"wrong\"",
		"SELECT 1;\nSELEC 2;":               "line 3: syntax error",
		"DO $$ BEGIN\n RAISE 'no'; END $$;": "line 2: no",
		"-- +goose StatementBegin\nSELECT 1;\nINSERT INTO t VALUES (1)\n-- +goose StatementEnd\nSELECT 2;": "line 3: duplicate key",
	} {
		files["0004_wrong.sql"] = file(sql)
		_, err := newEngine(t, database, files).Up(t.Context(), 4)
		var step *migrate.StepError
		if !errors.As(err, &step) || !strings.Contains(err.Error(), line) {
			t.Errorf("%s: got %v", sql, err)
		}
	}
}
