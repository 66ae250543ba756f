package migrate

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
)

// Source is a folder of migrations that has a history of its own in the database.
type Source struct {
	// Name tells the histories of one database apart: letters, digits and underscores, at most [MaxNameLength]. The
	// platform's own is [PlatformName].
	Name string
	// Files holds the migrations. Only its top level is looked at, and only what ends in ".sql".
	Files fs.FS

	catalog string // what the migrations make, see [migrations.Catalog]; empty when nobody recorded it
}

const (
	// PlatformName is the name of the platform's own history.
	PlatformName = "brownie"
	// MaxNameLength is the greatest length of a [Source.Name]: with it, the name of the table still is an identifier.
	MaxNameLength = 40
)

// table is where the history is recorded. The platform's has the name that goose gives it.
func (s Source) table() string {
	if s.Name == PlatformName {
		return "goose_db_version"
	}
	return "goose_db_version_" + s.Name
}

// Migration is one numbered SQL file.
type Migration struct {
	Version int64
	Name    string // the file's name
	// SHA256 is the checksum of the file's text, in hexadecimal. The kind of line ends and empty lines at the end do not
	// count.
	SHA256 string

	up, down []statement
	// transaction is false for a file with "-- +goose NO TRANSACTION".
	transaction bool
	text        string
}

// statement is one SQL statement and the line of the file on which it begins.
type statement struct {
	sql  string
	line int
}

// BadFileError is a file that is not a migration.
type BadFileError struct {
	File    string
	Line    int // 0 for the file as a whole
	Problem string
}

func (e *BadFileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s %s", e.File, e.Problem)
	}
	return fmt.Sprintf("%s, line %d: %s", e.File, e.Line, e.Problem)
}

// load reads all migrations in ascending order of their versions. It reports all bad files at once.
func (s Source) load() ([]Migration, error) {
	if folder, err := fs.Stat(s.Files, "."); err != nil || !folder.IsDir() {
		return nil, &BadFileError{"source_dir", 0, "is no folder that can be read"}
	}
	names, err := fs.Glob(s.Files, "*.sql")
	if err != nil {
		return nil, err
	}
	var migrations []Migration
	var errs []error
	for _, name := range names {
		migration, err := s.read(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		migrations = append(migrations, migration)
	}
	slices.SortStableFunc(migrations, func(a, b Migration) int { return cmp.Compare(a.Version, b.Version) })
	for i := 1; i < len(migrations); i++ {
		if before := migrations[i-1]; before.Version == migrations[i].Version {
			errs = append(errs, &BadFileError{migrations[i].Name, 0, fmt.Sprintf("has version %d, and so has %s; give one of them the next free number",
				before.Version, before.Name)})
		}
	}
	if len(names) == 0 {
		errs = append(errs, errors.New("there is no migration: no file's name ends in .sql"))
	}
	migrations = slices.CompactFunc(migrations, func(a, b Migration) bool { return a.Version == b.Version })
	if len(migrations) > 0 {
		errs = append(errs, split(migrations))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return migrations, nil
}

func (s Source) read(name string) (Migration, error) {
	version, err := goose.NumericComponent(name)
	if err != nil || version < 1 {
		return Migration{}, &BadFileError{name, 0, "has no version: its name must begin with a number above 0 and an underscore, such as 0001_create_tables.sql"}
	}
	content, err := fs.ReadFile(s.Files, name)
	if err != nil {
		return Migration{}, &BadFileError{name, 0, "cannot be read: " + errors.Unwrap(err).Error()}
	}
	// Editors on Windows begin files with a byte order mark.
	text := strings.ReplaceAll(strings.TrimPrefix(string(content), "\ufeff"), "\r\n", "\n")
	text = strings.TrimRight(text, "\n") + "\n"
	sum := sha256.Sum256([]byte(text))
	return Migration{Version: version, Name: path.Base(name), SHA256: hex.EncodeToString(sum[:]), text: text}, nil
}
