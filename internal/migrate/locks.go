package migrate

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
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

// ParseLockMode returns the mode of a name.
func ParseLockMode(name string) (mode LockMode, found bool) {
	for mode, each := range lockModes {
		if strings.EqualFold(each, name) {
			return mode, true
		}
	}
	return 0, false
}

// BlocksWrites tells the modes that make INSERT, UPDATE and DELETE wait.
func (m LockMode) BlocksWrites() bool { return m >= Share }

// lockTaken is what a statement locks, as far as its text tells.
type lockTaken struct {
	Line     int      `json:"line"`
	Relation string   `json:"relation,omitempty"` // a table, or an index of the table that is locked; empty when only the time counts
	Mode     LockMode `json:"mode"`
	Declared bool     `json:"declared,omitempty"` // by a comment
	// Partners locks the tables at the other end of the relation's foreign keys instead: of one constraint, of those with a
	// column ("column:name"), or of all ("*"); or the table that the relation is a partition of ("parent"), or its default
	// partition ("default").
	Partners string `json:"partners,omitempty"`
	// Long says what the statement does for a time that grows with the table; empty when the lock is brief.
	Long string `json:"long,omitempty"`
	Safe string `json:"safe,omitempty"`
	// UnlessNotNull is a column; a valid constraint that says it is not null makes the lock brief.
	UnlessNotNull string `json:"unless_not_null,omitempty"`
}

// tableName is the name of a table that a migration creates; an empty schema stands for any.
type tableName struct {
	Schema string `json:"schema,omitempty"`
	Name   string `json:"name"`
}

const (
	cannotTell = `%s, line %d: what %s locks cannot be told before it runs. List the tables in the file, in a line such as ` +
		`"-- brownie:locks ACCESS EXCLUSIVE public.orders", so that the plan can tell`
	noSuchTable = `%s, line %d: "-- brownie:locks" names the table %s, which does not exist. Correct the name, so that the plan can tell`
)

// unknown is a statement that may lock anything. PostgreSQL's own functions lock nothing.
type unknown struct {
	Function string `json:"function,omitempty"` // empty for a block of code
	Text     string `json:"text"`
}

var declaredLocks = regexp.MustCompile(`(?mi)^--\s*brownie:locks\s+(NONE|(?:ROW |ACCESS |SHARE |UPDATE )*` +
	`(?:SHARE|EXCLUSIVE))\b[ \t]*(.*?)[ \t]*$`)

// declared reads the lines "-- brownie:locks" of a section, and of what stands in front of "-- +goose Up". Any of them, also one that
// says NONE, stands for all that the parser cannot tell.
func (m Migration) declared(down bool) (locks []lockTaken, some bool, err error) {
	from := 0
	if down {
		from = m.down.from
	}
	for _, at := range declaredLocks.FindAllStringSubmatchIndex(m.text[from:m.section(down).to], -1) {
		word, tables := m.text[from+at[2]:from+at[3]], m.text[from+at[4]:from+at[5]]
		mode, found := ParseLockMode(word)
		if !found && !strings.EqualFold(word, "NONE") {
			return nil, true, m.bad(from+at[0], fmt.Sprintf("%q is no lock mode (PostgreSQL manual, section 13.3.1)", word))
		}
		for relation := range strings.SplitSeq(tables, ",") {
			if relation = strings.TrimSpace(relation); relation != "" && found {
				locks = append(locks, lockTaken{Line: m.line(from + at[0]), Declared: true, Relation: relation, Mode: mode})
			}
		}
		some = true
	}
	return locks, some, nil
}

// holdUntilCommit makes brief locks long when a later statement of the same transaction takes long: a lock is held
// until the end of the transaction.
func holdUntilCommit(locks []lockTaken) {
	later := lockTaken{}
	for i := range slices.Backward(locks) {
		l := &locks[i]
		switch {
		case l.Long != "":
			later = *l
		case l.Mode.BlocksWrites() && later.Long != "" && !l.Declared:
			l.Long = fmt.Sprintf("keeps that lock while line %d %s", later.Line, later.Long)
			l.Safe = "move what takes long into a migration of its own"
		}
	}
}
