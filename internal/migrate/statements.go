package migrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/wasilibs/go-pgquery/parser"

	"github.com/longyi-brownie/terraform-provider-brownie/migrations"
)

// analysis is what PostgreSQL's own parser says of one section of a file. Those of the platform's files are generated into
// migrations/statements.json, so that the parser, which takes long to load, is loaded for others only.
type analysis struct {
	// Statements are the parts of the text to send, one by one.
	Statements []span `json:"statements"`
	// Several is true if one of them may be several statements.
	Several bool        `json:"several,omitempty"`
	Locks   []lockTaken `json:"locks,omitempty"`
	Created []tableName `json:"created,omitempty"`
	Unknown []unknown   `json:"unknown,omitempty"`

	notParsed []notParsed
}

// notParsed is a piece whose syntax the parser does not know.
type notParsed struct {
	span
	err     error
	unknown []string // what the plan says if the server knows the syntax
}

// analyse splits a section into statements, and finds out what they lock. It refuses what cannot run in a migration; errors are
// [*BadFileError].
func (m Migration) analyse(down bool) (analysis, error) {
	if at, found := generated()[m.SHA256]; found {
		return at[down], nil
	}
	return m.parse(down)
}

// parseSQL loads the parser when it is called for the first time.
var parseSQL = parser.ParseToJSON

// parse is what analyse does with a file that is not the platform's. A section with syntax that the parser does not know is
// split as goose splits it, at semicolons that end a line.
func (m Migration) parse(down bool) (analysis, error) {
	section := m.section(down)
	locks, declared, err := m.declared(down)
	found := analysis{Locks: locks}
	if err != nil || len(section.pieces) == 0 {
		return found, err
	}
	if err := m.tooLong(section); err != nil {
		return found, err
	}
	wrong := new(parser.Error)
	if err := m.parsePart(&found, span{section.from, section.to}, declared); err == nil || !errors.As(err, &wrong) {
		found.joinBlocks(section.pieces)
		return found, err
	}
	var pieces []span
	for _, piece := range section.pieces {
		if err := m.parsePart(&found, piece.span, declared); errors.As(err, &wrong) {
			at := piece.From + wrongAt(m.text[piece.From:piece.To], wrong)
			if err := m.psql(at); err != nil {
				return found, err
			}
			missing := notParsed{span: piece.span, err: m.bad(at, wrong.Message)}
			if !declared {
				missing.unknown = []string{fmt.Sprintf(cannotTell, m.Name, m.line(piece.From), "this statement")}
			}
			found.notParsed = append(found.notParsed, missing)
		} else if err != nil {
			return found, err
		}
		pieces = append(pieces, piece.span)
	}
	found.Statements, found.Several = pieces, true
	return found, nil
}

// notCode is what may stand in front of a statement.
var notCode = regexp.MustCompile(`(?s)^(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*`)

// parsePart adds the statements of a part of the text. Errors are [*parser.Error] and [*BadFileError].
func (m Migration) parsePart(found *analysis, part span, declared bool) error {
	text := m.text[part.From:part.To]
	parsed, err := parseSQL(text)
	if err != nil {
		return err
	}
	var tree node
	if err := json.Unmarshal([]byte(parsed), &tree); err != nil {
		return fmt.Errorf("cannot analyse %s: %w", m.Name, err)
	}
	for _, each := range tree.list("stmts") {
		from, length := each.number("stmt_location"), each.number("stmt_len")
		to := from + length
		switch {
		case length == 0: // the last one, without a semicolon
			to = len(strings.TrimRight(text, " \t\n"))
		case to < len(text): // at the semicolon
			to++
		}
		from += len(notCode.FindString(text[from:to]))
		at := span{part.From + from, part.From + to}
		kind, fields := each.get("stmt").only()
		if problem := m.refuse(kind, fields); problem != "" {
			return m.bad(at.From, problem)
		}
		found.Statements = append(found.Statements, at)
		a := analyser{line: m.line(at.From)}
		a.statement(kind, fields)
		found.Locks, found.Created = append(found.Locks, a.locks...), append(found.Created, a.created...)
		if declared {
			continue
		}
		for _, function := range a.functions {
			found.Unknown = append(found.Unknown, unknown{function, fmt.Sprintf(cannotTell, m.Name, a.line, "function "+function)})
		}
		if a.unknown != "" {
			found.Unknown = append(found.Unknown, unknown{"", fmt.Sprintf(cannotTell, m.Name, a.line, a.unknown)})
		}
	}
	return nil
}

