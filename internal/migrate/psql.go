package migrate

import (
	"fmt"
	"regexp"
	"strings"
)

// This file is about what stands in files for psql, above all in what pg_dump writes, and what neither the server nor goose reads.

var (
	// psqlCommand is a command of psql: a backslash where no literal is.
	psqlCommand = regexp.MustCompile(`^\\[^\s\\;]*`)
	psqlLine    = regexp.MustCompile(`(?m)^[ \t]*\\`)
	copyRows    = regexp.MustCompile(`(?is)^COPY\s.*\bFROM\s+STDIN\b`)
)

// psql names the command that is at a place of the text, if one is.
func (m Migration) psql(at int) error {
	command := psqlCommand.FindString(m.text[at:])
	if command == "" {
		return nil
	}
	what := command + " is a command of psql, which nothing but psql understands: leave it out"
	if strings.HasSuffix(command, "restrict") {
		what += ". pg_dump begins and ends its files with it since August 2025"
	}
	return m.bad(at, what)
}

const (
	copyIn = "COPY … FROM stdin reads rows from what psql sends after it, which a migration cannot do: write INSERT " +
		"(pg_dump --rows-per-insert=1000), and leave out the rows up to the line \\."
	copyOut = "COPY … TO stdout sends rows to a client such as psql, and a migration has none: leave it out"
)

// forPsql tells what in an unfinished statement, or in front of it, is for psql.
func (s *scanner) forPsql() error {
	for _, piece := range s.into.pieces {
		if text := s.text[piece.From:piece.To]; copyRows.MatchString(text[len(notCode.FindString(text)):]) {
			return s.bad(piece.From+len(notCode.FindString(text)), copyIn)
		}
	}
	if at := psqlLine.FindStringIndex(s.text[s.open:]); at != nil {
		return s.psql(s.open + at[1] - 1)
	}
	return nil
}

// maxLine is what goose's own program reads of a line.
const maxLine = 4 << 20

// tooLong refuses a line that goose's own program does not read.
func (m Migration) tooLong(part section) error {
	at := part.from
	for line := range strings.Lines(m.text[part.from:part.to]) {
		if len(line) >= maxLine {
			return m.bad(at, fmt.Sprintf("the line has %s, and lines above 4 MB are not read by goose's own program: break it",
				Size(int64(len(line)))))
		}
		at += len(line)
	}
	return nil
}
