package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	// casing maps letters as the database's locale does: in a Turkish one, upper('i') is İ, and lower('I') is ı.
	casing = regexp.MustCompile(`(?i)\b(lower|upper|initcap)\s*\(|\bILIKE\b`)
	// asciiOnly maps a to z everywhere.
	asciiOnly = regexp.MustCompile(`(?i)\b(lower|upper|initcap)\s*\([^()]*(\([^()]*\))?[^()]*COLLATE "C"\)`)
)

// mappedByNature are occurrences whose argument has the collation "C", or no letter i.
var mappedByNature = map[string]string{
	"lower(written)":     "internal/access/role/name.sql gives it the collation",
	"upper(written)":     "internal/access/role/name.sql gives it the collation",
	"lower(role)":        "mapped_name.sql compares it with what has the collation",
	"lower(rolname)":     "of type name",
	"lower(p.privilege)": "CREATE or TEMPORARY",
}

// No SQL of ours maps the case of letters as the database's locale does.
func TestNoWordIsMappedByTheLocale(t *testing.T) {
	t.Parallel()
	check := func(file, text string) {
		for i, line := range strings.Split(text, "\n") {
			if comment := strings.HasPrefix(strings.TrimSpace(line), "--") || strings.HasPrefix(strings.TrimSpace(line), "//"); comment {
				continue
			}
			rest := asciiOnly.ReplaceAllString(line, "")
			for known := range mappedByNature {
				rest = strings.ReplaceAll(rest, known, "")
			}
			if casing.MatchString(rest) {
				t.Errorf("%s:%d: give the text COLLATE \"C\": %s", file, i+1, strings.TrimSpace(line))
			}
		}
	}
	for _, folder := range []string{"internal", "migrations", "modules", "bench"} {
		err := filepath.WalkDir(folder, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.HasSuffix(file, "_test.go") {
				return err
			}
			// Words of the message of an error, in a file that is never edited.
			if ext := filepath.Ext(file); ext != ".go" && ext != ".sql" || filepath.Base(file) == "0015_privileges.sql" {
				return nil
			}
			text, err := os.ReadFile(file)
			check(file, string(text))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// SQL of ours holds no character that a database's encoding may lack: the server translates all of it, comments included.
func TestSQLIsASCII(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"internal", "migrations"} {
		err := filepath.WalkDir(folder, func(file string, entry fs.DirEntry, err error) error {
			// A comment between statements, in a file that is never edited, is not sent.
			if err != nil || filepath.Ext(file) != ".sql" || filepath.Base(file) == "0014_policies_before_conditions.sql" {
				return err
			}
			text, err := os.ReadFile(file)
			if at := strings.IndexFunc(string(text), func(r rune) bool { return r > unicode.MaxASCII }); at >= 0 {
				t.Errorf("%s:%d: a character that is not ASCII", file, strings.Count(string(text[:at]), "\n")+1)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
