package access

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// What the programs raise is what the table words, and no more.
func TestEveryErrorOfTheProgramsHasWords(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("role/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	names := map[string]bool{"role_bindings_organization_id_fkey": true} // the database's own
	for _, file := range files {
		program, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`CONSTRAINT = '(\w+)`).FindAllSubmatch(program, -1) {
			names[string(match[1])] = true
		}
	}
	if raise, know := slices.Sorted(maps.Keys(names)), slices.Sorted(maps.Keys(raised)); !slices.Equal(raise, know) {
		t.Errorf("the programs raise %v, the table knows %v", raise, know)
	}
}
