package migrate

import (
	"archive/zip"
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

var (
	// gooseState is what goose's messages say to those who work on goose.
	gooseState = regexp.MustCompile(`stateMachine=\d+|state \d+, direction: \w+: |, see https://\S+|failed to parse migration: `)
	unfinished = regexp.MustCompile(`unfinished SQL query: ("(?:[^"\\]|\\.)*")`)
)

// split takes the files apart into statements, as goose does: goose runs them on a database that only writes down what
// it is sent.
func split(migrations []Migration) error {
	var r recorder
	db := sql.OpenDB(&r)
	defer func() { _ = db.Close() }() // There is nothing behind it.
	files, err := inMemory(migrations)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(database.DialectPostgres, db, files, goose.WithDisableVersioning(true), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	var errs []error
	for i := range migrations {
		m := &migrations[i]
		if err := m.refuseSubstitution(); err != nil {
			errs = append(errs, err)
			continue
		}
		up, err := r.record(provider, m.Version, true)
		if err != nil {
			errs = append(errs, m.splitError(err))
			continue
		}
		m.up, m.transaction = m.locate(up, 0), r.transaction
		down, err := r.record(provider, m.Version, false)
		if err != nil {
			errs = append(errs, m.splitError(err))
			continue
		}
		m.down = m.locate(down, m.annotationAt("Down"))
		if len(m.up) == 0 {
			errs = append(errs, &BadFileError{m.Name, lineAt(m.text, m.annotationAt("Up")), `is empty: no statement follows "-- +goose Up"`})
		}
	}
	return errors.Join(errs...)
}

// annotation is a line such as "-- +goose Up".
type annotation struct {
	at         int // where it begins
	line, word string
}

func (m *Migration) annotations() []annotation {
	var found []annotation
	at := 0
	for line := range strings.Lines(m.text) {
		if strings.HasPrefix(line, "--") {
			if _, word, ok := strings.Cut(line, "+goose"); ok {
				found = append(found, annotation{at, strings.TrimSpace(line), strings.TrimSpace(word)})
			}
		}
		at += len(line)
	}
	return found
}

// refuseSubstitution refuses what would make a migration depend on the environment.
func (m *Migration) refuseSubstitution() error {
	for _, a := range m.annotations() {
		if strings.HasPrefix(strings.ToUpper(a.word), "ENVSUB") {
			return &BadFileError{m.Name, lineAt(m.text, a.at), "ENVSUB is not supported: what a migration does must not depend on the " +
				"environment that it runs in, which no checksum covers"}
		}
	}
	return nil
}

// annotationAt is where the last line "-- +goose word" begins, or 0.
func (m *Migration) annotationAt(word string) int {
	at := 0
	for _, a := range m.annotations() {
		if strings.EqualFold(a.word, word) {
			at = a.at
		}
	}
	return at
}

// locate finds the lines of statements, which goose leaves as they stand in the file.
func (m *Migration) locate(texts []string, offset int) []statement {
	statements := make([]statement, 0, len(texts))
	for _, text := range texts {
		if found := strings.Index(m.text[offset:], text); found >= 0 {
			offset += found
		}
		statements = append(statements, statement{text, lineAt(m.text, offset)})
		offset = min(offset+len(text), len(m.text))
	}
	return statements
}

// splitError words what goose complains of, and finds the line.
func (m *Migration) splitError(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	problem := strings.TrimSpace(gooseState.ReplaceAllString(err.Error(), ""))
	switch {
	case strings.Contains(problem, "must start with"):
		return &BadFileError{m.Name, 1, `there must be a line "-- +goose Up" in front of the first statement`}
	case strings.Contains(problem, "StatementEnd"):
		return &BadFileError{m.Name, lineAt(m.text, m.annotationAt("StatementBegin")), `there is no "-- +goose StatementEnd" after this line`}
	case unfinished.MatchString(problem):
		at := len(m.text) - 1
		if text, err := strconv.Unquote(unfinished.FindStringSubmatch(problem)[1]); err == nil {
			at = max(strings.LastIndex(m.text, text), 0)
		}
		return &BadFileError{m.Name, lineAt(m.text, at), "the statement that begins here does not end with a semicolon at the end of a line"}
	}
	for _, a := range m.annotations() {
		if strings.Contains(problem, strconv.Quote(a.line)) {
			return &BadFileError{m.Name, lineAt(m.text, a.at), problem}
		}
	}
	return &BadFileError{m.Name, 1, problem}
}

// lineAt is the number of the line that a byte of the text is on.
func lineAt(text string, offset int) int {
	return 1 + strings.Count(text[:offset], "\n")
}

// inMemory is a file system that holds the normalized files, and nothing else that is in the folder.
func inMemory(migrations []Migration) (fs.FS, error) {
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	for _, m := range migrations {
		file, err := w.CreateHeader(&zip.FileHeader{Name: m.Name, Method: zip.Store})
		if err == nil {
			_, err = file.Write([]byte(m.text))
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", m.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return zip.NewReader(bytes.NewReader(archive.Bytes()), int64(archive.Len()))
}

// recorder is a database that writes down the statements that it is sent, and executes nothing.
type recorder struct {
	statements  []string
	transaction bool
}

// record lets goose run one migration.
func (r *recorder) record(provider *goose.Provider, version int64, up bool) ([]string, error) {
	r.statements, r.transaction = nil, false
	_, err := provider.ApplyVersion(context.Background(), version, up)
	return r.statements, err
}

func (r *recorder) Connect(context.Context) (driver.Conn, error) { return r, nil }
func (r *recorder) Driver() driver.Driver                        { return nil }
func (r *recorder) Prepare(string) (driver.Stmt, error)          { return nil, errors.ErrUnsupported }
func (r *recorder) Close() error                                 { return nil }
func (r *recorder) Begin() (driver.Tx, error)                    { r.transaction = true; return r, nil }
func (r *recorder) Commit() error                                { return nil }
func (r *recorder) Rollback() error                              { return nil }

func (r *recorder) ExecContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	r.statements = append(r.statements, query)
	return driver.ResultNoRows, nil
}
