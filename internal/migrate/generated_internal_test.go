package migrate

import (
	"bytes"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/migrations"
)

// The parser takes a second and hundreds of megabytes to load: not for the platform's files.
func TestThePlatformsFilesNeedNoParser(t *testing.T) { //nolint:paralleltest // It replaces the parser.
	text, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, migrations.Statements) {
		t.Error("migrations/statements.json is out of date: run make generate")
	}
	parser := parseSQL
	t.Cleanup(func() { parseSQL = parser })
	parseSQL = func(string) (string, error) {
		t.Error("the parser is called")
		return "", nil
	}
	known, err := Platform.load()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range known {
		for _, down := range []bool{false, true} {
			found, err := m.analyse(down)
			if err != nil || !down && len(found.Statements) == 0 {
				t.Errorf("%s, down %v: %d statements, %v", m.Name, down, len(found.Statements), err)
			}
		}
	}
}
