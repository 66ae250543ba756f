package migrate

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// AheadError says that the database has a version that the files do not reach.
type AheadError struct {
	Current, Latest int64
}

func (e *AheadError) Error() string {
	return fmt.Sprintf("the database is at version %d, but the latest known migration is %d. Nothing was changed; "+
		"use a provider version, or a folder, that has migration %d", e.Current, e.Latest, e.Current)
}

// HistoryError says where the files differ from what was applied.
type HistoryError struct {
	Problems []string
}

func (e *HistoryError) Error() string {
	return "the files are not those that were applied, so nothing was changed: " + strings.Join(e.Problems, "; ")
}

// DownError says why the database is not taken down to a lower version.
type DownError struct {
	Current, Wanted int64
	Problem         string
}

func (e *DownError) Error() string {
	return fmt.Sprintf("the database is at version %d, and going down to version %d %s", e.Current, e.Wanted, e.Problem)
}

// UnknownVersionError says that no file has the requested version.
type UnknownVersionError struct {
	Wanted, Latest int64
}

func (e *UnknownVersionError) Error() string {
	if e.Wanted > e.Latest {
		return fmt.Sprintf("version is %d, but the latest known migration is %d. Use that, or a newer provider or folder", e.Wanted, e.Latest)
	}
	return fmt.Sprintf("there is no migration with version %d; the latest is %d", e.Wanted, e.Latest)
}

// StalePlanError says that somebody migrated the database after the plan was made.
type StalePlanError struct {
	Planned, Found, Wanted int64
}

func (e *StalePlanError) Error() string {
	return fmt.Sprintf("the plan takes the database from version %d to %d, but it is at version %d now: somebody else migrated it after "+
		"the plan was made. Nothing was changed; plan again", e.Planned, e.Wanted, e.Found)
}

// StepError says which migration failed and where that leaves the database.
type StepError struct {
	Failed Migration
	Down   bool
	// Current is the version that the database is left at, Ran what was applied before the failure.
	Current int64
	Ran     []string
	cause   error
}

func (e *StepError) Error() string {
	what := "migration " + e.Failed.Name
	if e.Down {
		what = "the down step of " + what
	}
	var sentences []string
	var invalid *InvalidIndexError
	if errors.As(e.cause, &invalid) {
		sentences = append(sentences, invalid.Error()+".")
	}
	if len(e.Ran) > 0 {
		sentences = append(sentences, "Applied before it: "+strings.Join(e.Ran, ", ")+".")
	}
	if e.Failed.transaction {
		sentences = append(sentences, fmt.Sprintf("Nothing of %s was applied.", e.Failed.Name))
	} else {
		sentences = append(sentences, e.Failed.Name+" runs without a transaction, so that what its earlier statements did has remained; it must be able to run again.")
	}
	sentences = append(sentences, fmt.Sprintf("The database stays at version %d; repair the cause and apply again", e.Current))
	return what + " failed" + e.where() + strings.Join(sentences, " ")
}

func (e *StepError) where() string {
	var at *statementError
	var invalid *InvalidIndexError
	if !errors.As(e.cause, &at) {
		if errors.As(e.cause, &invalid) {
			return ". "
		}
		return ": " + strings.TrimRight(serverMessage(e.cause), ".") + ". "
	}
	return fmt.Sprintf(" at line %d: %s.\n\n%s\n\n", at.line, strings.TrimRight(serverMessage(at.cause), "."), indent(at.sql))
}

func (e *StepError) Unwrap() error { return e.cause }

// statementError is the statement that failed, with the line of the file where the server saw the fault.
type statementError struct {
	line  int
	sql   string
	cause error
}

func (e *statementError) Error() string { return e.cause.Error() }
func (e *statementError) Unwrap() error { return e.cause }

// waitError says that a lock was not to be had.
type waitError struct {
	text  string
	cause error
}

func (e *waitError) Error() string { return e.text }
func (e *waitError) Unwrap() error { return e.cause }

func failedStatement(s statement, cause error) *statementError {
	failed := &statementError{s.line, s.sql, cause}
	var server *pgconn.PgError
	if errors.As(cause, &server) && server.Position > 0 {
		runes := []rune(s.sql) // The server counts characters.
		failed.line += strings.Count(string(runes[:min(int(server.Position)-1, len(runes))]), "\n")
	}
	return failed
}

// indent shows the beginning of a statement.
func indent(sql string) string {
	const most = 12
	lines := strings.Split(sql, "\n")
	if len(lines) > most {
		lines = append(lines[:most], "…")
	}
	return "    " + strings.Join(lines, "\n    ")
}

// BudgetError says which locks would block writes for longer than allowed.
type BudgetError struct {
	Limit    int64
	Problems []string
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("writes would have to wait too long, since max_locked_bytes is %d: %s", e.Limit, strings.Join(e.Problems, "; "))
}

// InvalidIndexError names indexes that an interrupted CREATE INDEX CONCURRENTLY left behind.
type InvalidIndexError struct {
	File    string
	Indexes []string
}

func (e *InvalidIndexError) Error() string {
	var repairs []string
	for _, index := range e.Indexes {
		repairs = append(repairs, "DROP INDEX CONCURRENTLY "+index+";")
	}
	return fmt.Sprintf("%s builds an index that an interrupted attempt has left behind as INVALID (PostgreSQL manual, CREATE INDEX, \"Building "+
		"Indexes Concurrently\"): nothing can use it, and it slows down writes. Run this, and apply again: %s Or begin the migration "+
		"with DROP INDEX CONCURRENTLY IF EXISTS", e.File, strings.Join(repairs, " "))
}

func serverMessage(err error) string {
	var server *pgconn.PgError
	var wait *waitError
	if errors.As(err, &wait) {
		return wait.text
	}
	if !errors.As(err, &server) {
		return err.Error()
	}
	if server.Hint == "" {
		return server.Message
	}
	return strings.TrimRight(server.Message, ".") + ". " + server.Hint
}
