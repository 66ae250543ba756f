package migrate

import (
	"fmt"
	"slices"
	"strings"
)

// Migration is one numbered SQL file in goose's format.
type Migration struct {
	Version int64
	Name    string // the file's name
	// SHA256 is the checksum of the file's text, in hexadecimal. The kind of line ends and empty lines at the end do not
	// count.
	SHA256 string

	text string
	// transaction is false for a file with "-- +goose NO TRANSACTION".
	transaction bool
	up, down    section
}

// section is the part of a file behind "-- +goose Up" or "-- +goose Down".
type section struct {
	from, to int
	pieces   []piece
}

// piece is what goose's own program sends to the server at once: what stands between StatementBegin and StatementEnd (a
// block), or else all up to a semicolon at the end of a line.
type piece struct {
	span
	block bool
}

// span is a part of a file's text.
type span struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// statement is one SQL statement and the line of the file on which it begins.
type statement struct {
	sql  string
	line int
}

func (m Migration) statement(at span) statement {
	return statement{m.text[at.From:at.To], m.line(at.From)}
}

// line is the number of the line that a byte of the text is on.
func (m Migration) line(offset int) int { return 1 + strings.Count(m.text[:offset], "\n") }

func (m Migration) section(down bool) section {
	if down {
		return m.down
	}
	return m.up
}

// maxSQL is how much of a section is shown.
const maxSQL = 64 << 10

// SQL is what stands in a section, as the file says it; of a very long one the beginning, and a note how much it is.
func (m Migration) SQL(down bool) string {
	part := m.section(down)
	_, text, _ := strings.Cut(m.text[part.from:part.to], "\n") // behind the annotation
	text = strings.TrimSpace(text)
	if len(text) <= maxSQL {
		return text
	}
	note := fmt.Sprintf("\n-- … cut here: this is the beginning of %s", Size(int64(len(text))))
	return strings.ToValidUTF8(text[:maxSQL-len(note)], "") + note
}

// scanner reads a file line by line, by goose's rules.
type scanner struct {
	*Migration
	into *section // nil in front of "-- +goose Up"
	open int      // where the piece begins that is not complete, or -1
	// block is where the line StatementBegin is that has no StatementEnd yet, or -1.
	block int
}

// scan finds the sections and goose's pieces of them. Errors are [*BadFileError].
func (m *Migration) scan() error {
	m.transaction = true
	s := scanner{Migration: m, open: -1, block: -1}
	at := 0
	for line := range strings.Lines(m.text) {
		var err error
		if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "--") && strings.Contains(line, "+goose") {
			err = s.annotation(strings.TrimRight(line, "\n"), at)
		} else if s.open >= 0 || trimmed != "" && !strings.HasPrefix(trimmed, "--") {
			err = s.code(line, at)
		}
		if err != nil {
			return err
		}
		at += len(line)
	}
	switch {
	case s.into == nil:
		return s.noUp(0)
	case s.block >= 0:
		return m.bad(s.block, `there is no "-- +goose StatementEnd" after this line`)
	case s.open >= 0:
		return s.unfinished()
	case len(m.up.pieces) == 0:
		return m.bad(m.up.from, `is empty: no statement follows "-- +goose Up"`)
	}
	s.into.to = len(m.text)
	return nil
}

// code is a line that is no annotation.
func (s *scanner) code(line string, at int) error {
	if s.into == nil {
		return s.noUp(at)
	}
	if s.open < 0 {
		s.open = at
	}
	if s.block < 0 && endsStatement(line) {
		s.end(at+len(line), false)
	}
	return nil
}

func (s *scanner) end(at int, block bool) {
	if s.open >= 0 {
		from := s.open + len(s.text[s.open:at]) - len(strings.TrimLeft(s.text[s.open:at], " \t\n"))
		s.into.pieces = append(s.into.pieces, piece{span{from, s.open + len(strings.TrimRight(s.text[s.open:at], " \t\n"))}, block})
	}
	s.open = -1
}

// endsStatement tells a line whose last word ends with a semicolon, comments aside.
func endsStatement(line string) bool {
	words := strings.Fields(line)
	if i := slices.IndexFunc(words, func(word string) bool { return strings.HasPrefix(word, "--") }); i >= 0 {
		words = words[:i]
	}
	return len(words) > 0 && strings.HasSuffix(words[len(words)-1], ";")
}

// annotation is a line such as "-- +goose Up".
func (s *scanner) annotation(line string, at int) error {
	_, after, _ := strings.Cut(line, "+goose")
	word := strings.ToUpper(strings.TrimSpace(strings.ReplaceAll(after, "--", "")))
	switch {
	case line != strings.TrimLeft(line, " \t"):
		return s.bad(at, fmt.Sprintf("%q must begin the line", strings.TrimSpace(line)))
	case strings.HasPrefix(word, "ENVSUB"):
		return s.bad(at, "ENVSUB is not supported: what a migration does must not depend on the environment that it runs in, which "+
			"no checksum covers")
	case word == "NO TRANSACTION":
		s.transaction = false
	case word == "UP" && s.into != nil:
		return s.bad(at, `there is a line "-- +goose Up" already`)
	case word == "UP":
		s.into = &s.up
		s.up.from = at
	case s.into == nil:
		return s.noUp(at)
	case word == "DOWN" && s.block >= 0:
		return s.bad(s.block, `there is no "-- +goose StatementEnd" after this line`)
	case word == "DOWN" && s.into == &s.down:
		return s.bad(at, `there is a line "-- +goose Down" already`)
	case word == "DOWN" && s.open >= 0:
		return s.unfinished()
	case word == "DOWN":
		s.into.to, s.into = at, &s.down
		s.down.from = at
	case word == "STATEMENTBEGIN" && s.block >= 0:
		return s.bad(s.block, `there is no "-- +goose StatementEnd" after this line`)
	case word == "STATEMENTBEGIN":
		s.block = at
	case word == "STATEMENTEND" && s.block < 0:
		return s.bad(at, `there is no "-- +goose StatementBegin" before this line`)
	case word == "STATEMENTEND":
		s.end(at, true)
		s.block = -1
	default:
		return s.bad(at, fmt.Sprintf("%q is no annotation of goose's", line))
	}
	return nil
}

func (s *scanner) noUp(at int) error {
	return s.bad(at, `there must be a line "-- +goose Up" in front of the first statement`)
}

func (s *scanner) unfinished() error {
	if err := s.forPsql(); err != nil {
		return err
	}
	return s.bad(s.open, "the statement that begins here does not end with a semicolon at the end of a line")
}

func (m Migration) bad(at int, what string) error { return badFile(m.Name, m.line(at), what) }
