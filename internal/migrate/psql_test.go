package migrate_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/devstack/testdb"
	"github.com/longyi-brownie/terraform-provider-brownie/internal/migrate"
)

// What only psql understands, or what pg_dump writes for it, is named at its line, wherever it stands.
func TestWhatIsForPsqlOnly(t *testing.T) {
	t.Parallel()
	database := testdb.Empty(t)
	for _, each := range []struct {
		name, text string
		line       int
		says       string
	}{
		{
			"as pg_dump begins", "-- +goose Up\n--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n" +
				"-- Größe\nSET statement_timeout = 0;\n", 6, `\restrict is a command of psql`,
		},
		{"as pg_dump ends", "-- +goose Up\nSELECT 1;\n\n\\unrestrict abc\n", 4, `\unrestrict is a command of psql`},
		{"after characters of two bytes", "-- +goose Up\nSELECT 'äöüäöüäöü';\n\\set x 1\nSELECT 2;\n", 3, `\set is a command of psql`},
		{"behind a statement", "-- +goose Up\nSELECT 1;\nSELECT 2 \\gset\nSELECT 3;\n", 3, `\gset is a command of psql`},
		{"in a block", "-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\n\\i other.sql\n-- +goose StatementEnd\n", 4, `\i is a command of psql`},
		{"in front of a section", "-- +goose Up\nSELECT 1;\n\\connect other\n-- +goose Down\nSELECT 1;\n", 3, `\connect is a command of psql`},
		{
			"rows", "-- +goose Up\nCREATE TABLE t (n int, s text);\n\nCOPY public.t (n, s)\n  FROM stdin;\n1\tit's; here\n\\.\n\n" +
				"SELECT 1;\n", 4, "COPY … FROM stdin",
		},
		{"rows at the end", "-- +goose Up\nCOPY public.t (n, s) FROM stdin;\n1\tone\n2\t\\N\n\\.\n", 2, "COPY … FROM stdin"},
		{"no rows", "-- +goose Up\nCOPY t FROM stdin;\n", 2, "COPY … FROM stdin"},
		{"to the client", "-- +goose Up\nCOPY t TO STDOUT;\n", 2, "COPY … TO stdout"},
		{"long", "-- +goose Up\nSELECT 1;\nSELECT '" + strings.Repeat("x", 5_000_000) + "';\n", 3, "the line has 5.0 MB"},
		{"a literal", "-- +goose Up\nSELECT 'a\n\\restrict b\nCOPY t FROM stdin;\n', $$\n\\d\n$$; /*\n\\q\n*/\n-- \\x\nSELECT 2;\n", 0, ""},
	} {
		engine := newEngine(t, database, fstest.MapFS{"0001_dump.sql": {Data: []byte(each.text)}})
		plan, err := engine.Plan(t.Context(), 1, false)
		if err == nil {
			err = engine.Inspect(t.Context(), &plan)
		}
		var bad *migrate.BadFileError
		switch {
		case each.line == 0:
			if err != nil {
				t.Errorf("%s: got %v", each.name, err)
			}
		case !errors.As(err, &bad) || bad.Line != each.line || !strings.Contains(err.Error(), each.says) ||
			len(err.Error()) > 400:
			t.Errorf("%s: got %.500v", each.name, err)
		}
	}
}