// joinBlocks makes one of the statements between StatementBegin and StatementEnd, since goose sends them as one.
func (a *analysis) joinBlocks(pieces []piece) {
	var joined []span
	last := -1
	for _, st := range a.Statements {
		block := slices.IndexFunc(pieces, func(p piece) bool { return p.block && p.From <= st.From && st.From < p.To })
		if block >= 0 && block == last {
			joined[len(joined)-1].To, a.Several = st.To, true
		} else {
			joined = append(joined, st)
		}
		last = block
	}
	a.Statements = joined
}

// savepoints are what a transaction may do within itself.
var savepoints = []string{"TRANS_STMT_SAVEPOINT", "TRANS_STMT_RELEASE", "TRANS_STMT_ROLLBACK_TO"}

// refuse says why a statement cannot be part of a migration, or nothing.
func (m Migration) refuse(kind string, fields node) string {
	switch {
	case kind == "TransactionStmt" && (!m.transaction || !slices.Contains(savepoints, fields.text("kind"))):
		return "a migration begins and ends no transaction itself: its file is one, unless it says " +
			`"-- +goose NO TRANSACTION"; then each statement is`
	case kind == "CopyStmt" && fields.text("filename") == "" && fields.truth("is_from"):
		return copyIn
	case kind == "CopyStmt" && fields.text("filename") == "":
		return copyOut
	case m.transaction && outsideTransactions(kind, fields):
		return `this statement cannot run in a transaction; begin the file with "-- +goose NO TRANSACTION", ` +
			"and move what needs a transaction into another file"
	}
	return ""
}

// outsideTransactions tells the statements that refuse to run in a transaction.
func outsideTransactions(kind string, s node) bool {
	switch kind {
	case "VacuumStmt":
		return s.truth("is_vacuumcmd") // ANALYZE is the same kind.
	case "AlterSystemStmt", "CreatedbStmt", "DropdbStmt", "CreateTableSpaceStmt", "DropTableSpaceStmt":
		return true
	case "AlterTableStmt":
		for _, command := range s.list("cmds") {
			if _, definition := command.get("AlterTableCmd").get("def").only(); definition.truth("concurrent") {
				return true
			}
		}
	}
	return s.truth("concurrent") && kind != "RefreshMatViewStmt" || kind == "ReindexStmt" && s.option("concurrently")
}

// wrongAt is the place that a parser's error is about; the parser counts characters.
func wrongAt(text string, wrong *parser.Error) int {
	at := 0
	for n := 1; n < wrong.Cursorpos && at < len(text)-1; n++ {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return at
}

// generated is what was written into migrations/statements.json, by the checksums of the files: up and, under true, down.
var generated = sync.OnceValue(func() map[string]map[bool]analysis {
	var files []generatedFile
	if err := json.Unmarshal(migrations.Statements, &files); err != nil {
		return nil // Files of which nothing is known are parsed.
	}
	sections := map[string]map[bool]analysis{}
	for _, file := range files {
		sections[file.SHA256] = map[bool]analysis{false: file.Up, true: file.Down}
	}
	return sections
})

type generatedFile struct {
	Name   string   `json:"name"`
	SHA256 string   `json:"sha256"`
	Up     analysis `json:"up"`
	Down   analysis `json:"down"`
}

// Generate parses the platform's files, and returns what belongs into migrations/statements.json.
func Generate() ([]byte, error) {
	known, err := Platform.load()
	if err != nil {
		return nil, err
	}
	files := make([]generatedFile, len(known))
	for i, m := range known {
		files[i] = generatedFile{Name: m.Name, SHA256: m.SHA256}
		for down, into := range map[bool]*analysis{false: &files[i].Up, true: &files[i].Down} {
			if *into, err = m.parse(down); err != nil {
				return nil, err
			}
			if len(into.notParsed) > 0 {
				return nil, into.notParsed[0].err
			}
		}
	}
	lines := make([]string, len(files)) // A line for each file, so that a difference shows which one it is.
	for i, file := range files {
		line, err := json.Marshal(file)
		if err != nil {
			return nil, err
		}
		lines[i] = string(line)
	}
	return []byte("[\n" + strings.Join(lines, ",\n") + "\n]\n"), nil
}
