package migrate

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/problem"
	"github.com/longyi-brownie/terraform-provider-brownie/migrations"
)

// Source is a folder of migrations that has a history of its own in the database.
type Source struct {
	// Name tells the histories of one database apart, see [CheckName]. The platform's own is [PlatformName].
	Name string
	// Files holds the migrations. Only its top level is looked at, and only what ends in ".sql".
	Files fs.FS

	catalog string // what the migrations make, see [migrations.Catalog]; empty when nobody recorded it
}

// PlatformName is the name of the platform's own history.
const PlatformName = "brownie"

// Platform is the source of the platform's own migrations.
var Platform = Source{Name: PlatformName, Files: migrations.Files, catalog: migrations.Catalog}

// maxName is the greatest length of a name: with it, the name of the history's table still is an identifier.
const maxName = 40

// NamePattern is what names of histories look like, NameRule says it in words.
var (
	NamePattern = regexp.MustCompile(fmt.Sprintf(`^[a-z][a-z0-9_]{0,%d}$`, maxName-1))
	NameRule    = fmt.Sprintf("it must consist of lower-case letters, digits and underscores, begin with a letter, and have at most "+
		"%d characters", maxName)

	notInNames = regexp.MustCompile(`[^a-z0-9]+`)
)

// DefaultName is the name of the history of a folder, made from the folder's name; that of the platform for no folder. A
// folder whose name makes no usable one is a problem of "source_dir".
func DefaultName(folder string) (string, error) {
	if folder == "" {
		return PlatformName, nil
	}
	path, err := filepath.Abs(folder)
	if err != nil {
		return "", problem.New(fmt.Sprintf("source_dir is %q, which is no path (%s)", folder, err), "").On("source_dir")
	}
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(filepath.Base(path)), "_"), "_")
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "dir_" + name
	}
	name = name[:min(len(name), maxName)]
	if name == PlatformName {
		return "", problem.New(fmt.Sprintf("The folder's name would make %q the name of its history, which is that of the "+
			"provider's own migrations",
			name), "Set name").On("source_dir")
	}
	return name, nil
}

// CheckName refuses a folder's migrations in the platform's history, and a history of which nobody knows the files.
func CheckName(name, folder string) error {
	switch isPlatform := name == PlatformName; {
	case isPlatform && folder != "":
		return problem.New(fmt.Sprintf("%q is the history of the provider's own migrations, and source_dir is set", name),
			"Choose another name").On("name")
	case !isPlatform && folder == "":
		return problem.New(fmt.Sprintf("name is %q, so source_dir must be the folder with its migrations; the provider's own have "+
			"the name %q",
			name, PlatformName), "").On("source_dir")
	}
	return nil
}

// table is where the history is recorded. The platform's has the name that goose gives it.
func (s Source) table() string {
	if s.Name == PlatformName {
		return "goose_db_version"
	}
	return "goose_db_version_" + s.Name
}

// load reads all migrations in ascending order of their versions. It reports all bad files at once.
func (s Source) load() ([]Migration, error) {
	if folder, err := fs.Stat(s.Files, "."); err != nil || !folder.IsDir() {
		return nil, badFile("source_dir", 0, "is no folder that can be read")
	}
	names, err := fs.Glob(s.Files, "*.sql")
	if err != nil {
		return nil, err
	}
	var known []Migration
	var errs []error
	for _, name := range names {
		migration, err := s.read(name)
		if migration.Version > 0 {
			known = append(known, migration)
		}
		errs = append(errs, err)
	}
	slices.SortStableFunc(known, func(a, b Migration) int { return cmp.Compare(a.Version, b.Version) })
	for i := 1; i < len(known); i++ {
		if before := known[i-1]; before.Version == known[i].Version {
			errs = append(errs, badFile(known[i].Name, 0, fmt.Sprintf("has version %d, and so has %s; give one of them the next "+
				"free number",
				before.Version, before.Name)))
		}
	}
	if len(names) == 0 {
		errs = append(errs, errors.New("there is no migration: no file's name ends in .sql"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return known, nil
}

func (s Source) read(name string) (Migration, error) {
	number, _, found := strings.Cut(name, "_")
	version, err := strconv.ParseInt(number, 10, 64)
	if !found || err != nil || version < 1 {
		return Migration{}, badFile(name, 0, "has no version: its name must begin with a number above 0 and an underscore, such as "+
			"0001_create_tables.sql")
	}
	content, err := fs.ReadFile(s.Files, name)
	if err != nil {
		return Migration{}, badFile(name, 0, "cannot be read: "+errors.Unwrap(err).Error())
	}
	// Editors on Windows begin files with a byte order mark.
	text := strings.ReplaceAll(strings.TrimPrefix(string(content), "\ufeff"), "\r\n", "\n")
	text = strings.TrimRight(text, "\n") + "\n"
	sum := sha256.Sum256([]byte(text))
	m := Migration{Version: version, Name: name, SHA256: hex.EncodeToString(sum[:]), text: text}
	err = m.scan()
	return m, err
}
