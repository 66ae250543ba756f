package migrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/wasilibs/go-pgquery/parser"
)

// LockMode is a mode of a lock on a table, in PostgreSQL's order and with its numbers (manual, section 13.3.1).
type LockMode int

// The modes that others notice. ACCESS SHARE, which every query takes, is not told.
const (
	RowShare LockMode = iota + 2
	RowExclusive
	ShareUpdateExclusive
	Share
	ShareRowExclusive
	Exclusive
	AccessExclusive
)

var lockModes = map[LockMode]string{
	RowShare: "ROW SHARE", RowExclusive: "ROW EXCLUSIVE", ShareUpdateExclusive: "SHARE UPDATE EXCLUSIVE", Share: "SHARE",
	ShareRowExclusive: "SHARE ROW EXCLUSIVE", Exclusive: "EXCLUSIVE", AccessExclusive: "ACCESS EXCLUSIVE",
}

func (m LockMode) String() string { return lockModes[m] }

// blocksWrites tells the modes that make INSERT, UPDATE and DELETE wait.
func (m LockMode) blocksWrites() bool { return m >= Share }

// lockTaken is what a statement locks, as far as its text tells.
type lockTaken struct {
	line     int
	relation string // a table, or an index of the table that is locked; empty when only the time counts
	mode     LockMode
	declared bool // by a comment
	// partners locks the tables at the other end of the relation's foreign keys instead: of one constraint, of those with a
	// column ("column:name"), or of all ("*"); or the table that the relation is a partition of ("parent"), or its default
	// partition ("default").
	partners string
	// long says what the statement does for a time that grows with the table; empty when the lock is brief.
	long, safe string
	// unlessNotNull is a column; a valid constraint that says it is not null makes the lock brief.
	unlessNotNull string
}

// analysis is what a file locks, and what cannot be told from its text.
type analysis struct {
	locks   []lockTaken
	unknown []unknown
	created []tableName
}

// tableName is the name of a table that a migration creates; an empty schema stands for any.
type tableName struct{ schema, name string }

const (
	cannotTell = `%s, line %d: what %s locks cannot be told before it runs. List the tables in the file, in a line such as ` +
		`"-- brownie:locks ACCESS EXCLUSIVE public.orders", so that the plan can tell`
	noSuchTable = `%s, line %d: "-- brownie:locks" names the table %s, which does not exist. Correct the name, so that the plan can tell`
)

// unknown is a statement that may lock anything. PostgreSQL's own functions lock nothing.
type unknown struct {
	function string // empty for a block of code
	text     string
}

var declaredLocks = regexp.MustCompile(`(?mi)^--\s*brownie:locks\s+(NONE|(?:ROW |ACCESS |SHARE |UPDATE )*(?:SHARE|EXCLUSIVE))\b[ \t]*(.*?)[ \t]*$`)

// analyse finds out what a migration or its down step locks, with PostgreSQL's own parser, and reports errors of syntax. The
// parser is that of one version; newer asks the server whether it knows a statement that the parser does not.
func (m Migration) analyse(down bool, newer func(sql string) bool) (analysis, error) {
	var found analysis
	statements, text := m.up, m.text
	if at := m.annotationAt("Down"); down {
		statements, text = m.down, m.text[at:]
	} else if at > 0 {
		text = m.text[:at]
	}
	declarations := declaredLocks.FindAllStringSubmatch(text, -1)
	for _, match := range declarations {
		line := lineAt(m.text, strings.Index(m.text, match[0]))
		if mode := strings.ToUpper(match[1]); mode != "NONE" && !slices.Contains(slices.Collect(maps.Values(lockModes)), mode) {
			return found, &BadFileError{m.Name, line, fmt.Sprintf("%q is no lock mode (PostgreSQL manual, section 13.3.1)", match[1])}
		}
		for mode, name := range lockModes {
			for relation := range strings.SplitSeq(match[2], ",") {
				if relation = strings.TrimSpace(relation); relation != "" && strings.EqualFold(name, match[1]) {
					found.locks = append(found.locks, lockTaken{line: line, declared: true, relation: relation, mode: mode})
				}
			}
		}
	}
	for _, st := range statements {
		parsedText, err := parser.ParseToJSON(st.sql)
		if err != nil {
			if !newer(st.sql) {
				return found, m.syntaxError(st, err)
			}
			if len(declarations) == 0 {
				found.unknown = append(found.unknown, unknown{"", fmt.Sprintf(cannotTell, m.Name, st.line, "this statement")})
			}
			continue
		}
		var tree node
		if err := json.Unmarshal([]byte(parsedText), &tree); err != nil {
			return found, fmt.Errorf("cannot analyse %s: %w", m.Name, err)
		}
		for _, parsed := range tree.list("stmts") {
			kind, fields := parsed.get("stmt").only()
			if kind == "TransactionStmt" && (!m.transaction || !strings.Contains(fields.text("kind"), "SAVEPOINT")) {
				return found, &BadFileError{m.Name, st.line, "a migration begins and ends no transaction itself: its file is one, unless it says " +
					`"-- +goose NO TRANSACTION"; then each statement is`}
			}
			if kind == "CopyStmt" && fields.text("filename") == "" && !fields.truth("is_program") {
				return found, &BadFileError{m.Name, st.line, "COPY from or to the client is not possible; write INSERT"}
			}
			if m.transaction && outsideTransactions(kind, fields) {
				return found, &BadFileError{m.Name, st.line, `this statement cannot run in a transaction; begin the file with "-- +goose NO TRANSACTION", ` +
					"and move what needs a transaction into another file"}
			}
			a := analyser{line: st.line}
			a.statement(kind, fields)
			found.locks, found.created = append(found.locks, a.locks...), append(found.created, a.created...)
			if len(declarations) > 0 {
				continue
			}
			for _, function := range a.functions {
				found.unknown = append(found.unknown, unknown{function, fmt.Sprintf(cannotTell, m.Name, st.line, "function "+function)})
			}
			if a.unknown != "" {
				found.unknown = append(found.unknown, unknown{"", fmt.Sprintf(cannotTell, m.Name, st.line, a.unknown)})
			}
		}
	}
	return found, nil
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

func (m Migration) syntaxError(st statement, err error) error {
	line, message := st.line, err.Error()
	var wrong *parser.Error
	if errors.As(err, &wrong) {
		message = wrong.Message
		if wrong.Cursorpos > 0 && wrong.Cursorpos <= len(st.sql) {
			line += strings.Count(st.sql[:wrong.Cursorpos-1], "\n")
		}
	}
	return &BadFileError{m.Name, line, message}
}

// holdUntilCommit makes brief locks long when a later statement of the same transaction takes long: a lock is held
// until the end of the transaction.
func (a *analysis) holdUntilCommit() {
	later := lockTaken{}
	for i := range slices.Backward(a.locks) {
		l := &a.locks[i]
		switch {
		case l.long != "":
			later = *l
		case l.mode.blocksWrites() && later.long != "" && !l.declared:
			l.long = fmt.Sprintf("keeps that lock while line %d %s", later.line, later.long)
			l.safe = "move what takes long into a migration of its own"
		}
	}
}
